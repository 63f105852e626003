"""Where a search begins: rough sizes of what moves a series, from its differences."""

from typing import NamedTuple

import numpy as np

from slipstate.fit.series import Series

_YEAR = 365.25  # [day]
_DAY = 86_400.0  # [s]
_FLOOR = 0.02  # of the variance of differences that every source of noise gets


class Guess(NamedTuple):
    """Rough sizes, of the part to fit.

    Attributes:
        mean: Mean of the values.
        sd: Their standard deviation.
        noise: Standard deviation of white noise.
        walk: Growth of the standard deviation of a random walk, per root of time.
        span: Time from first to last sample.
        step: Commonest time between samples.
        slopes: Mean slope of the slower and of the faster stretches, the commoner kind
            first, per time.
        stretch: How long these stretches were.
    """

    mean: float
    sd: float
    noise: float
    walk: float
    span: float
    step: float
    slopes: tuple[float, float]
    stretch: float


def guess(series: Series) -> Guess:
    """Return rough sizes of what moves a series.

    With y = random walk + white noise the differences have variance walk^2 dt + 2
    noise^2 and, with their neighbours, covariance -noise^2.

    Args:
        series: The series; only the part to fit is looked at.
    """
    values, times = series.values[: series.cut], series.times[: series.cut]
    seen = np.isfinite(values)
    y, t = values[seen], times[seen]
    gaps, moves = np.diff(t), np.diff(y)
    gap = float(np.mean(gaps))
    total = float(np.mean(moves**2))
    shared = float(np.mean(moves[1:] * moves[:-1]))
    least = _FLOOR * total
    noise = max(-shared, least)
    walk = max(total + 2.0 * min(shared, 0.0), least)
    stretch, slopes = _two_slopes(y, t)
    return Guess(
        mean=float(np.mean(y)),
        sd=float(np.std(y)),
        noise=float(np.sqrt(noise)),
        walk=float(np.sqrt(walk / gap)),
        span=float(t[-1] - t[0]),
        step=series.step,
        slopes=slopes,
        stretch=stretch,
    )


def periods(series: Series) -> tuple[float, ...]:
    """Return the periods of the seasons that a series can show, none where it cannot.

    A year and half a year for days, a day and half a day for seconds: where the part to
    fit covers two of them and a step is a small part of each.

    Args:
        series: The series.
    """
    if series.time_unit == "year":
        return ()
    whole = _YEAR if series.time_unit == "day" else _DAY
    covered = float(series.times[series.cut - 1])
    found = (whole, 0.5 * whole)
    return found if covered >= 2.0 * whole and series.step < whole / 8.0 else ()


def _two_slopes(y: np.ndarray, t: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return slopes of short stretches in two groups, the larger group first."""
    size = max(4, y.size // 60)
    starts = range(0, y.size - size + 1, size)
    slopes = np.array(
        [np.polyfit(t[i : i + size] - t[i], y[i : i + size], 1)[0] for i in starts]
    )
    stretch = float(np.median([t[i + size - 1] - t[i] for i in starts]))
    low, high = np.quantile(slopes, [0.05, 0.95])
    for _ in range(20):
        near = np.abs(slopes - low) <= np.abs(slopes - high)
        if near.all() or not near.any():
            break
        low, high = slopes[near].mean(), slopes[~near].mean()
    common = np.mean(np.abs(slopes - low) <= np.abs(slopes - high)) >= 0.5
    pair = (float(low), float(high)) if common else (float(high), float(low))
    return stretch, pair
