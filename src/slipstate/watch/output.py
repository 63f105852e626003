"""The results of a run on disk: `run.nc`, `events.csv` and `report.html`.

The folder is checked before the work begins, so that a run of minutes does not end at
a locked door, and a folder that holds anything but a run of slipstate is left alone.
The three files are complete or not replaced at all.
"""

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from slipstate.ground.errors import InputError
from slipstate.ground.files import PART, claim_folder, replace_files
from slipstate.records import netcdf_bytes

RUN, EVENTS, REPORT, CHECKPOINT = "run.nc", "events.csv", "report.html", "checkpoint"

EVENT_COLUMNS = (
    "onset",
    "onset_lo",
    "onset_hi",
    "type",
    "duration",
    "probability",
    "latency_days",
    "stations",
)
"""Columns every table of events has; offsets stand between `type` and `duration`."""

_TIMES = EVENT_COLUMNS[:3]
_HEAD = 1 << 16
_ATTRIBUTES = ("Conventions", "title", "kind", "history", "slipstate_version")


def prepare_folder(out: str | os.PathLike[str]) -> Path:
    """Return the output folder, made and tried, before any work is done.

    Args:
        out: The folder; it may be new, empty, or hold an earlier run.

    Returns:
        The folder.

    Raises:
        OutputError: It cannot be made or written, or it holds something else.
    """
    return claim_folder(out, "run", _is_ours)


def write_results(
    folder: Path, *, run: xr.Dataset, events: pd.DataFrame, report: str
) -> None:
    """Write the three files of a run; none is replaced before all are complete.

    Args:
        folder: What `prepare_folder` returned.
        run: The forecasts, states and scores.
        events: One row an event, with `EVENT_COLUMNS`.
        report: The page.

    Raises:
        InputError: A variable lacks `units` or `long_name`, or a column is missing.
        OutputError: The disk is full or locked; the old files are untouched.
    """
    check_run(run)
    replace_files(
        {
            folder / RUN: netcdf_bytes(run),
            folder / EVENTS: events_csv(events).encode(),
            folder / REPORT: report.encode(),
        }
    )


def check_run(run: xr.Dataset) -> None:
    """Raise unless every variable says what it is and in which unit.

    Args:
        run: The dataset to be written as `run.nc`.

    Raises:
        InputError: The first variable or attribute that is missing something.
    """
    for name, variable in run.data_vars.items():
        for attribute in ("units", "long_name"):
            if not variable.attrs.get(attribute):
                raise InputError(
                    f"`run[{name!r}].attrs` must have {attribute!r}; got "
                    f"{sorted(variable.attrs)}. Set it where the variable is made."
                )
    for attribute in _ATTRIBUTES:
        if not run.attrs.get(attribute):
            raise InputError(
                f"`run.attrs` must have {attribute!r}; got {sorted(run.attrs)}. Set it "
                "where the run is made."
            )


def events_csv(events: pd.DataFrame) -> str:
    r"""Return the table of events as csv, times in ISO 8601 UTC.

    The same events give the same text, on every platform.

    Args:
        events: One row an event; the times are datetime64.

    Returns:
        The text, lines ended by "\n"; only the header where nothing happened.

    Raises:
        InputError: A column is missing.
    """
    missing = [name for name in EVENT_COLUMNS if name not in events.columns]
    if missing:
        raise InputError(
            f"`events` must have the columns {', '.join(EVENT_COLUMNS)}; got none "
            f"named {', '.join(missing)}. Build it with `watch`."
        )
    offsets = [name for name in events.columns if name not in EVENT_COLUMNS]
    last = EVENT_COLUMNS[4:]
    table = events[[*EVENT_COLUMNS[:4], *offsets, *last]].copy()
    for name in _TIMES:
        stamps = _utc(pd.DataFrame(table), name)
        whole = (stamps == stamps.dt.floor("s")).all()
        form = "%Y-%m-%dT%H:%M:%SZ" if whole else "%Y-%m-%dT%H:%M:%S.%fZ"
        table[name] = stamps.dt.strftime(form).astype("str")
    return table.to_csv(index=False, lineterminator="\n")


def read_events(path: Path) -> pd.DataFrame:
    """Return a table of events as `events_csv` wrote it, times as datetime64 UTC."""
    table = pd.read_csv(path)
    for name in _TIMES:
        table[name] = _utc(table, name).dt.tz_localize(None).astype("datetime64[ns]")
    return table.fillna({"stations": ""}).astype({"probability": np.float64})


def _utc(table: pd.DataFrame, name: str) -> pd.Series:
    stamps = pd.to_datetime(pd.Series(table[name]), utc=True, format="ISO8601")
    return pd.Series(stamps)


def _is_ours(path: Path) -> bool:
    """Tell whether slipstate wrote a file or folder of this name."""
    if path.name == CHECKPOINT:
        return path.is_dir() and all(
            entry.suffix in {".json", ".safetensors", PART} for entry in path.iterdir()
        )
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        head = handle.read(_HEAD)
    if path.name == EVENTS:
        return head.startswith(",".join(EVENT_COLUMNS[:4]).encode())
    if path.name == REPORT:
        return b'name="generator" content="slipstate' in head
    if path.name == RUN:
        try:
            with h5py.File(path, "r") as file:
                return "slipstate_version" in file.attrs
        except (OSError, RuntimeError):
            return False
    return False
