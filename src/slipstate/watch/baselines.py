"""Three forecasts that need no model, fitted on the training part only.

persistence   the last observation at the time of issue
trajectory    level + rate + annual and semi-annual terms by least squares, extrapolated
climatology   the mean of the training part

Each is a Gaussian. So that none is easy to beat, the spread of the first two is the one
that minimises their own mean CRPS over the training part: outliers then cannot make a
baseline timid. Series are columns, NaN where nothing was observed.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

DAY = np.timedelta64(86_400_000_000_000, "ns")
_YEAR = 365.25
_HALF_INVERSE_SQRT_PI = 0.5 / np.sqrt(np.pi)
_INVERSE_SQRT_2PI = 1.0 / np.sqrt(2.0 * np.pi)


class Baseline(NamedTuple):
    """Gaussian forecasts of every series at every time and horizon.

    Attributes:
        mean: Means (time, series, horizon); the last axis is 1 where all are equal.
        sd: Standard deviations (1, series, horizon).
    """

    mean: Float[np.ndarray, "time series horizon"]
    sd: Float[np.ndarray, "1 series horizon"]


def persistence(
    time: np.ndarray,
    values: Float[np.ndarray, "time series"],
    training: Bool[np.ndarray, "time *series"],
    horizons: Float[np.ndarray, " horizon"],
) -> Baseline:
    """Forecast the last observation made at least one horizon ago.

    Args:
        time: Sample times (datetime64), increasing.
        values: Observations, NaN where missing.
        training: True where a sample may be used to fit, for all series or each.
        horizons: Horizons [days].

    Returns:
        The forecasts; NaN before the first observation.
    """
    training = training.reshape(len(training), -1)
    index = np.arange(time.size)[:, None]
    latest = np.maximum.accumulate(np.where(np.isfinite(values), index, -1), axis=0)
    means, sds = [], []
    for horizon in horizons:
        issued = last_before(time, float(horizon))
        source = np.where(issued[:, None] >= 0, latest[issued], -1)
        mean = np.take_along_axis(values, np.maximum(source, 0), axis=0)
        mean = np.where(source >= 0, mean, np.nan)
        means.append(mean)
        sds.append(sharpest_spread(np.where(training, values - mean, np.nan)))
    return Baseline(np.stack(means, -1), np.stack(sds, -1)[None])


def trajectory(
    time: np.ndarray,
    values: Float[np.ndarray, "time series"],
    training: Bool[np.ndarray, "time *series"],
    *,
    seasonal: bool = True,
) -> Baseline:
    """Extrapolate level, rate, annual and semi-annual terms fitted by least squares.

    The seasonal terms need two years of training data to be told from the rate; without
    them they are left out.

    Args:
        time: Sample times (datetime64), increasing.
        values: Observations, NaN where missing.
        training: True where a sample may be used to fit, for all series or each.
        seasonal: Whether the series can have seasons at all.

    Returns:
        The forecasts; NaN for a series with fewer observations than terms + 2.
    """
    training = training.reshape(len(training), -1)
    days = (time - time[0]) / DAY
    scale = days[-1] or 1.0  # one sample has no span
    columns = [np.ones_like(days), days / scale]
    past = days[training.any(1)]
    if seasonal and past.size and past[-1] - past[0] >= 2.0 * _YEAR:
        for cycles in (1.0, 2.0):
            phase = 2.0 * np.pi * cycles * days / _YEAR
            columns += [np.sin(phase), np.cos(phase)]
    design = np.stack(columns, 1)
    mean = np.full(values.shape, np.nan)
    seen = np.isfinite(values) & training
    # series observed at the same samples share one factorisation
    patterns, which = np.unique(seen.T, axis=0, return_inverse=True)
    for number, rows in enumerate(patterns):
        if rows.sum() < design.shape[1] + 2:
            continue
        series = np.flatnonzero(which.ravel() == number)
        terms = np.linalg.lstsq(design[rows], values[np.ix_(rows, series)], rcond=None)
        mean[:, series] = design @ terms[0]
    sd = sharpest_spread(np.where(training, values - mean, np.nan))
    return Baseline(mean[..., None], sd[None, :, None])


def climatology(
    values: Float[np.ndarray, "time series"], training: Bool[np.ndarray, "time *series"]
) -> Baseline:
    """Forecast mean and standard deviation of the training part.

    Args:
        values: Observations, NaN where missing.
        training: True where a sample may be used to fit, for all series or each.

    Returns:
        The forecasts; NaN for a series with fewer than 2 training observations.
    """
    training = training.reshape(len(training), -1)
    past = np.where(training, values, np.nan)
    seen = np.isfinite(past)
    count = np.where(seen.sum(0) > 1, seen.sum(0), np.nan)
    mean = np.where(seen, past, 0.0).sum(0) / count
    square = np.where(seen, past - mean, 0.0) ** 2
    sd = np.sqrt(square.sum(0) / (count - 1.0))
    everywhere = np.broadcast_to(mean[None, :, None], (*values.shape, 1))
    return Baseline(np.ascontiguousarray(everywhere), sd[None, :, None])


def last_before(time: np.ndarray, horizon: float) -> Int[np.ndarray, " time"]:
    """Return for each sample the last one at least `horizon` before it, or -1.

    Args:
        time: Sample times (datetime64), increasing.
        horizon: Horizon [days].

    Returns:
        Indices into `time`.
    """
    stamps = time.astype("datetime64[ns]").astype(np.int64)  # exact, unlike days
    lag = round(horizon * 86_400e9)
    return np.searchsorted(stamps, stamps - lag, side="right") - 1


def sharpest_spread(
    errors: Float[np.ndarray, "time series"],
) -> Float[np.ndarray, " series"]:
    """Return the s for which forecasts N(y - e, s^2) have the smallest mean CRPS.

    The derivative of the CRPS in s is 2 phi(e / s) - 1 / sqrt(pi), so s solves
    mean phi(e / s) = 1 / (2 sqrt(pi)), whose left side grows with s. For Gaussian
    errors s is their standard deviation; one outlier moves it by 1 / count only.

    Args:
        errors: Forecast errors, NaN where missing.

    Returns:
        One spread per series: NaN without two errors; the root mean square where most
        errors are exactly zero and no positive s is best.
    """
    seen = np.isfinite(errors)
    count = np.where(seen.sum(0) > 1, seen.sum(0), np.nan)
    squares = np.where(seen, errors, 0.0) ** 2
    rms = np.sqrt(squares.sum(0) / count)
    zero = np.where(seen, squares == 0.0, False).sum(0) / count
    regular = (rms > 0) & (zero * _INVERSE_SQRT_2PI < 0.99 * _HALF_INVERSE_SQRT_PI)
    spread = np.where(regular, rms, 1.0)
    for _ in range(60):
        half = 0.5 * squares / spread**2
        density = np.where(seen, np.exp(-half), 0.0) * _INVERSE_SQRT_2PI
        excess = density.sum(0) / count - _HALF_INVERSE_SQRT_PI
        slope = (density * 2.0 * half).sum(0) / count  # by log s
        move = -excess / np.where(slope > 1e-12, slope, 1e-12)
        move = np.where(regular, np.clip(move, -1.0, 1.0), 0.0)
        spread = spread * np.exp(move)
        if np.abs(move).max(initial=0.0) < 1e-12:
            break
    return np.where(regular, spread, rms)
