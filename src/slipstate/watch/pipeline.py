"""The main job, from files to a finished run.

`watch_files` reads GNSS positions or any plain series and follows them with the
switching trajectory model; the embedded example follows a simulated fault
(`slipstate.watch.fault_job`). Both end in the same dataset and table.
"""

import datetime
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr

from slipstate import __version__
from slipstate.fit import FolderStore, fingerprint
from slipstate.fit.progress import Progress
from slipstate.ground.errors import InputError
from slipstate.records import combine, read_record, require_length
from slipstate.watch.network_dataset import network_dataset
from slipstate.watch.network_job import watch_network
from slipstate.watch.output import CHECKPOINT
from slipstate.watch.scorecard import scorecard
from slipstate.watch.series import MIN_ROWS, tick_series
from slipstate.watch.table import network_events

HORIZONS = (1, 10, 30)
"""Ticks ahead of the forecasts."""


@dataclass(frozen=True)
class Watched:
    """A finished run.

    Attributes:
        run: Forecasts, states, probabilities, scores.
        events: One row an event.
    """

    run: xr.Dataset
    events: pd.DataFrame


def read_files(paths: Sequence[Path]) -> xr.Dataset:
    """Read one record per file and join them on time.

    Args:
        paths: The files.

    Returns:
        A record with dims (time, station, component).

    Raises:
        RecordError: A file cannot be read, or is too short to watch.
        InputError: The files do not belong together.
    """
    records = []
    for path in paths:
        record = read_record(path)
        if "station" in record.dims:
            records += [record.isel(station=k) for k in range(record.sizes["station"])]
        else:
            records.append(record)
        require_length(record, MIN_ROWS, str(path))
    return combine(records)


def fault_among(paths: Sequence[Path]) -> xr.Dataset | None:
    """Return the record of a fault, None where the files are of something else.

    Args:
        paths: What is to be watched.

    Returns:
        The record, where the only file is one.

    Raises:
        RecordError: The file cannot be read.
    """
    if len(paths) != 1 or paths[0].suffix != ".nc":
        return None
    record = read_record(paths[0])
    return record if record.attrs.get("kind") == "fault" else None


def watch_files(
    paths: Sequence[Path],
    folder: Path,
    *,
    resume: bool,
    progress: Progress,
    train_fraction: float = 0.5,
) -> Watched:
    """Watch the stations in some files.

    Args:
        paths: One file per station.
        folder: Output folder; finished pieces are kept in its checkpoint.
        resume: Go on from what is there.
        progress: Shows what is going on.
        train_fraction: Part of each station that may be used to fit.

    Returns:
        The finished run.

    Raises:
        CheckpointError: What is to be resumed belongs to other data or settings.
        InputError: The data cannot be watched.
    """
    if not 0.05 <= train_fraction <= 0.95:
        raise InputError(
            f"`train_fraction` must lie between 0.05 and 0.95; got {train_fraction}. "
            "Leave some data to fit and some to score."
        )
    record = read_files(paths)
    settings = {
        "train_fraction": train_fraction,
        "horizons": list(HORIZONS),
        "version": __version__,
    }
    store = FolderStore(folder / CHECKPOINT, fingerprint(paths, settings))
    if not resume:
        store.start()
    series = tick_series(record, train_fraction)
    found = watch_network(series, HORIZONS, store, progress)
    run = network_dataset(found, record)
    names = ", ".join(found.series.stations)
    facts = provenance(record, f"slipstate watch of {names}", "gnss")
    facts |= {"source_files": ", ".join(path.name for path in paths), **settings}
    facts["horizons"] = ", ".join(str(h) for h in HORIZONS) + " ticks"
    facts["kind"] = str(record.attrs["kind"])
    run = scored(run.assign_attrs({**run.attrs, **facts}))
    units = [str(u) for u in record["component_units"].values]
    return Watched(run, network_events(found, units))


def scored(run: xr.Dataset) -> xr.Dataset:
    """Return a run with its scorecard and verdict.

    Args:
        run: The run without them.

    Returns:
        The run with them.
    """
    scores = scorecard(run)
    return run.merge(scores).assign_attrs(verdict=scores.attrs["verdict"])


def provenance(record: xr.Dataset, title: str, kind: str) -> dict[str, str]:
    """Return the attributes every run carries.

    Args:
        record: What was watched.
        title: Title of the run.
        kind: Kind of the run.

    Returns:
        CF attributes; those of the record's own go along.
    """
    packages = ("jax", "jaxlib", "numpy", "scipy", "xarray")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = ("source", "references", "institution", "license", "comment")
    return {
        "Conventions": "CF-1.11",
        "title": title,
        "kind": kind,
        "slipstate_version": __version__,
        "versions": ", ".join(versions),
        "history": f"{record.attrs['history']}\n{now}: watched by slipstate",
        **{name: str(record.attrs[name]) for name in kept if name in record.attrs},
    }
