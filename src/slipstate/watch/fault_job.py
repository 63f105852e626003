"""Watching a fault: a filter that knows the physics follows its slip rate and stress.

The bridge filter unless another is asked for. Beside it an ensemble Kalman filter and a
particle filter follow the same record, so that the scorecard says what the choice of
filter is worth.
"""

from pathlib import Path

import numpy as np
import xarray as xr

from slipstate import __version__
from slipstate.earth.fault_record import fault_from_record
from slipstate.earth.twin import DAY, FaultTwin, build_twin, with_ensemble
from slipstate.fit import FolderStore, fingerprint
from slipstate.fit.progress import Progress
from slipstate.ground.errors import InputError
from slipstate.watch.fault_dataset import HORIZONS, fault_dataset
from slipstate.watch.fault_events import fault_events
from slipstate.watch.fault_follow import FaultRun, FaultSeries, follow_fault
from slipstate.watch.fault_forecasts import FaultForecasts, forecast_fault
from slipstate.watch.fault_methods import (
    FAULT_METHODS,
    MEMBERS,
    FaultMethod,
    compared_with,
)
from slipstate.watch.output import CHECKPOINT
from slipstate.watch.pipeline import Watched, provenance, scored

SEED = 20_100_405


def watch_twin(
    folder: Path,
    *,
    resume: bool,
    progress: Progress,
    chosen: FaultMethod = FAULT_METHODS[0],
) -> Watched:
    """Watch the embedded fault.

    Args:
        folder: Output folder; finished pieces are kept in its checkpoint.
        resume: Go on from what is there.
        progress: Shows what is going on.
        chosen: The filter.

    Returns:
        The finished run.

    Raises:
        CheckpointError: What is to be resumed was made with other settings.
    """
    store = _store(folder, [], chosen, resume)
    with progress.task("simulating the fault", "fault") as advance:
        advance(0, 1)
        twin = build_twin(members=MEMBERS, seed=SEED)
        advance(1, 1)
    return _watch(twin, chosen, "slipstate watch of a simulated fault", store, progress)


def watch_fault(
    record: xr.Dataset,
    path: Path,
    folder: Path,
    *,
    resume: bool,
    progress: Progress,
    chosen: FaultMethod = FAULT_METHODS[0],
) -> Watched:
    """Watch a fault from its record.

    Args:
        record: What was seen of it; its attributes tell the fault.
        path: Where it was read from.
        folder: Output folder; finished pieces are kept in its checkpoint.
        resume: Go on from what is there.
        progress: Shows what is going on.
        chosen: The filter.

    Returns:
        The finished run.

    Raises:
        InputError: The record cannot be followed.
        CheckpointError: What is to be resumed was made with other data or settings.
    """
    try:
        twin = fault_from_record(record, MEMBERS, SEED)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    store = _store(folder, [path], chosen, resume)
    return _watch(twin, chosen, f"slipstate watch of {path.name}", store, progress)


def _store(
    folder: Path, paths: list[Path], chosen: FaultMethod, resume: bool
) -> FolderStore:
    """Return where finished pieces are kept."""
    settings = {
        "method": chosen.name,
        "methods": [repr(m.method) for m in (chosen, *compared_with(chosen))],
        "seed": SEED,
        "version": __version__,
    }
    store = FolderStore(folder / CHECKPOINT, fingerprint(paths, settings))
    if not resume:
        store.start()
    return store


def _watch(
    twin: FaultTwin,
    chosen: FaultMethod,
    title: str,
    store: FolderStore,
    progress: Progress,
) -> Watched:
    """Follow a fault with the chosen filter and those it is compared with."""
    found, ours = _one(twin, chosen, store, progress)
    peers = {m.label: _one(twin, m, store, progress)[1] for m in compared_with(chosen)}
    run = fault_dataset(twin, found, ours, peers)
    facts = provenance(twin.record, title, "fault")
    sizes = (chosen, *compared_with(chosen))
    facts |= {
        "engine": f"{chosen.words}, {chosen.members} members",
        "engine_label": chosen.label,
        "compared_with": ", ".join(f"{m.label} ({m.members})" for m in sizes[1:]),
        "seed": str(SEED),
        "recurrence": f"{float(twin.cycle.recurrence) / DAY / 365.25:.3f} years",
    }
    run = scored(run.assign_attrs(facts))
    return Watched(run, fault_events(run))


def _one(
    twin: FaultTwin, method: FaultMethod, store: FolderStore, progress: Progress
) -> tuple[FaultRun, FaultForecasts]:
    """Follow a record with one filter and score its forecasts."""
    model = with_ensemble(twin, method.members, SEED)
    series = _series(twin.record)
    found = follow_fault(model, series, method, HORIZONS, SEED, store, progress)
    with progress.task(f"scoring the {method.label}", "horizon") as advance:
        forecasts = forecast_fault(model, found, series.y, HORIZONS, advance)
    return found, forecasts


def _series(record: xr.Dataset) -> FaultSeries:
    """Return the numbers of a record."""
    time = record["time"].values
    days = (time - time[0]) / np.timedelta64(1, "D")
    return FaultSeries(record["value"].values, days, float(days[1] - days[0]))
