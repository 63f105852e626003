"""A run as the eye takes it: time axes, units, detrending, thinning to the pixels."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from slipstate.ground.errors import InputError

DAY = np.timedelta64(86_400_000_000_000, "ns")
_YEAR = 365.25
_SPANS = ((2 * _YEAR, _YEAR, "years"), (3.0, 1.0, "days"), (0.1, 1 / 24, "hours"))
_SYMBOLS = {"tau": "τ", "ln theta": "ln θ"}
_PREFIXES = {"Pa": ((1e6, "MPa"), (1e3, "kPa")), "m": ((1.0, "m"), (1e-3, "mm"))}

Column = Float[np.ndarray, " time"]


class TimeAxis(NamedTuple):
    """How times become positions on an axis.

    Attributes:
        origin: Start of the record.
        unit: Length of one unit [days]; 0 where the axis shows calendar dates.
        label: Label of the axis.
    """

    origin: np.datetime64
    unit: float
    label: str

    def place(self, times: np.ndarray) -> np.ndarray:
        """Return the positions of `times` (datetime64)."""
        if self.unit == 0.0:
            return np.asarray(date2num(times))
        return (times - self.origin) / DAY / self.unit

    def length(self, days: np.ndarray) -> np.ndarray:
        """Return how long `days` are on the axis."""
        return days / (self.unit or 1.0)

    def dress(self, axes: Axes) -> None:
        """Give `axes` the ticks and the label of this axis."""
        if self.unit == 0.0:
            locator = AutoDateLocator(minticks=3, maxticks=8)
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.set_xlabel(self.label)


def time_axis(run: xr.Dataset) -> TimeAxis:
    """Return calendar dates for what was observed, elapsed time for a simulation."""
    times = run["time"].values.astype("datetime64[ns]")
    if run.attrs.get("kind") != "fault":
        return TimeAxis(times[0], 0.0, "")
    span = float((times[-1] - times[0]) / DAY)
    for least, unit, name in _SPANS:
        if span >= least:
            return TimeAxis(times[0], unit, f"time since start ({name})")
    return TimeAxis(times[0], 1 / 86_400, "time since start (s)")


class Unit(NamedTuple):
    """How values of one component are shown.

    Attributes:
        label: Axis label with unit.
        symbol: The unit alone, empty for pure numbers.
        factor: Shown value over stored value.
    """

    label: str
    symbol: str
    factor: float


def display_unit(run: xr.Dataset, component: str) -> Unit:
    """Choose the prefix that keeps the numbers of a component short.

    Args:
        run: The run.
        component: Which component.

    Returns:
        Label, unit and factor.
    """
    stored = str(run["component_units"].sel(component=component).item())
    name = _SYMBOLS.get(component, component)
    if stored in ("1", ""):
        text = f"{name} (V in m/s)" if component == "ln V" else name
        return Unit(text, "", 1.0)
    size = np.abs(run["observed"].sel(component=component).values)
    seen = size[np.isfinite(size)]
    largest = float(np.median(seen)) if seen.size else 1.0
    for least, symbol in _PREFIXES.get(stored, ()):
        if largest >= least:
            return Unit(f"{name} ({symbol})", symbol, 1.0 / least)
    return Unit(f"{name} ({stored})", stored, 1.0)


def event_times(events: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column of ISO 8601 times as datetime64[ns], UTC."""
    stamps = pd.to_datetime(events[column], utc=True, format="ISO8601")
    return stamps.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")


def training_end(run: xr.Dataset) -> np.datetime64 | None:
    """Return the last time used for fitting, or None where there is none."""
    training = run["training"]
    used = training.any([d for d in training.dims if d != "time"]).values
    times = run["time"].values[used].astype("datetime64[ns]")
    return times[-1] if times.size else None


def choose_horizon(run: xr.Dataset, horizon: float | None) -> float:
    """Return the wanted horizon, or the middle one where none is wanted.

    Args:
        run: The run.
        horizon: One of the horizons of the run [days], or None.

    Returns:
        The horizon [days].

    Raises:
        InputError: The run has no such horizon.
    """
    known = np.asarray(run["horizon"].values, dtype=np.float64)
    if horizon is None:
        return float(known[known.size // 2])
    if not np.isclose(known, horizon).any():
        raise InputError(
            f"`horizon` must be one of {known.tolist()} [days]; got {horizon}."
        )
    return float(known[np.argmin(np.abs(known - horizon))])


def smooth_part(
    run: xr.Dataset, events: pd.DataFrame, station: str, component: str
) -> Column:
    """Return line and seasons of a GNSS series, to be taken out before drawing.

    Fitted by least squares together with the steps of the table of events, which stay
    in the series; zero for anything but GNSS.

    Args:
        run: The run.
        events: Its table of events.
        station: Which station.
        component: Which component.

    Returns:
        What to subtract, in the unit of the run.
    """
    times = run["time"].values.astype("datetime64[ns]")
    y = run["observed"].sel(station=station, component=component).values
    seen = run["observed_mask"].sel(station=station, component=component).values
    seen = seen.astype(bool) & np.isfinite(y)
    days = (times - times[0]) / DAY
    if run.attrs.get("kind") != "gnss" or seen.sum() < 30:
        return np.zeros(days.size)
    columns = [np.ones_like(days), days / days[-1]]
    if days[-1] > 2 * _YEAR:
        for cycles in (1.0, 2.0):
            phase = 2 * np.pi * cycles * days / _YEAR
            columns += [np.sin(phase), np.cos(phase)]
    smooth = len(columns)
    if len(events):
        jump = events["type"].to_numpy() != "slow slip"
        for at in event_times(events, "onset")[jump]:
            columns.append((times >= at).astype(np.float64))
    design = np.stack(columns, 1)
    terms = np.linalg.lstsq(design[seen], y[seen], rcond=None)[0]
    return design[:, :smooth] @ terms[:smooth]


def thin(
    x: Column, *columns: Column, most: int = 600, peaks: bool = False
) -> list[np.ndarray]:
    """Average columns in equal bins of x, few enough for the pixels of a figure.

    Empty bins give NaN, so that a line is not drawn through a gap.

    Args:
        x: Positions, increasing.
        columns: Values at x.
        most: Largest number of bins.
        peaks: Keep the maximum of each bin, not the mean.

    Returns:
        Thinned x, then the thinned columns; where there are few samples the same, with
        a row of NaN in each long gap.
    """
    if x.size <= most:
        gaps = np.diff(x)
        wide = np.flatnonzero(gaps > 8.0 * np.median(gaps)) + 1 if gaps.size else []
        return [
            np.insert(np.asarray(x, float), wide, x[wide] if len(wide) else []),
            *(np.insert(np.asarray(c, float), wide, np.nan) for c in columns),
        ]
    edges = np.linspace(x[0], x[-1], most + 1)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, most - 1)
    result = [0.5 * (edges[1:] + edges[:-1])]
    for values in columns:
        seen = np.isfinite(values)
        if peaks:
            out = np.full(most, -np.inf)
            np.maximum.at(out, place[seen], values[seen])
            result.append(np.where(np.isfinite(out), out, np.nan))
            continue
        count = np.bincount(place[seen], minlength=most)
        total = np.bincount(place[seen], values[seen], minlength=most)
        result.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return result


def significant(value: float, digits: int) -> str:
    """Return a number with so many digits, without a power of ten below a million.

    Args:
        value: The number.
        digits: Significant digits, trailing zeros among them.
    """
    if 10.0 ** (digits - 1) <= abs(value) < 1e6:
        return f"{float(f'{value:.{digits}g}'):,.0f}"
    return f"{value:#.{digits}g}".rstrip(".")
