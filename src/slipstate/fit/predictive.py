"""What a model says of one series before it sees a row: one road for all models.

A prediction is a mixture: of one normal distribution for a linear model, of one for
each mode for a switching model, and of Poisson distributions for hidden Markov counts.
"""

from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

from slipstate.assimilate.hidden_markov import ModeState
from slipstate.assimilate.mixtures import (
    mixture_distribution,
    mixture_log_density,
    mixture_moments,
    mixture_quantiles,
)
from slipstate.assimilate.switching import SwitchingState
from slipstate.systems.beliefs import Diffuse, Gaussian
from slipstate.systems.counts import PoissonEmission
from slipstate.systems.gaussian_emissions import GaussianEmission
from slipstate.systems.hidden_markov import HiddenMarkov
from slipstate.systems.protocol import AbstractLinearObservation, AbstractModel

States = Gaussian | Diffuse | SwitchingState | ModeState
"""States of the filters that are asked here, stacked along time."""


class Predictive(NamedTuple):
    """Distributions of one observed number at many times.

    Attributes:
        weights: Weight of each component of the mixture.
        means: Mean of each component.
        sds: Its standard deviation, NaN where a diffuse start is still unknown; of a
            count the square root of the mean.
        counts: Whether the components are Poisson distributions.
    """

    weights: Float[np.ndarray, "time component"]
    means: Float[np.ndarray, "time component"]
    sds: Float[np.ndarray, "time component"]
    counts: bool = False

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation at each time."""
        mean, sd = mixture_moments(self.weights, self.means, self.sds)
        return np.asarray(mean, float), np.asarray(sd, float)

    def pit(self, y: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """Return P(Y <= y); of a count P(Y < y) + P(Y = y) / 2.

        Args:
            y: What was observed, NaN where nothing was.
        """
        if not self.counts:
            share = mixture_distribution(y, self.weights, self.means, self.sds)
            return np.asarray(share, float)
        parts = [_poisson_below(y[:, None] - less, self.means) for less in (0, 1)]
        return np.asarray((self.weights * 0.5 * (parts[0] + parts[1])).sum(-1))

    def log_density(self, y: Float[np.ndarray, " time"]) -> Float[np.ndarray, " time"]:
        """Return log p(y) [nats]; of a count its log probability.

        Args:
            y: What was observed, NaN where nothing was.
        """
        if not self.counts:
            terms = mixture_log_density(y, self.weights, self.means, self.sds)
            return np.asarray(terms)
        each = scipy.special.xlogy(y[:, None], self.means) - self.means
        each = each - scipy.special.gammaln(y + 1.0)[:, None]
        with np.errstate(divide="ignore"):
            terms = scipy.special.logsumexp(each + np.log(self.weights), axis=-1)
        return np.asarray(terms)

    def quantiles(self, levels: list[float]) -> Float[np.ndarray, "time quantile"]:
        """Return quantiles at each time.

        Args:
            levels: Probabilities inside (0, 1).
        """
        if not self.counts:
            return mixture_quantiles(
                np.asarray(levels), self.weights, self.means, self.sds
            )
        largest = float(self.means.max())
        most = int(largest + 8.0 * np.sqrt(largest) + 20.0)
        numbers = np.arange(most + 1.0)
        below = _poisson_below(numbers, self.means[..., None])
        total = (self.weights[..., None] * below).sum(1)
        # the least count that the level does not exceed
        places = [(total < level - 1e-12).sum(1) for level in levels]
        return np.stack(places, 1).astype(float)


def predictive(model: AbstractModel, states: States) -> Predictive:
    """Return what a model says of its one observed number in some filter states.

    Args:
        model: Linear, switching or hidden Markov, with one observed number.
        states: States of its filter before an observation, stacked along time.
    """
    if isinstance(model, HiddenMarkov):
        probs = _mode_probs(states)
        means, sds = mode_moments(model)
        shape = probs.shape
        counts = isinstance(model.observation, PoissonEmission)
        spread = np.broadcast_to(means, shape), np.broadcast_to(sds, shape)
        return Predictive(probs, *spread, counts)
    weights, means, variances = _linear_moments(model, states)
    seen = model.observation
    assert isinstance(seen, AbstractLinearObservation)
    noise = float(np.asarray(seen.noise_cov())[0, 0])
    return Predictive(weights, means, np.sqrt(variances + noise))


def signal(model: AbstractModel, states: States) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the noise-free series.

    Args:
        model: Linear, switching or hidden Markov, with one observed number.
        states: States of its filter or smoother, stacked along time.
    """
    if isinstance(model, HiddenMarkov):
        probs = _mode_probs(states)
        means = np.broadcast_to(mode_moments(model)[0], probs.shape)
        mean, sd = mixture_moments(probs, means, np.zeros_like(means))
    else:
        weights, means, variances = _linear_moments(model, states)
        mean, sd = mixture_moments(weights, means, np.sqrt(variances))
    return np.asarray(mean), np.asarray(sd)


def mode_moments(model: HiddenMarkov) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the observation in each mode.

    Args:
        model: With one observed number, normal or a count.
    """
    emission = model.observation
    if isinstance(emission, PoissonEmission):
        rates = np.asarray(emission.rates)[:, 0]
        return rates, np.sqrt(rates)
    assert isinstance(emission, GaussianEmission)
    variances = np.asarray(emission.covs).reshape(emission.modes)
    return np.asarray(emission.means)[:, 0], np.sqrt(variances)


def _poisson_below(count: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return P(Y <= count) of a Poisson distribution."""
    inside = scipy.special.pdtr(np.maximum(count, 0.0), mean)
    return np.where(count < 0.0, 0.0, inside)


def _mode_probs(states: States) -> np.ndarray:
    """Return the probability of each mode of a hidden Markov model."""
    assert isinstance(states, ModeState)
    return np.asarray(states.probs)


def _linear_moments(
    model: AbstractModel, states: States
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weight, mean and variance of h^T x for each component of a mixture."""
    seen = model.observation
    assert isinstance(seen, AbstractLinearObservation)
    h = np.asarray(seen.matrix())[0]
    offset = float(np.asarray(seen.offset(None))[0])
    if isinstance(states, SwitchingState):
        weights = np.asarray(states.probs)
        means, covs = np.asarray(states.locations), np.asarray(states.covariances)
    else:
        assert isinstance(states, Gaussian | Diffuse)
        means = np.asarray(states.location)[:, None]
        covs = np.asarray(states.covariance)[:, None]
        weights = np.ones(means.shape[:2])
    variances = np.maximum(np.einsum("a,tmab,b->tm", h, covs, h), 0.0)
    if isinstance(states, Diffuse):
        reach = np.einsum("a,tad->td", h, np.asarray(states.directions))
        variances[(reach != 0).any(1)] = np.nan  # nothing is known yet
    return weights, means @ h + offset, variances
