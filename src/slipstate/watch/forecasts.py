"""Forecasts of observations as Gaussian mixtures, and their scores against what came.

At every tick and horizon the filter leaves a mixture over step hypotheses and modes.
A forecast of the OBSERVATION adds a step that may come in between, and the noise of the
day, whose heavy tail is itself a mixture: normal with a precision drawn from the middle
of equally likely parts of the Gamma distribution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.special
from jaxtyping import Float

from slipstate.assimilate.mixtures import (
    mixture_distribution,
    mixture_log_density,
    mixture_moments,
    mixture_quantiles,
)
from slipstate.assimilate.network_records import NetworkTick
from slipstate.assimilate.scores import crps_mixture
from slipstate.watch.series import TickSeries

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of the forecast quantiles: the 90 % and 50 % intervals and the median."""

_TAIL_PARTS = 3
_NEGLIGIBLE = 1e-4  # weight below which the second hypothesis is not worth its cost


@dataclass(frozen=True)
class Forecasts:
    """Forecasts by valid time, in units of the record.

    Attributes:
        quantiles: Quantiles at `QUANTILES`.
        mean: Means.
        sd: Standard deviations.
        pit: Probability the forecast gave to values below what came; NaN if nothing.
        crps: Continuous ranked probability score.
        log_score: Log density at what came [nats].
    """

    quantiles: Float[np.ndarray, "time station comp horizon quantile"]
    mean: Float[np.ndarray, "time station comp horizon"]
    sd: Float[np.ndarray, "time station comp horizon"]
    pit: Float[np.ndarray, "time station comp horizon"]
    crps: Float[np.ndarray, "time station comp horizon"]
    log_score: Float[np.ndarray, "time station comp horizon"]


def tail_variances(dof: float) -> Float[np.ndarray, " part"]:
    """Return variances of the equal parts that stand for Student's unit noise."""
    middles = (np.arange(_TAIL_PARTS) + 0.5) / _TAIL_PARTS
    return 0.5 * dof / scipy.special.gammaincinv(dof / 2.0, middles)


def make_forecasts(
    series: TickSeries,
    ticks: NetworkTick,
    horizons: tuple[int, ...],
    noise_scale: Float[np.ndarray, "station comp"],
    kick_sd: float,
    kick_probs: Float[np.ndarray, " horizon"],
    dof: float,
) -> tuple[Forecasts, list[Callable[[], None]]]:
    """Turn what the filter said at each tick into forecasts by valid time.

    Args:
        series: The observations.
        ticks: What the filter said.
        horizons: Ticks ahead, in the order of the ticks' own.
        noise_scale: Scale of the noise on an ordinary day, model units.
        kick_sd: Standard deviation of a step [model unit].
        kick_probs: Probability of a step before each horizon.
        dof: Degrees of freedom of the noise.

    Returns:
        The forecasts, NaN where the series is shorter than the horizon, and the parts
        of the work that fill them in: call each once, in any order, in any thread.
    """
    T, S, C = series.y.shape
    H = len(horizons)
    shape = (T, S, C, H)
    out = Forecasts(
        np.full((*shape, len(QUANTILES)), np.nan),
        *(np.full(shape, np.nan) for _ in range(5)),
    )
    values = series.values()
    tails = tail_variances(dof)
    weight, mean, var, unrest = (
        np.asarray(x)
        for x in (ticks.weight, ticks.forecast, ticks.forecast_var, ticks.unrest)
    )
    noise = noise_scale**2 * unrest  # as it was known when the forecast was made

    def part(s: int, c: int, k: int) -> None:
        ahead = horizons[k]
        now = slice(0, T - ahead)
        w, m, v = _mixture(
            weight[now, s], mean[now, k, s, ..., c], var[now, k, s, ..., c]
        )
        w, m, v = _with_step(w, m, v, kick_probs[k], kick_sd)
        w, m, v = _with_noise(w, m, v, noise[now, s, c][:, None, None] * tails)
        at = (slice(ahead, T), s, c, k)
        _fill(out, at, values[ahead:, s, c], w, m, np.sqrt(v))
        _in_record_unit(out, at, series.unit[c])

    every = np.ndindex(S, C, H)
    return out, [partial(part, s, c, k) for s, c, k in every if horizons[k] < T]


def _mixture(
    weight: np.ndarray, mean: np.ndarray, var: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return hypotheses and modes as one axis; a negligible hypothesis is merged."""
    T, hypotheses, modes = weight.shape
    if weight[:, 1].sum(-1).max(initial=0.0) < _NEGLIGIBLE:
        return weight[:, 0], mean[:, 0], var[:, 0]
    flat = (T, hypotheses * modes)
    return weight.reshape(flat), mean.reshape(flat), var.reshape(flat)


def _with_step(
    w: np.ndarray, m: np.ndarray, v: np.ndarray, prob: float, sd: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add the component in which the station steps before the horizon."""
    mean, spread = mixture_moments(w, m, np.sqrt(v))
    mean, spread = np.asarray(mean)[:, None], np.asarray(spread)[:, None]
    w = np.concatenate([(1.0 - prob) * w, np.full_like(mean, prob)], 1)
    return w, np.concatenate([m, mean], 1), np.concatenate([v, spread**2 + sd**2], 1)


def _with_noise(
    w: np.ndarray, m: np.ndarray, v: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give every component each part of the noise."""
    parts = noise.shape[-1]
    w = np.repeat(w / parts, parts, axis=1)
    v = (v[..., None] + noise).reshape(w.shape)
    return w, np.repeat(m, parts, axis=1), v


def _fill(
    out: Forecasts,
    at: tuple,
    y: np.ndarray,
    w: np.ndarray,
    m: np.ndarray,
    sd: np.ndarray,
) -> None:
    """Write one series and horizon."""
    out.quantiles[at] = mixture_quantiles(np.asarray(QUANTILES), w, m, sd)
    out.mean[at], out.sd[at] = mixture_moments(w, m, sd)
    seen = np.isfinite(y)
    where = (np.flatnonzero(seen) + at[0].start, *at[1:])
    data = (y[seen], w[seen], m[seen], sd[seen])
    out.pit[where] = mixture_distribution(*data)
    out.crps[where] = crps_mixture(*data)
    out.log_score[where] = mixture_log_density(*data)


def _in_record_unit(out: Forecasts, at: tuple, unit: float) -> None:
    """Scale lengths of one series and horizon from the model's unit."""
    for x in (out.quantiles, out.mean, out.sd, out.crps):
        x[at] *= unit
    out.log_score[at] -= np.log(unit)
