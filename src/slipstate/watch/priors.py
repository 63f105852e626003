"""What is assumed of a station before its training part is fitted.

Level and rate of the first day come from robust statistics of the training part, the
scale of the noise from the scatter of its days, and the rest from what position series
and slow slip are usually like.
"""

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.earth.trajectory import NetworkPrior
from slipstate.watch.series import TickSeries

PARAMETERS = (
    "log noise_scale",
    "log walk",
    "log markov_sd",
    "log markov_time",
    "log slip_rate",
    "log onset_rate",
    "log end_rate",
)
"""What is fitted of one series, in order."""

_SLIP_RATE = 0.25  # [mm/day] expected, against the secular motion
_ONSET, _END = 1.0 / 430.0, 1.0 / 18.0  # [1/day]


def network_prior(series: TickSeries) -> NetworkPrior:
    """Set level and rate of the first day from the training part, robustly."""
    values = np.where(series.training[..., None], series.values(), np.nan)
    days = np.arange(len(series.times)) * series.tick
    S, C = values.shape[1:]
    level, rate = np.zeros((S, C)), np.zeros((S, C))
    for s in range(S):
        for c in range(C):
            seen = np.isfinite(values[:, s, c])
            if not seen.any():
                continue  # first seen after the training part, or never
            t, y = days[seen], values[seen, s, c]
            rate[s, c] = _median_rate(t, y)
            first = t < t[0] + 30.0
            level[s, c] = np.median(y[first]) - rate[s, c] * (t[0])
            # the prior sits on the first tick of the grid, not of the station
    return NetworkPrior(jax.device_put(level), jax.device_put(rate))


def _median_rate(t: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return the median of slopes over about a year, which steps and seasons spare."""
    apart = 365.25 if t[-1] - t[0] > 2 * 365.25 else 0.5 * (t[-1] - t[0])
    later = np.searchsorted(t, t + apart)
    pairs = later < len(t)
    if apart <= 0 or not pairs.any():
        return 0.0
    later = later[pairs]
    return float(np.median((y[later] - y[pairs]) / (t[later] - t[pairs])))


def primary_component(
    rate: Float[Array, "station comp"], components: tuple[str, ...]
) -> np.ndarray:
    """Return, by station, the component whose long-term motion is largest.

    Only horizontal ones count where the record has them: the vertical is noisier and
    moves for other reasons.

    Args:
        rate: Secular rates.
        components: Names of the components.

    Returns:
        Index of the component by station.
    """
    size = np.abs(np.asarray(rate))
    horizontal = np.array([name in ("east", "north") for name in components])
    if horizontal.any():
        size = np.where(horizontal, size, -1.0)
    return np.argmax(size, axis=1)


def parameter_prior(
    series: TickSeries, listens: Bool[np.ndarray, "station comp"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the prior of every series' parameters.

    Args:
        series: The observations; their formal errors set the scale of the noise.
        listens: True for the component the switch listens to.

    Returns:
        Two arrays (station, comp, parameter); a deviation of 0 fixes a parameter.
    """
    S, C = listens.shape
    used = series.mask & series.training[..., None]
    scatter = np.ones((S, C))  # sd of one observation
    for s, c in np.ndindex(S, C):
        steps = _steps(series.y[:, s, c], used[:, s, c])
        if steps.size:
            scatter[s, c] = max(np.median(np.abs(steps)) / 0.95, 1e-3)
    mean = np.zeros((S, C, len(PARAMETERS)))
    mean[..., 0] = np.log(0.8 * scatter)
    mean[..., 1] = np.log(0.05 * np.maximum(scatter, 0.5) / np.sqrt(series.tick))
    mean[..., 2] = np.log(0.7 * scatter)
    mean[..., 3] = np.log(10.0 * series.tick)
    mean[..., 4] = np.log(_SLIP_RATE)
    mean[..., 5], mean[..., 6] = np.log(_ONSET), np.log(_END)
    sd = np.broadcast_to([1.0, 1.0, 1.0, 0.7, 0.35, 0.5, 0.3], mean.shape).copy()
    sd[~listens, 4:] = 0.0
    return mean, sd


def _steps(y: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return differences from tick to tick, or over gaps where no two ticks adjoin."""
    steps = np.diff(y)[used[1:] & used[:-1]]
    return steps if steps.size else np.diff(y[used])
