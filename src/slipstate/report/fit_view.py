"""A fit as the eye takes it: its time axis and its unit."""

import numpy as np
import xarray as xr

from slipstate.report.view import TimeAxis

_SPANS = ((2 * 86_400.0, 86_400.0, "days"), (2 * 3600.0, 3600.0, "hours"))
_SECONDS = 86_400.0


def fit_axis(fit: xr.Dataset) -> TimeAxis:
    """Return calendar dates, or elapsed time where samples are counted in seconds."""
    times = fit["time"].values.astype("datetime64[ns]")
    if fit.attrs["time_unit"] != "s":
        return TimeAxis(times[0], 0.0, "")
    span = float((times[-1] - times[0]) / np.timedelta64(1, "s"))
    for least, unit, name in _SPANS:
        if span >= least:
            return TimeAxis(times[0], unit / _SECONDS, f"time since start ({name})")
    return TimeAxis(times[0], 1.0 / _SECONDS, "time since start (s)")


def value_label(fit: xr.Dataset, less: str = "") -> str:
    """Return the name of the column, what was taken from it, and its unit."""
    unit = str(fit["observed"].attrs["units"])
    return f"{fit.attrs['column']}{less}" + ("" if unit == "1" else f" ({unit})")
