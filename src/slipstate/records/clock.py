"""Times that come as numbers, as UTC instants.

datetime64[ns] reaches from 1678 to 2261; a time outside is refused by name and not
wrapped around.
"""

import numpy as np

from slipstate.records.table import Blame, require_increasing

_FIRST_YEAR, _LAST_YEAR = 1678, 2261
_LONGEST = 9.2e18  # [ns]
_SHIFT = "Nanosecond time stamps reach from 1678 to 2261; shift the times."


def decimal_years(blame: Blame, years: np.ndarray) -> np.ndarray:
    """Return decimal calendar years as instants, to the millisecond.

    The fraction counts in the length of its own year, 365 or 366 days. A float64 year
    resolves 7 microseconds, so what is finer would be noise.

    Args:
        blame: Makes the error that names the place of one time.
        years: Decimal years (time,).

    Returns:
        datetime64[ns], strictly increasing.

    Raises:
        RecordError: A year is missing, out of range, or not later than the one before.
    """
    _require_range(blame, years, _FIRST_YEAR, _LAST_YEAR + 1, "a decimal year")
    whole = np.floor(years)
    start = (whole.astype(np.int64) - 1970).astype("datetime64[Y]")
    first = start.astype("datetime64[ms]").astype(np.int64)
    after = (start + np.timedelta64(1, "Y")).astype("datetime64[ms]")
    length = after.astype(np.int64) - first
    offset = np.round((years - whole) * length).astype(np.int64)
    time = (first + offset).astype("datetime64[ms]").astype("datetime64[ns]")
    require_increasing(blame, time, years)
    return time


def elapsed(blame: Blame, times: np.ndarray, unit: float) -> np.ndarray:
    """Return elapsed times as instants from 1970-01-01T00:00:00 on.

    Args:
        blame: Makes the error that names the place of one time.
        times: Times since the start of the record, in units of `unit` (time,).
        unit: Length of the unit [s].

    Returns:
        datetime64[ns], strictly increasing.

    Raises:
        RecordError: A time is missing, out of range, or not later than the one before.
    """
    bound = _LONGEST / (unit * 1e9)
    _require_range(blame, times, -bound, bound, "an elapsed time")
    # whole units in integers: a float64 of nanoseconds is exact for 104 days only
    scale = round(unit * 1e9)
    whole = np.floor(times)
    rest = np.round((times - whole) * scale).astype(np.int64)
    time = (whole.astype(np.int64) * scale + rest).astype("datetime64[ns]")
    require_increasing(blame, time, times)
    return time


def _require_range(
    blame: Blame, cells: np.ndarray, lowest: float, highest: float, what: str
) -> None:
    outside = np.flatnonzero(~((cells >= lowest) & (cells < highest)))
    if not outside.size:
        return
    index = int(outside[0])
    found = "a missing value" if np.isnan(cells[index]) else f"`{cells[index]:.12g}`"
    raise blame(index, f"{what} from {lowest:.6g} to {highest:.6g}", found, _SHIFT)
