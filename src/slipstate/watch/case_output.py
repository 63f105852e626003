"""The folder of a benchmark run: checked before the work, written whole or not."""

import os
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from slipstate.ground.files import PART, claim_folder, replace_files
from slipstate.records import netcdf_bytes
from slipstate.watch.output import CHECKPOINT, REPORT, RUN, check_run

SCORES = "scores.csv"
_HEAD = b"score,value,standard_error"


def prepare_case_folder(out: str | os.PathLike[str]) -> Path:
    """Return the output folder, made and tried, before any work is done.

    Args:
        out: The folder; it may be new, empty, or hold an earlier run.

    Raises:
        OutputError: It cannot be made or written, or it holds something else.
    """
    return claim_folder(out, "run", _is_ours)


def write_case(folder: Path, *, run: xr.Dataset, report: str) -> None:
    """Write the three files of a run; none is replaced before all are complete.

    Args:
        folder: What `prepare_case_folder` returned.
        run: The run with its scores.
        report: The page.

    Raises:
        OutputError: The disk is full or locked; the old files are untouched.
    """
    check_run(run)
    replace_files(
        {
            folder / RUN: netcdf_bytes(run),
            folder / SCORES: scores_csv(run).encode(),
            folder / REPORT: report.encode(),
        }
    )


def scores_csv(run: xr.Dataset) -> str:
    """Return the scores of a run as csv.

    Args:
        run: The run.
    """
    lines = [_HEAD.decode()]
    parts = (run[name].values for name in ("score_name", "score", "score_error"))
    for name, value, error in zip(*parts):
        shown = f"{error:.6g}" if np.isfinite(error) else ""
        lines.append(f"{name},{value:.6g},{shown}")
    return "\n".join(lines) + "\n"


def _is_ours(path: Path) -> bool:
    """Tell whether an earlier run wrote a file or folder."""
    if path.name == CHECKPOINT:
        return path.is_dir() and all(
            entry.suffix in {".json", ".safetensors", PART} for entry in path.iterdir()
        )
    if path.name not in (RUN, SCORES, REPORT) or not path.is_file():
        return False
    if path.name == RUN:
        try:
            with h5py.File(path, "r") as file:
                return file.attrs.get("kind") in ("case", b"case")
        except (OSError, RuntimeError):
            return False
    with path.open("rb") as handle:
        head = handle.read(1 << 16)
    if path.name == SCORES:
        return head.startswith(_HEAD)
    return b'name="generator" content="slipstate' in head
