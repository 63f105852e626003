"""One filter following a fault record, piece by piece, and its forecasts.

The record is followed in pieces of equal length, each kept when it is complete, so that
a run that was killed goes on from its last piece with the same numbers.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.assimilate import AbstractFilter, Observations, Running, init
from slipstate.assimilate.run import filter_series
from slipstate.fit import FolderStore
from slipstate.fit.progress import Progress
from slipstate.ground.types import Key
from slipstate.systems.protocol import StateSpaceModel
from slipstate.watch.fault_methods import FaultMethod

_PIECE = 50  # steps kept together


@dataclass(frozen=True)
class FaultSeries:
    """What a filter is given.

    Attributes:
        y: Observations, NaN where missing.
        days: Time since the first [days], evenly spaced.
        every: Their spacing [days].
    """

    y: Float[np.ndarray, "time obs"]
    days: Float[np.ndarray, " time"]
    every: float


@dataclass(frozen=True)
class FaultRun:
    """What a filter has to say.

    Attributes:
        ensembles: Members after each observation.
        weights: Their weights, which add up to 1.
        innovations: Observation minus prediction.
        innovation_vars: Variance of the prediction.
        ahead: Members at each horizon, issued at each time.
        log_likelihoods: Log density of each observation given the past [nats].
    """

    ensembles: Float[np.ndarray, "time ens state"]
    weights: Float[np.ndarray, "time ens"]
    innovations: Float[np.ndarray, "time obs"]
    innovation_vars: Float[np.ndarray, "time obs"]
    ahead: Float[np.ndarray, "horizon time ens state"]
    log_likelihoods: Float[np.ndarray, " time"]


def follow_fault(
    model: StateSpaceModel,
    series: FaultSeries,
    chosen: FaultMethod,
    horizons: tuple[int, ...],
    seed: int,
    store: FolderStore,
    progress: Progress,
) -> FaultRun:
    """Follow a record, from wherever the store ends.

    Args:
        model: The fault, with a first ensemble of the filter's size.
        series: The record.
        chosen: The filter.
        horizons: Steps ahead of the forecasts, increasing.
        seed: Seed of what the filter draws.
        store: Keeps finished pieces.
        progress: Shows what is going on.

    Returns:
        What the filter has to say.
    """
    T = len(series.days)
    key = jax.random.PRNGKey(seed)
    running = init(model, chosen.method, key=key)
    parts: list[dict[str, np.ndarray]] = []
    title = f"following with the {chosen.label}"
    with progress.task(title, "observation") as advance:
        for start in range(0, T, _PIECE):
            name = f"{chosen.name}-{start // _PIECE:06d}"
            kept = store.get(name)
            if kept is None:
                drawn = jax.random.fold_in(jax.random.fold_in(key, 1), start)
                kept = _piece(
                    model, chosen.method, running, series, start, horizons, drawn
                )
                store.put(name, kept)
            running = _unpack(kept, running)
            parts.append(kept)
            advance(min(start + _PIECE, T), T)
    join = lambda name, axis=0: np.concatenate([p[name] for p in parts], axis)
    return FaultRun(
        join("ensembles"),
        join("weights"),
        join("innovations"),
        join("innovation_vars"),
        join("ahead", 1),
        join("log_likelihoods"),
    )


def _piece(
    model: StateSpaceModel,
    method: AbstractFilter,
    running: Running,
    series: FaultSeries,
    start: int,
    horizons: tuple[int, ...],
    key: Key,
) -> dict[str, np.ndarray]:
    """Follow one piece, padded with masked rows so that all are one program."""
    y, days, every = series.y, series.days, series.every
    length = min(_PIECE, len(days) - start)
    rows = np.full((_PIECE, y.shape[1]), np.nan)
    rows[:length] = y[start : start + length]
    times = days[start] + every * np.arange(_PIECE)
    times[:length] = days[start : start + length]
    given = Observations(jnp.asarray(rows), jnp.asarray(times))
    result = filter_series(model, given, method, running=running)
    ahead = _ahead(model, result.ensembles, jnp.asarray(every), max(horizons), key)
    out = {
        "ensembles": result.ensembles,
        "weights": result.weights,
        "innovations": result.innovations,
        "innovation_vars": result.innovation_variances,
        "log_likelihoods": result.step_log_likelihoods,
    }
    kept = {name: np.asarray(x)[:length] for name, x in out.items()}
    kept["ahead"] = np.asarray(ahead)[np.asarray(horizons) - 1, :length]
    leaves = jax.tree.leaves(result.final)
    return kept | {f"running.{k}": np.asarray(x) for k, x in enumerate(leaves)}


def _unpack(kept: dict[str, np.ndarray], like: Running) -> Running:
    """Return where a piece ended."""
    structure = jax.tree.structure(like)
    leaves = [jnp.asarray(kept[f"running.{k}"]) for k in range(structure.num_leaves)]
    return jax.tree.unflatten(structure, leaves)


@eqx.filter_jit
def _ahead(
    model: StateSpaceModel,
    ensembles: Float[Array, "time ens state"],
    every: Array,
    steps: int,
    key: Key,
) -> Float[Array, "step time ens state"]:
    """Move every ensemble forward, step by step."""

    def move(members: Array, key: Key) -> Array:
        keys = jax.random.split(key, len(members))
        draw = lambda x, k: model.transition.sample(x, None, every, key=k)
        return jax.vmap(draw)(members, keys)

    def step(members: Array, key: Key) -> tuple[Array, Array]:
        # time by time, so that a fast ensemble does not slow down all others
        keys = jax.random.split(key, len(members))
        members = jax.lax.map(lambda both: move(*both), (members, keys))
        return members, members

    return jax.lax.scan(step, ensembles, jax.random.split(key, steps))[1]
