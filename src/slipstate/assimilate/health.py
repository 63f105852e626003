"""Whether a filter is still on track, judged from innovations alone.

    diverged    the state is no number any more
    lost        the climatology has predicted the latest observations better than the
                filter: the running sum (CUSUM) of the log-likelihood ratio is large
    surprised   normalised innovations squared beyond chi-squared, several in a row
    narrow      innovations on average twice as large as they should be, or more
    degenerate  the weights are worth hardly more than one member, several in a row

The first two say that the state is wrong and that starting again from the climatology
would be better: they call for recovery. The others may as well be said of a filter that
is on track with a wrong noise level, where starting again would destroy what is known.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import scipy.special
from jaxtyping import Array, Bool, Float

from slipstate.ground.elimination import decorrelate
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar


class Alarm(enum.Enum):
    """What is wrong; the value is what to look at."""

    diverged = "the state is not finite: check the model's step for this state"
    lost = "climatology predicts better: the filter has lost the trajectory"
    surprised = "innovations beyond chi-squared: check R, outliers, model noise"
    narrow = "innovations exceed the spread: inflate, or add model noise"
    degenerate = "one member carries the weight: more members, or a bridge"


class Signs(NamedTuple):
    """What one row says about the filter.

    Attributes:
        finite: Whether state and likelihood are numbers.
        square: Normalised innovation squared, v^T S^-1 v.
        observed: Number of observed components.
        lead: Log-likelihood of the row less the climatology's [nats]; infinite where
            there is no climatology.
        effective: What the weights are worth, in members; infinite without weights.
    """

    finite: bool
    square: float
    observed: int
    lead: float
    effective: float


class Condition(NamedTuple):
    """What is remembered of the rows before.

    Attributes:
        surprised: Surprising rows in a row.
        degenerate: Degenerate rows in a row.
        behind: What the climatology has gained on the filter [nats].
        ratio: Running mean of normalised innovations squared per component.
    """

    surprised: int = 0
    degenerate: int = 0
    behind: float = 0.0
    ratio: float = 1.0


@dataclass(frozen=True)
class Health:
    """Settings of the alarms.

    Attributes:
        tail: Probability below which an innovation counts as a surprise.
        patience: Rows in a row before a surprise, or degenerate weights, are an alarm.
        behind: What the climatology must have gained [nats].
        narrow: Spread over innovation below which the filter counts as too narrow.
        memory: Rows over which spread and innovation are averaged.
        effective: What weights are worth when they count as degenerate [members].
        recover_on: Alarms that call for recovery.
    """

    tail: float = 1e-3
    patience: int = 3
    behind: float = 10.0
    narrow: float = 0.5
    memory: float = 50.0
    effective: float = 1.5
    recover_on: tuple[Alarm, ...] = (Alarm.diverged, Alarm.lost)

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        if not (0.0 < self.tail < 1.0 and self.patience >= 1 and self.memory >= 1.0):
            raise InputError(
                "`tail` must lie in (0, 1), `patience` and `memory` be at least 1; got "
                f"{self.tail}, {self.patience}, {self.memory}. Leave them out for the "
                "defaults."
            )

    def judge(
        self, before: Condition, signs: Signs
    ) -> tuple[Condition, tuple[Alarm, ...]]:
        """Return what is remembered after a row, and what is wrong.

        Args:
            before: What was remembered before it.
            signs: What it says.

        Returns:
            The condition and the alarms. A row without observations changes nothing.
        """
        if not signs.finite:
            return Condition(), (Alarm.diverged,)
        if signs.observed == 0:
            return before, ()
        unlikely = scipy.special.chdtrc(signs.observed, signs.square) < self.tail
        few = signs.effective < self.effective
        weight = 1.0 / self.memory
        now = Condition(
            before.surprised + 1 if unlikely else 0,
            before.degenerate + 1 if few else 0,
            max(0.0, before.behind - signs.lead),
            (1.0 - weight) * before.ratio + weight * signs.square / signs.observed,
        )
        found = {
            Alarm.lost: now.behind > self.behind,
            Alarm.surprised: now.surprised >= self.patience,
            Alarm.narrow: now.ratio * self.narrow**2 > 1.0,
            Alarm.degenerate: now.degenerate >= self.patience,
        }
        return now, tuple(alarm for alarm, sounds in found.items() if sounds)

    def recovers(self, alarms: tuple[Alarm, ...]) -> bool:
        """Tell whether alarms call for recovery."""
        return any(alarm in self.recover_on for alarm in alarms)


def innovation_square(
    innovation: Float[Array, " obs"],
    cov: Float[Array, "obs obs"],
    mask: Bool[Array, " obs"],
) -> Scalar:
    """Return v^T S^-1 v over the observed components.

    Args:
        innovation: v.
        cov: S.
        mask: True where observed.

    Returns:
        Chi-squared with as many degrees of freedom as components were observed, where
        the model is right.
    """
    seen = mask.astype(cov.dtype)
    finite = jnp.where(mask[:, None] & mask[None, :], cov, 0.0)
    v = jnp.where(mask, innovation, 0.0)
    pivots, white = decorrelate(finite + jnp.diag(1.0 - seen), v[:, None])
    usable = pivots > 0.0
    return jnp.sum(
        jnp.where(usable, white[:, 0] ** 2 / jnp.where(usable, pivots, 1.0), 0.0)
    )
