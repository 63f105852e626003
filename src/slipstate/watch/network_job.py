"""Watching stations: fit, follow in arrival order, look back, forecast.

What has been computed is kept piece by piece in a `Store`; a job that is killed goes on
from the last complete piece and ends with the same numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from slipstate.assimilate.network import NetworkFilter
from slipstate.assimilate.network_records import NetworkState, NetworkTick
from slipstate.earth.trajectory import network_model
from slipstate.fit.progress import Progress
from slipstate.systems.network import NetworkModel, forecast_rows
from slipstate.watch.beside import beside
from slipstate.watch.estimate import Estimate, estimate_network
from slipstate.watch.forecasts import Forecasts, make_forecasts
from slipstate.watch.look_back import Past, look_back
from slipstate.watch.pieces import PIECE, network_rows, run_piece, run_pieces
from slipstate.watch.series import TickSeries


@runtime_checkable
class Store(Protocol):
    """Where finished pieces are kept, on disk or in memory."""

    def get(self, name: str) -> dict[str, np.ndarray] | None:
        """Return the arrays kept under a name, None where there are none."""
        ...

    def put(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Keep arrays under a name, whole or not at all."""
        ...


@dataclass(frozen=True)
class NetworkRun:
    """Everything a watched network has to say.

    Attributes:
        series: The observations.
        estimate: The fit.
        model: The fitted network.
        horizons: Ticks ahead of the forecasts.
        ticks: What the filter said, in arrival order.
        forecasts: Forecasts by valid time.
        past: What all the observations together say about the past.
    """

    series: TickSeries
    estimate: Estimate
    model: NetworkModel
    horizons: tuple[int, ...]
    ticks: NetworkTick
    forecasts: Forecasts
    past: Past


def watch_network(
    series: TickSeries,
    horizons: tuple[int, ...],
    store: Store,
    progress: Progress,
    method: NetworkFilter | None = None,
) -> NetworkRun:
    """Watch a network.

    Args:
        series: The observations.
        horizons: Ticks ahead to forecast.
        store: Keeps finished pieces.
        progress: Shows what is going on.
        method: The filter; None for its defaults.

    Returns:
        The run.
    """
    method = NetworkFilter() if method is None else method
    estimate = _fitted(series, method, horizons, store, progress)
    model = network_model(estimate.parameters, estimate.prior, series.tick)
    states, ticks = _follow(series, method, model, horizons, store, progress)
    rows = forecast_rows(model, horizons)

    forecasts, parts = make_forecasts(
        series,
        ticks,
        horizons,
        np.asarray(estimate.parameters.noise_scale),
        float(np.asarray(estimate.prior.kick_sd)),
        np.asarray(rows.steps),
        method.dof,
    )
    with beside(parts) as finish:
        past = look_back(series, method, estimate, model, rows, states, ticks, progress)
        with progress.task("scoring forecasts", "part") as advance:
            finish(advance)
    return NetworkRun(series, estimate, model, horizons, ticks, forecasts, past)


def _fitted(
    series: TickSeries,
    method: NetworkFilter,
    horizons: tuple[int, ...],
    store: Store,
    progress: Progress,
) -> Estimate:
    """Return the estimate, from the store where it is there."""
    # The fit is deterministic and short, so only its outcome is worth keeping: the
    # numbers, to be exactly those of the run that is resumed.
    kept = store.get("estimate")
    with progress.task("fitting the noise", "step") as advance:
        estimate = estimate_network(
            series,
            method,
            lambda *args: run_pieces(*args, horizons=horizons),
            advance,
            kept,
        )
    if kept is None:
        store.put("estimate", estimate.kept())
    return estimate


def _follow(
    series: TickSeries,
    method: NetworkFilter,
    model: NetworkModel,
    horizons: tuple[int, ...],
    store: Store,
    progress: Progress,
) -> tuple[Callable[[int], NetworkState], NetworkTick]:
    """Follow the whole series, piece by piece, from wherever the store ends."""
    rows = forecast_rows(model, horizons)
    state = method.init(model)
    states: dict[int, NetworkState] = {}
    parts: list[NetworkTick] = []
    like: NetworkTick | None = None
    T = len(series.times)
    with progress.task("following the record", "day") as advance:
        for start in range(0, T, PIECE):
            states[start] = state
            name = f"piece-{start // PIECE:06d}"
            kept = store.get(name)
            if kept is None:
                state, ticks = run_piece(method, model, rows, state, series, start)
                store.put(name, {**_pack("state", state), **_pack("tick", ticks)})
            else:
                state = _unpack("state", kept, state)
                # traced only here, where a run is resumed: it takes its time
                like = like or _structure(method, model, rows, state, series)
                ticks = _unpack("tick", kept, like)
            parts.append(ticks)
            advance(min(start + PIECE, T), T)
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
    return states.__getitem__, joined


def _structure(
    method: NetworkFilter,
    model: NetworkModel,
    rows: Any,
    state: NetworkState,
    series: TickSeries,
) -> NetworkTick:
    """Return a tick of the right structure without computing one."""
    row = jax.tree.map(lambda x: np.asarray(x)[0], network_rows(series, 0))
    return jax.eval_shape(method.step, model, rows, state, row)[1]


def _pack(name: str, tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a record under numbered names."""
    leaves = jax.tree.leaves(tree)
    return {f"{name}.{k:02d}": np.asarray(leaf) for k, leaf in enumerate(leaves)}


def _unpack(name: str, arrays: dict[str, np.ndarray], like: Any) -> Any:
    """Return a record of the same structure as `like` from its arrays."""
    treedef = jax.tree.structure(like)
    leaves = [arrays[f"{name}.{k:02d}"] for k in range(treedef.num_leaves)]
    if name == "state":
        leaves = [jax.device_put(leaf) for leaf in leaves]
    return jax.tree.unflatten(treedef, leaves)
