"""Intervals that cover as often as they promise, whatever the model gets wrong.

A forecast says mean m and standard deviation s; the interval given out is

    m +- q_k s,    log q_{k+1} = log q_k + rate (missed_k - (1 - level)),

with missed_k = 1 where the observation fell outside, else 0. Whatever the data do,

    sum_k missed_k = (1 - level) n + (log q_{n+1} - log q_1) / rate,

so the share of misses differs from 1 - level by |log q_{n+1} / q_1| / (rate n) and by
nothing else: no assumption on model, noise or stationarity enters. The price is a width
that wanders by about `rate`. Every component has a q of its own, and rows in which it
was not observed leave it alone.

References:
    Gibbs & Candes (2021), Adaptive conformal inference under distribution shift,
    arXiv 2106.00170. Angelopoulos, Candes & Tibshirani (2023), Conformal PID control
    for time series prediction, arXiv 2307.16895.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Bool, Float

from slipstate.ground.errors import InputError

_WIDEST = 1e6  # of a factor: a forecast this wrong needs another model, not an interval


class Interval(NamedTuple):
    """A forecast of one row: what the model says, and what has held so far.

    Attributes:
        mean: Mean of each component.
        sd: Standard deviation of each component, noise included.
        level: Nominal probability of each pair of ends.
        lower: Lower ends as calibrated, one row per level.
        upper: Upper ends as calibrated.
        raw_lower: Lower ends as the model has them, of a normal distribution.
        raw_upper: Upper ends as the model has them.
    """

    mean: Float[np.ndarray, " obs"]
    sd: Float[np.ndarray, " obs"]
    level: tuple[float, ...]
    lower: Float[np.ndarray, "level obs"]
    upper: Float[np.ndarray, "level obs"]
    raw_lower: Float[np.ndarray, "level obs"]
    raw_upper: Float[np.ndarray, "level obs"]


@dataclass(frozen=True)
class Conformal:
    """Settings of the calibration of intervals while observations come in.

    Attributes:
        levels: Nominal probabilities of the central intervals.
        rate: How fast widths follow, in units of their logarithm per miss.
    """

    levels: tuple[float, ...] = (0.5, 0.9)
    rate: float = 0.02

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        if not (self.levels and all(0.0 < level < 1.0 for level in self.levels)):
            raise InputError(
                f"`levels` must be probabilities between 0 and 1; got {self.levels}. "
                "Pass (0.5, 0.9)."
            )
        if not 0.0 < self.rate < 1.0:
            raise InputError(
                f"`rate` must lie in (0, 1); got {self.rate}. Pass 0.02: a hundred "
                "rows to double a width that is far too small."
            )

    def start(self, obs: int) -> Float[np.ndarray, "level obs"]:
        """Return log q of a normal distribution, for each level and component.

        Args:
            obs: Number of observed components.
        """
        return np.repeat(np.log(self.normal())[:, None], obs, axis=1)

    def normal(self) -> Float[np.ndarray, " level"]:
        """Return half the width of a standard normal number's interval per level."""
        return scipy.special.ndtri(0.5 + 0.5 * np.asarray(self.levels))

    def learn(
        self,
        log_q: Float[np.ndarray, "level obs"],
        z: Float[np.ndarray, " obs"],
        seen: Bool[np.ndarray, " obs"],
    ) -> Float[np.ndarray, "level obs"]:
        """Return log q after one row.

        Args:
            log_q: Logarithm of the factors that were used.
            z: Observation minus mean, over the standard deviation.
            seen: Whether each component was observed.

        Returns:
            A new array.
        """
        missed = np.abs(z) > np.exp(log_q)
        share = 1.0 - np.asarray(self.levels)[:, None]
        moved = log_q + self.rate * (missed - share)
        held = np.clip(moved, -np.log(_WIDEST), np.log(_WIDEST))
        return np.where(seen & np.isfinite(z), held, log_q)

    def interval(
        self,
        log_q: Float[np.ndarray, "level obs"],
        mean: Float[np.ndarray, " obs"],
        sd: Float[np.ndarray, " obs"],
    ) -> Interval:
        """Return a forecast with the factors that have held so far.

        Args:
            log_q: Their logarithm.
            mean: Mean of each component.
            sd: Standard deviation of each component.
        """
        half, raw = np.exp(log_q) * sd, self.normal()[:, None] * sd
        ends = (mean - half, mean + half, mean - raw, mean + raw)
        return Interval(mean, sd, self.levels, *ends)
