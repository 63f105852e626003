"""What a candidate model is: from a series to a model with its parameters chosen."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from slipstate.assimilate.kalman import Kalman
from slipstate.assimilate.observations import Observations
from slipstate.assimilate.protocol import AbstractFilter
from slipstate.assimilate.run import filter_series
from slipstate.fit.fitted import Fitted, FittedNumber
from slipstate.fit.mode_candidate import MODE_WORDS, fit_modes
from slipstate.fit.optimise import maximise
from slipstate.fit.series import Series
from slipstate.fit.start_values import Guess, guess, periods
from slipstate.ground.params import Parameter, Positive, Real
from slipstate.ground.types import Key, Scalar
from slipstate.systems.beliefs import Diffuse
from slipstate.systems.protocol import AbstractModel


class Given(eqx.Module):
    """What a model is told and not fitted.

    Attributes:
        mean: Mean of the part to fit.
        sd: Its standard deviation.
        slope: Size of the slopes of short stretches, per time.
        periods: Periods of the seasons.
        unit: Unit of the series.
    """

    mean: Scalar
    sd: Scalar
    slope: Scalar
    periods: tuple[float, ...] = eqx.field(static=True)
    unit: str = eqx.field(static=True)


Values = dict[str, Any]


class Number(NamedTuple):
    """One number to fit: where it starts and what it is.

    Attributes:
        start: Where the search begins, from rough sizes of the data.
        words: What it is.
        unit: Its unit; Y stands for the unit of the series, T for that of time.
        real: Whether it may be negative; it is then counted in the slope of `Given`.
    """

    start: Callable[[Guess, Given], float]
    words: str
    unit: str
    real: bool = False


class AbstractCandidate(ABC):
    """A named model of one series.

    Attributes:
        name: Its name on the command line.
        words: What it is, in a sentence.
    """

    name: str
    words: str

    @abstractmethod
    def refusal(self, series: Series) -> str | None:
        """Say why a series cannot be fitted with it, or None."""

    @abstractmethod
    def fit(self, series: Series, key: Key) -> Fitted:
        """Fit it to the first part of a series.

        Args:
            series: The series.
            key: Random key of restarts.
        """


class LikelihoodCandidate(AbstractCandidate):
    """A model fitted by maximum likelihood on few numbers, with standard errors."""

    def __init__(
        self,
        name: str,
        words: str,
        build: Callable[[Values, Given], AbstractModel],
        numbers: dict[str, Number],
        *,
        seasonal: bool = False,
        method: AbstractFilter | None = None,
        modes: tuple[str, ...] = (),
    ) -> None:
        """Keep what makes the candidate.

        Args:
            name: Its name.
            words: What it is.
            build: Makes the model from values by name and what is given.
            numbers: What is fitted.
            seasonal: Whether it needs seasons.
            method: The filter; None for `Kalman()`.
            modes: Names of its modes.
        """
        self.name, self.words, self.build = name, words, build
        self.numbers, self.seasonal = numbers, seasonal
        self.method = Kalman() if method is None else method
        self.modes = modes

    def refusal(self, series: Series) -> str | None:
        """Seasons need two periods of data to be fitted to."""
        if self.seasonal and not periods(series):
            return (
                "its seasons need two years of samples less than six weeks apart to "
                "fit, or two days of samples less than three hours apart"
            )
        return None

    def fit(self, series: Series, key: Key) -> Fitted:
        """Maximise the likelihood of the first part of a series.

        Args:
            series: The series.
            key: Unused: there is one start.
        """
        rough = guess(series)
        slope = max(abs(rough.slopes[0]), abs(rough.slopes[1]))
        slope = slope or rough.sd / rough.span
        given = Given(
            jnp.asarray(rough.mean),
            jnp.asarray(rough.sd),
            jnp.asarray(slope),
            periods(series),
            series.unit,
        )
        start = {
            key: Parameter(number.start(rough, given), _set(number))
            for key, number in self.numbers.items()
        }
        head = series.observations[: series.cut]
        # without its unit, so that series of equal length share one compilation
        bare = Given(given.mean, given.sd, given.slope, given.periods, "1")
        found = maximise(
            _Likelihood(head, bare, self.build, self.method), start, rtol=1e-6
        )
        model = self.build(found.value, given)
        diffuse = 0
        if isinstance(model.initial, Diffuse):
            diffuse = model.initial.directions.shape[1]
        return Fitted(
            name=self.name,
            words=self.words,
            model=model,
            method=self.method,
            numbers=tuple(
                FittedNumber(
                    number.words,
                    float(found.value[key]) * _scale(number, given),
                    float(found.info["standard_errors"][key]) * _scale(number, given),
                    unit_in_words(number.unit, series),
                )
                for key, number in self.numbers.items()
            ),
            log_likelihood=float(found.info["log_likelihood"]),
            free=len(self.numbers) + diffuse,
            samples=int(np.asarray(head.mask).sum()),
            outcome=found.outcome,
            provenance=found.provenance,
            modes=self.modes,
        )


class ModeCandidate(AbstractCandidate):
    """A hidden Markov model, its number of modes chosen by BIC."""

    name = "hmm"
    words = MODE_WORDS

    def refusal(self, series: Series) -> str | None:
        """Every series can be cut into modes."""
        return None

    def fit(self, series: Series, key: Key) -> Fitted:
        """Fit models of two and of three modes, and keep the one of smaller BIC.

        Args:
            series: The series.
            key: Random key of restarts.
        """
        return fit_modes(series, key)


class _Likelihood(eqx.Module):
    """The log-likelihood of a series as a function of values by name."""

    observations: Observations
    given: Given
    build: Callable[[Values, Given], AbstractModel] = eqx.field(static=True)
    method: AbstractFilter

    def __call__(self, values: Values) -> Scalar:
        model = self.build(values, self.given)
        return filter_series(
            model, self.observations, self.method, cov="none"
        ).log_likelihood


def unit_in_words(unit: str, series: Series) -> str:
    """Return a unit with that of the series for Y and that of time for T.

    Args:
        unit: Such as "Y/sqrt(T)".
        series: The series.
    """
    plain = "" if series.unit == "1" else series.unit
    text = unit.replace("T", series.time_unit)
    if plain:
        return text.replace("Y", plain)
    return text.replace("Y/", "1/").replace("Y", "1")


def _set(number: Number) -> Real | Positive:
    return Real() if number.real else Positive()


def _scale(number: Number, given: Given) -> float:
    return float(given.slope) if number.real else 1.0
