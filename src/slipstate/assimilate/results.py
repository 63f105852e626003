"""What the drivers return."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.kept import (
    KeptInnovation,
    Moments,
    covs_of,
    means_of,
    not_kept,
    probs_of,
    samples_of,
    variances_of,
)
from slipstate.assimilate.protocol import (
    AbstractFilter,
    AbstractInfo,
    Running,
    State,
)
from slipstate.ground.solution import Outcome
from slipstate.ground.types import Count, Scalar
from slipstate.systems.samples import Particles


class FilterResult(eqx.Module):
    """What a filter says at every row of a series.

    Attributes:
        predicted: The filter's state at each row before the row was seen, or moments
            of it where the filter was told to keep no covariances.
        filtered: The same after it was seen.
        info: Diagnostics of each update.
        step_log_likelihoods: log p(y_k | earlier rows) [nats], row by row.
        final: Where the run stands, to go on from.
        method: The filter.
    """

    predicted: State | Moments
    filtered: State | Moments
    info: AbstractInfo | KeptInnovation
    step_log_likelihoods: Float[Array, " time"]
    final: Running
    method: AbstractFilter

    @property
    def log_likelihood(self) -> Scalar:
        """The log-likelihood of the series [nats]."""
        return jnp.sum(self.step_log_likelihoods)

    @property
    def means(self) -> Float[Array, "time state"]:
        """Mean of the state given the rows up to each row."""
        return means_of(self.method, self.filtered)

    @property
    def covs(self) -> Float[Array, "time state state"]:
        """Covariance of the state given the rows up to each row."""
        return covs_of(self.method, self.filtered)

    @property
    def variances(self) -> Float[Array, "time state"]:
        """Variance of each component of the state given the rows up to each row."""
        return variances_of(self.method, self.filtered)

    @property
    def predicted_means(self) -> Float[Array, "time state"]:
        """Mean of the state given the rows before each row."""
        return means_of(self.method, self.predicted)

    @property
    def predicted_covs(self) -> Float[Array, "time state state"]:
        """Covariance of the state given the rows before each row."""
        return covs_of(self.method, self.predicted)

    @property
    def innovations(self) -> Float[Array, "time obs"]:
        """Observation minus prediction; 0 where nothing was observed."""
        return self.info.innovation

    @property
    def innovation_covs(self) -> Float[Array, "time obs obs"]:
        """Covariance of the predicted observation, noise included."""
        if isinstance(self.info, KeptInnovation):
            raise not_kept("innovation_covs", "full")
        return self.info.innovation_cov

    @property
    def innovation_variances(self) -> Float[Array, "time obs"]:
        """Variance of each predicted component, noise included."""
        if isinstance(self.info, KeptInnovation):
            if self.info.var is None:
                raise not_kept("innovation_variances", "diagonal")
            return self.info.var
        return jnp.diagonal(self.info.innovation_cov, axis1=1, axis2=2)

    @property
    def ensembles(self) -> Float[Array, "time ens state"]:
        """Members of the ensemble after each row.

        Raises:
            MethodError: The filter carries no ensemble.
        """
        method = self.method
        return jax.vmap(lambda state: samples_of(method, state).members)(self.filtered)

    @property
    def weights(self) -> Float[Array, "time ens"]:
        """Weights of the members of the ensemble after each row; they add up to 1.

        Raises:
            MethodError: The filter carries no ensemble.
        """
        method = self.method
        return jax.vmap(lambda state: _weights(method, state))(self.filtered)

    @property
    def probs(self) -> Float[Array, "time mode"]:
        """Probability of each mode given the rows up to each row.

        Raises:
            MethodError: The filter follows no modes.
        """
        return probs_of(self.method, self.filtered)

    @property
    def failed(self) -> Bool[Array, " time"]:
        """True at rows whose likelihood or mean is not a finite number."""
        finite = jnp.isfinite(self.step_log_likelihoods)
        return ~(finite & jnp.all(jnp.isfinite(self.means), axis=1))

    @property
    def first_failure(self) -> Count:
        """Index of the first failed row; -1 where none failed."""
        return jnp.where(jnp.any(self.failed), jnp.argmax(self.failed), -1)

    @property
    def outcome(self) -> Outcome:
        """How the run ended; `first_failure` says at which row it went wrong."""
        row = self.first_failure
        lost = jnp.any(~jnp.isfinite(self.means[row]))
        reason = Outcome.where(lost, Outcome.not_finite, Outcome.singular_innovation)
        return Outcome.where(row < 0, Outcome.successful, reason)


class SmoothResult(eqx.Module):
    """What is known about every row once the whole series was seen.

    Attributes:
        smoothed: The method's state at each row given all rows, or moments of it.
        filter: The result of the pass forwards.
        lag_one_covs: Covariance of the state at each row but the first (rows) with the
            state one row earlier (columns), given all rows; None unless asked for.
    """

    smoothed: State | Moments
    filter: FilterResult
    lag_one_covs: Float[Array, "steps state state"] | None = None

    @property
    def means(self) -> Float[Array, "time state"]:
        """Mean of the state given all rows."""
        return means_of(self.filter.method, self.smoothed)

    @property
    def covs(self) -> Float[Array, "time state state"]:
        """Covariance of the state given all rows."""
        return covs_of(self.filter.method, self.smoothed)

    @property
    def variances(self) -> Float[Array, "time state"]:
        """Variance of each component of the state given all rows."""
        return variances_of(self.filter.method, self.smoothed)

    @property
    def probs(self) -> Float[Array, "time mode"]:
        """Probability of each mode given all rows.

        Raises:
            MethodError: The method follows no modes.
        """
        return probs_of(self.filter.method, self.smoothed)

    @property
    def log_likelihood(self) -> Scalar:
        """The log-likelihood of the series [nats]."""
        return self.filter.log_likelihood


def _weights(method: AbstractFilter, state: State) -> Float[Array, " ens"]:
    """Return the weights of the members of one filter state."""
    samples = samples_of(method, state)
    if isinstance(samples, Particles):
        return samples.weights()
    size = samples.members.shape[0]
    return jnp.full(size, 1.0 / size, samples.members.dtype)
