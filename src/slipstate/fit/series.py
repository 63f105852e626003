"""One column of a record as a fit takes it: a regular grid where there is one.

Missing samples of a regular series become rows without observation, so that models that
move by steps stay right in gaps. A series without a grid keeps its stamps.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from slipstate.assimilate.observations import Observations
from slipstate.ground.errors import InputError

_SECOND, _DAY = np.timedelta64(1, "s"), np.timedelta64(1, "D")
_FAST = np.timedelta64(30, "m")  # samples closer than this are counted in seconds
_OFF_GRID = 0.02  # of a step that a stamp of a regular series may be off
_MOST_ROWS = 3  # times the samples that a grid may have
_LEAST_FIT, _LEAST_SCORED = 20, 10


class Series(NamedTuple):
    """One column of a record, cut into a part to fit and a part to score.

    Attributes:
        name: Station and column.
        column: The column alone.
        unit: Unit of the values; "1" for pure numbers.
        time_unit: "s", "day" or "year".
        stamps: Time of each row (datetime64).
        observations: The rows; times are counted from the first in `time_unit`.
        step: Commonest time between rows, in `time_unit`.
        regular: Whether all rows are one step apart.
        cut: First row that is scored and not fitted.
    """

    name: str
    column: str
    unit: str
    time_unit: str
    stamps: np.ndarray
    observations: Observations
    step: float
    regular: bool
    cut: int

    @property
    def values(self) -> Float[np.ndarray, " time"]:
        """The observed values, NaN where there is none."""
        y = np.asarray(self.observations.y)[:, 0]
        return np.where(np.asarray(self.observations.mask)[:, 0], y, np.nan)

    @property
    def times(self) -> Float[np.ndarray, " time"]:
        """Times of the rows from the first one on, in `time_unit`."""
        return np.asarray(self.observations.t)


def column_series(
    record: xr.Dataset, column: str | None = None, *, train: float = 0.7
) -> Series:
    """Take one column out of a record.

    Args:
        record: The record of one station.
        column: Component; None for the first.
        train: Part of the observed samples, the first ones, that models are fitted to.

    Returns:
        The series.

    Raises:
        InputError: No such column, several stations, a part outside (0, 1), too few
            samples on one side, or values that never change.
    """
    if not 0.0 < train < 1.0:
        raise InputError(
            f"`train` must lie between 0 and 1; got {train:g}. Pass a part such as 0.7."
        )
    if "station" in record.dims:
        raise InputError(
            f"`record` must hold one station; got {record.sizes['station']}. Select "
            "one with `record.isel(station=0)`."
        )
    names = [str(name) for name in record["component"].values]
    chosen = names[0] if column is None else column
    if chosen not in names:
        raise InputError(f"`column` must be one of {', '.join(names)}; got {chosen}.")
    part = record.sel(component=chosen)
    seen = np.asarray(part["mask"].values, bool)
    values = np.asarray(part["value"].values, float)[seen]
    stamps = part["time"].values[seen].astype("datetime64[ns]")
    count = int(seen.sum())
    fitted = round(train * count)
    if fitted < _LEAST_FIT or count - fitted < _LEAST_SCORED:
        raise InputError(
            f"`column` {chosen} must leave {_LEAST_FIT} observed samples to fit and "
            f"{_LEAST_SCORED} to score; got {fitted} and {count - fitted} at train "
            f"{train:g}. Pass a longer record, or another part to train on."
        )
    if not np.std(values[:fitted]) > 0.0:
        raise InputError(
            f"`column` {chosen} must change with time; all {fitted} samples to fit "
            f"are {values[0]:g}. Choose another of {', '.join(names)}."
        )
    times, time_unit = _count_time(stamps)
    step = float(np.median(np.diff(times)))
    places = _grid(times, step)
    if places is not None:
        rows = int(places[-1]) + 1
        y = np.full(rows, np.nan)
        y[places] = values
        nanoseconds = stamps.astype(np.int64)
        filled = np.interp(np.arange(rows), places, nanoseconds - nanoseconds[0])
        every = nanoseconds[0] + np.round(filled).astype(np.int64)
        every[places] = nanoseconds
        cut = int(places[fitted])
        stamps, times, values = (
            every.astype("datetime64[ns]"),
            step * np.arange(rows),
            y,
        )
    else:
        cut = fitted
    unit = str(record["component_units"].sel(component=chosen).values)
    station = str(record["station"].values)
    return Series(
        name=f"{station} {chosen}" if station else chosen,
        column=chosen,
        unit=unit or "1",
        time_unit=time_unit,
        stamps=stamps,
        observations=Observations(values[:, None], times),
        step=step,
        regular=places is not None,
        cut=cut,
    )


def _count_time(stamps: np.ndarray) -> tuple[Float[np.ndarray, " time"], str]:
    """Return times since the first stamp, and their unit.

    Stamps that come once a year, at one place of the year, count in calendar years: a
    leap year then is no longer step than others.
    """
    starts = stamps.astype("datetime64[Y]")
    lengths = (starts + 1).astype("datetime64[ns]") - starts.astype("datetime64[ns]")
    place = (stamps - starts.astype("datetime64[ns]")) / lengths
    years = starts.astype(np.int64)
    if np.ptp(place) < 0.01 and np.all(np.diff(years) >= 1):
        return (years - years[0]).astype(float), "year"
    fast = np.median(np.diff(stamps)) < _FAST
    unit = _SECOND if fast else _DAY
    return np.asarray((stamps - stamps[0]) / unit, float), "s" if fast else "day"


def _grid(times: Float[np.ndarray, " time"], step: float) -> np.ndarray | None:
    """Return the number of each sample on a regular grid, or None without one."""
    places = np.round(times / step).astype(int)
    off = np.abs(times - step * places).max() > _OFF_GRID * step
    if off or np.any(np.diff(places) < 1) or places[-1] >= _MOST_ROWS * times.size:
        return None
    return places
