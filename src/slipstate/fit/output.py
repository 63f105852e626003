"""The folder of a fit: checked before the work, written whole or not at all."""

import os
from pathlib import Path

import h5py
import pandas as pd
import xarray as xr

from slipstate.ground.files import claim_folder, replace_files
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
    return claim_folder(out, "fit", _is_ours)


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
