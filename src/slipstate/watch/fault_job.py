"""Watching the embedded fault: an ensemble follows a simulated slow-slip cycle.

The ensemble transform Kalman filter knows the physics and sees ln V and stress every
ten days through noise. Its forecast of an observation is the mixture of what its
members predict, each with the noise of the instrument.
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate import __version__
from slipstate.assimilate import (
    EnsembleTransformKalman,
    Observations,
    Running,
    filter_series,
    init,
)
from slipstate.earth.twin import DAY, FaultTwin, build_twin
from slipstate.fit import FolderStore, fingerprint
from slipstate.fit.progress import Progress
from slipstate.systems.protocol import StateSpaceModel
from slipstate.watch.fault_dataset import HORIZONS, FaultRun, fault_dataset
from slipstate.watch.fault_events import fault_events
from slipstate.watch.output import CHECKPOINT
from slipstate.watch.pipeline import Watched, provenance, scored

MEMBERS, INFLATION, SEED = 50, 1.02, 20_100_405
_PIECE = 50  # steps kept together


def watch_twin(folder: Path, *, resume: bool, progress: Progress) -> Watched:
    """Watch the embedded fault.

    Args:
        folder: Output folder; finished pieces are kept in its checkpoint.
        resume: Go on from what is there.
        progress: Shows what is going on.

    Returns:
        The finished run.
    """
    settings = {"members": MEMBERS, "inflation": INFLATION, "seed": SEED}
    store = FolderStore(
        folder / CHECKPOINT, fingerprint([], settings | {"version": __version__})
    )
    if not resume:
        store.start()
    with progress.task("simulating the fault", "fault") as advance:
        advance(0, 1)
        twin = build_twin(members=MEMBERS, seed=SEED)
        advance(1, 1)
    found = _follow(twin, store, progress)
    with progress.task("scoring forecasts", "horizon") as advance:
        run = fault_dataset(twin, found, advance)
    facts = provenance(twin.record, "slipstate watch of a simulated fault", "fault")
    facts |= {
        "engine": f"ensemble transform Kalman filter, {MEMBERS} members",
        "inflation": str(INFLATION),
        "seed": str(SEED),
        "recurrence": f"{float(twin.cycle.recurrence) / DAY / 365.25:.3f} years",
    }
    run = scored(run.assign_attrs(facts))
    return Watched(run, fault_events(run, float(twin.slider.Vpl)))


def _follow(twin: FaultTwin, store: FolderStore, progress: Progress) -> FaultRun:
    """Follow the record piece by piece, from wherever the store ends."""
    model = twin.model
    method = EnsembleTransformKalman(MEMBERS, INFLATION)
    y = twin.record["value"].values
    time = twin.record["time"].values
    days = (time - time[0]) / np.timedelta64(1, "D")
    every = float(days[1] - days[0])
    T = len(days)
    running = init(model, method, key=jax.random.PRNGKey(SEED))
    parts: list[dict[str, np.ndarray]] = []
    with progress.task("following the fault", "observation") as advance:
        for start in range(0, T, _PIECE):
            name = f"piece-{start // _PIECE:06d}"
            kept = store.get(name)
            if kept is None:
                kept = _piece(model, method, running, y, days, start, every)
                store.put(name, kept)
            running = _unpack(kept, running)
            parts.append(kept)
            advance(min(start + _PIECE, T), T)
    join = lambda name, axis=0: np.concatenate([p[name] for p in parts], axis)
    return FaultRun(
        join("ensembles"),
        join("innovations"),
        join("innovation_vars"),
        join("ahead", 1),
        join("log_likelihoods"),
    )


def _piece(
    model: StateSpaceModel,
    method: EnsembleTransformKalman,
    running: Running,
    y: np.ndarray,
    days: np.ndarray,
    start: int,
    every: float,
) -> dict[str, np.ndarray]:
    """Follow one piece, padded with masked rows so that all are one program."""
    length = min(_PIECE, len(days) - start)
    rows = np.full((_PIECE, y.shape[1]), np.nan)
    rows[:length] = y[start : start + length]
    times = days[start] + every * np.arange(_PIECE)
    times[:length] = days[start : start + length]
    series = Observations(jnp.asarray(rows), jnp.asarray(times))
    result = filter_series(model, series, method, running=running)
    variances = jnp.diagonal(result.innovation_covs, axis1=1, axis2=2)
    ahead = _ahead(model, result.ensembles, jnp.asarray(every))
    out = {
        "ensembles": result.ensembles,
        "innovations": result.innovations,
        "innovation_vars": variances,
        "log_likelihoods": result.step_log_likelihoods,
    }
    kept = {name: np.asarray(x)[:length] for name, x in out.items()}
    kept["ahead"] = np.asarray(ahead)[:, :length]
    leaves = jax.tree.leaves(result.final)
    return kept | {f"running.{k}": np.asarray(x) for k, x in enumerate(leaves)}


def _unpack(kept: dict[str, np.ndarray], like: Running) -> Running:
    """Return where a piece ended."""
    structure = jax.tree.structure(like)
    leaves = [jnp.asarray(kept[f"running.{k}"]) for k in range(structure.num_leaves)]
    return jax.tree.unflatten(structure, leaves)


@eqx.filter_jit
def _ahead(
    model: StateSpaceModel, ensembles: Float[Array, "time ens state"], every: Array
) -> Float[Array, "horizon time ens state"]:
    """Move every ensemble forward to each horizon."""
    move = lambda x: model.transition.mean(x, None, every)

    def step(members: Array, _: None) -> tuple[Array, Array]:
        # time by time, so that a fast ensemble does not slow down all others
        members = jax.lax.map(jax.vmap(move), members)
        return members, members

    _, steps = jax.lax.scan(step, ensembles, None, length=max(HORIZONS))
    return steps[jnp.asarray(HORIZONS) - 1]
