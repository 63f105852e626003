"""Watching stations: fit, follow in arrival order, look back, forecast.

What has been computed is kept piece by piece in a `Store`; a job that is killed goes on
from the last complete piece and ends with the same numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from slipstate.assimilate.mixing import backward_probabilities
from slipstate.assimilate.network import NetworkFilter
from slipstate.assimilate.network_records import NetworkState, NetworkTick
from slipstate.assimilate.network_smoother import smooth_network
from slipstate.earth.trajectory import network_model
from slipstate.fit.progress import Progress
from slipstate.systems.network import NetworkModel, forecast_rows
from slipstate.watch.detect import (
    Event,
    excursions,
    is_resolved,
    is_rupture,
    slip_events,
    step_events,
)
from slipstate.watch.estimate import Estimate, estimate_network
from slipstate.watch.forecasts import Forecasts, make_forecasts
from slipstate.watch.offsets import event_offsets, slip_shape, step_shape
from slipstate.watch.pieces import PIECE, network_rows, run_piece, run_pieces
from slipstate.watch.series import TickSeries
from slipstate.watch.step_days import accepted_days, weigh_steps
from slipstate.watch.weigh import slip_probability


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
        smoothed: Smoothed probability of slipping.
        forecasts: Forecasts by valid time.
        state_mean: Smoothed states [model unit].
        state_sd: Their standard deviations.
        signal_sd: Standard deviation of the smoothed signal.
        events: The events.
        offsets: Their offsets (event, station, comp), units of the record.
        offset_sds: Standard errors of the offsets.
    """

    series: TickSeries
    estimate: Estimate
    model: NetworkModel
    horizons: tuple[int, ...]
    ticks: NetworkTick
    smoothed: np.ndarray
    forecasts: Forecasts
    state_mean: np.ndarray
    state_sd: np.ndarray
    signal_sd: np.ndarray
    events: list[Event]
    offsets: np.ndarray
    offset_sds: np.ndarray


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
    probs, pairs = backward_probabilities(
        jnp.asarray(ticks.log_probs), jnp.asarray(ticks.log_predicted), model.switch
    )
    terms = np.asarray(ticks.log_likelihood)
    smoothed = 1.0 - np.asarray(probs[:, 0])
    rows = forecast_rows(model, horizons)

    def probability(first: int, last: int) -> float:
        return slip_probability(first, last, method, model, rows, states, series, terms)

    filtered = 1.0 - np.exp(ticks.log_probs[:, 0])
    with progress.task("weighing slow slip", "candidate") as advance:
        slips = slip_events(
            series, filtered, smoothed, np.asarray(pairs), probability, advance
        )
    S, T = len(series.stations), len(series.times)
    ramps = [slip_shape(e.first, e.last, smoothed, S) for e in slips]
    days = accepted_days(
        np.asarray(ticks.accepted),
        np.asarray(ticks.age),
        np.any(series.mask, axis=-1),
    )
    columns = [np.zeros((T, 0)), *(ramp.columns for ramp in ramps)]
    # looking back, every day counts as much as the station was quiet then
    weighed = replace(series, scale=series.scale * np.sqrt(ticks.unrest))
    found = weigh_steps(
        weighed, estimate.parameters, estimate.prior, days, np.concatenate(columns, 1)
    )
    steps = step_events(series, np.asarray(ticks.step_prob), found)
    shapes = ramps + [_step(e, S, T, series.tick) for e in steps]
    offsets, sds = event_offsets(weighed, estimate.parameters, shapes)
    real = _reportable(series, estimate, slips, steps, offsets, sds)
    events = [(slips + steps)[k] for k in real]
    order = np.argsort([e.first for e in events], kind="stable")
    events = [events[k] for k in order]
    offsets, sds = offsets[real][order], sds[real][order]
    kicks = np.zeros_like(days)
    for event in steps:
        kicks[event.first, event.stations] = True
    state_mean, state_sd, signal_sd = (
        np.asarray(x)
        for x in smooth_network(
            model,
            jnp.asarray(series.y),
            jnp.asarray(series.mask),
            jnp.asarray(weighed.scale),
            jnp.asarray(smoothed),
            jnp.asarray(kicks),
            method.dof,
        )
    )
    with progress.task("scoring forecasts", "series") as advance:
        forecasts = make_forecasts(
            series,
            ticks,
            horizons,
            np.asarray(estimate.parameters.noise_scale),
            float(np.asarray(estimate.prior.kick_sd)),
            np.asarray(rows.steps),
            method.dof,
            advance,
        )
    return NetworkRun(
        series,
        estimate,
        model,
        horizons,
        ticks,
        smoothed,
        forecasts,
        state_mean,
        state_sd,
        signal_sd,
        events,
        offsets,
        sds,
    )


def _reportable(
    series: TickSeries,
    estimate: Estimate,
    slips: list[Event],
    steps: list[Event],
    offsets: np.ndarray,
    sds: np.ndarray,
) -> list[int]:
    """Return the numbers of the events worth reporting, slips first."""
    rate = np.asarray(estimate.parameters.slip_rate) * series.unit
    real = [k for k in range(len(slips)) if is_resolved(offsets[k], sds[k], rate)]
    known = range(len(slips), len(slips) + len(steps))
    # a step of several stations is judged by the first of them
    station = np.array([int(np.argmax(e.stations)) for e in steps], int)
    own = (np.array(known, int), station)
    undone = excursions(
        np.array([e.first * series.tick for e in steps], float),
        station,
        offsets[own],
        sds[own],
    )
    for k, event, gone in zip(known, steps, undone, strict=True):
        place = (offsets[k], sds[k], event.stations, series.components)
        if not gone and is_rupture(*place):
            real.append(k)
    return real


def _step(event: Event, stations: int, ticks: int, tick: float) -> Any:
    """Return the shape of a step of several stations."""
    shape = step_shape(event.first, 0, stations, ticks, tick)
    return type(shape)(shape.columns, event.stations)


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
            None if kept is None else kept["theta"],
            None if kept is None else kept["common_sd"],
        )
    if kept is None:
        store.put(
            "estimate",
            {
                "theta": estimate.fit.value,
                "common_sd": np.asarray(estimate.parameters.common_sd),
            },
        )
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
    ticks_like = _structure(method, model, rows, state, series)
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
                ticks = _unpack("tick", kept, ticks_like)
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
    row = jax.tree.map(lambda x: x[0], network_rows(series, 0))
    return jax.eval_shape(lambda: method.step(model, rows, state, row))[1]


def _pack(name: str, tree: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a record under numbered names."""
    leaves = jax.tree.leaves(tree)
    return {f"{name}.{k:02d}": np.asarray(leaf) for k, leaf in enumerate(leaves)}


def _unpack(name: str, arrays: dict[str, np.ndarray], like: Any) -> Any:
    """Return a record of the same structure as `like` from its arrays."""
    treedef = jax.tree.structure(like)
    leaves = [arrays[f"{name}.{k:02d}"] for k in range(treedef.num_leaves)]
    if name == "state":
        leaves = [jnp.asarray(leaf) for leaf in leaves]
    return jax.tree.unflatten(treedef, leaves)
