"""The folder of a fit: checked before the work, written whole or not at all."""

import contextlib
import os
from pathlib import Path

import h5py
import pandas as pd
import xarray as xr

from slipstate.ground.errors import OutputError
from slipstate.ground.files import PART, make_folder, replace_file, replace_files
from slipstate.records import netcdf_bytes

FIT, PARAMETERS, MODELS, REPORT = (
    "fit.nc",
    "parameters.csv",
    "models.csv",
    "report.html",
)
_HEADS = {PARAMETERS: b"model,parameter,value,", MODELS: b"model,log_score_nats,"}
_GENERATOR = b'name="generator" content="slipstate'
_HEAD_BYTES = 1 << 16


def prepare_fit_folder(out: str | os.PathLike[str]) -> Path:
    """Return the output folder, made and tried, before any work is done.

    Args:
        out: The folder; it may be new, empty, or hold an earlier fit.

    Raises:
        OutputError: It cannot be made or written, or it holds something else.
    """
    folder = make_folder(out)
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"{folder}: expected a folder to list; found `{error.strerror}`. Choose a "
            "folder you may read and write."
        ) from None
    for name in names:
        if not name.startswith(".") and not _is_ours(folder / name):
            raise OutputError(
                f"{folder}: expected an empty folder or an earlier fit; found "
                f"`{name}`, which `slipstate fit` did not write. Nothing was replaced. "
                "Choose another folder with --out."
            )
    trial = folder / ".trial"
    replace_file(trial, b"")
    with contextlib.suppress(OSError):
        trial.unlink()
    for name in names:  # what a killed run left behind
        if name.startswith(".") and name.endswith(PART):
            with contextlib.suppress(OSError):
                (folder / name).unlink()
    return folder


def write_fit(
    folder: Path,
    *,
    fit: xr.Dataset,
    parameters: pd.DataFrame,
    models: pd.DataFrame,
    report: str,
) -> None:
    """Write the four files of a fit; none is replaced before all are complete.

    Args:
        folder: What `prepare_fit_folder` returned.
        fit: Everything with a time axis.
        parameters: Table of fitted parameters.
        models: Table of models and baselines.
        report: The page.

    Raises:
        OutputError: The disk is full or locked; the old files are untouched.
    """
    replace_files(
        {
            folder / FIT: netcdf_bytes(fit),
            folder / PARAMETERS: _csv(parameters),
            folder / MODELS: _csv(models),
            folder / REPORT: report.encode(),
        }
    )


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _is_ours(path: Path) -> bool:
    """Tell whether an earlier fit wrote a file."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    if path.name in _HEADS:
        return head.startswith(_HEADS[path.name])
    if path.name == REPORT:
        return _GENERATOR in head
    if path.name != FIT:
        return False
    try:
        with h5py.File(path, "r") as file:
            return "slipstate_version" in file.attrs
    except (OSError, RuntimeError):
        return False
