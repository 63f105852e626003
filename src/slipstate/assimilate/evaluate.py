"""How well a model predicts rows it has not yet seen, one step ahead."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.kalman import Kalman
from slipstate.assimilate.mixtures import normal_distribution
from slipstate.assimilate.observations import Observations
from slipstate.assimilate.protocol import AbstractFilter
from slipstate.assimilate.run import filter_series
from slipstate.assimilate.scores import crps_gaussian
from slipstate.ground.elimination import decorrelate
from slipstate.ground.errors import InputError
from slipstate.ground.types import Count, Key, Scalar
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()


class Evaluation(eqx.Module):
    """Scores of one-step predictions; every array is NaN where nothing was observed.

    Of a method whose predictions are not normal, `crps` and `pit` judge the normal
    distribution of the same mean and variance; `log_scores` are the method's own.

    Attributes:
        log_scores: -log p(row | earlier rows) [nats], smaller is better.
        squares: Normalised innovation squared v^T S^-1 v; chi-squared with as many
            degrees of freedom as components were observed, if the model is right.
        crps: Continuous ranked probability score, in the unit of each component.
        pit: Probability that the prediction gave to smaller values; uniform if the
            model is right.
        mask: True where a component was observed.
    """

    log_scores: Float[Array, " time"]
    squares: Float[Array, " time"]
    crps: Float[Array, "time obs"]
    pit: Float[Array, "time obs"]
    mask: Bool[Array, "time obs"]

    @property
    def count(self) -> Count:
        """How many values were scored."""
        return jnp.sum(self.mask)

    @property
    def log_score(self) -> Scalar:
        """Mean logarithmic score [nats per observed value]; smaller is better."""
        return jnp.nansum(self.log_scores) / self.count.astype(self.log_scores.dtype)

    @property
    def nis(self) -> Scalar:
        """Normalised innovation squared per observed value; 1 if the model is right."""
        return jnp.nansum(self.squares) / self.count.astype(self.squares.dtype)

    @property
    def mean_crps(self) -> Float[Array, " obs"]:
        """Mean score of each component, in its unit."""
        return jnp.nanmean(self.crps, axis=0)

    def coverage(self, level: float) -> Float[Array, " obs"]:
        """Return how often the central interval of a level held each component.

        Args:
            level: Nominal level, between 0 and 1.
        """
        inside = jnp.abs(self.pit - 0.5) <= 0.5 * level
        held = jnp.where(self.mask, inside.astype(self.pit.dtype), jnp.nan)
        return jnp.nanmean(held, axis=0)


def evaluate(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter = _EXACT,
    *,
    start: int = 0,
    key: Key | None = None,
) -> Evaluation:
    """Score the one-step predictions of a model.

    Args:
        model: The model, its parameters already chosen.
        observations: The series.
        method: The filter.
        start: First row that is scored; rows before it only inform the filter. Give
            the number of rows that the parameters were fitted to.
        key: Random key; needed by methods that draw.

    Returns:
        Scores of the rows from `start` on.

    Raises:
        InputError: `start` leaves no row to score.
        MethodError: The method cannot treat this model.
    """
    if not 0 <= start < len(observations):
        raise InputError(
            f"`start` must be a row of the series, 0 to {len(observations) - 1}; got "
            f"{start}. Leave rows to score."
        )
    result = filter_series(model, observations, method, key=key)
    given = (
        result.step_log_likelihoods[start:],
        result.innovations[start:],
        result.innovation_covs[start:],
        observations.mask[start:],
    )
    return _score(*given)


def log_prob(
    model: AbstractModel,
    observations: Observations,
    method: AbstractFilter = _EXACT,
    *,
    key: Key | None = None,
    prior_at: str = "first",
) -> Scalar:
    """Return log p(observations | model) [nats], differentiable in the model.

    Exact where the method is: Kalman filters of linear models, forward-backward of
    hidden Markov models. Others give their own approximation of it.

    Args:
        model: The model.
        observations: The series.
        method: The filter.
        key: Random key; needed by methods that draw.
        prior_at: As for `filter_series`.
    """
    result = filter_series(
        model, observations, method, key=key, prior_at=prior_at, cov="none"
    )
    return result.log_likelihood


@jax.jit
def _score(
    terms: Float[Array, " time"],
    innovations: Float[Array, "time obs"],
    covs: Float[Array, "time obs obs"],
    mask: Bool[Array, "time obs"],
) -> Evaluation:
    variances = jnp.diagonal(covs, axis1=1, axis2=2)
    sds = jnp.where(mask, jnp.sqrt(jnp.where(mask, variances, 1.0)), 1.0)
    any_seen = jnp.any(mask, axis=1)
    nan = jnp.asarray(jnp.nan, terms.dtype)
    squares = jax.vmap(_square)(innovations, covs, mask)
    crps = crps_gaussian(innovations, jnp.zeros_like(innovations), sds)
    pit = normal_distribution(innovations / sds)
    return Evaluation(
        jnp.where(any_seen, -terms, nan),
        jnp.where(any_seen, squares, nan),
        jnp.where(mask, jnp.asarray(crps), nan),
        jnp.where(mask, jnp.asarray(pit), nan),
        mask,
    )


def _square(
    innovation: Float[Array, " obs"], cov: Float[Array, "obs obs"], mask: Array
) -> Scalar:
    """Return v^T S^-1 v over the observed components."""
    seen = mask.astype(cov.dtype)
    finite = jnp.where(mask[:, None] & mask[None, :], cov, 0.0)
    pivots, white = decorrelate(finite + jnp.diag(1.0 - seen), innovation[:, None])
    return jnp.sum(white[:, 0] ** 2 / pivots)
