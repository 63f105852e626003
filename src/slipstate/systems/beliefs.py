"""What is believed about a state: every belief answers mean, cov, sample, log_prob.

Forecasts, scores and reports use only these four, so they never ask which filter made
the belief. Beliefs held by samples (`Ensemble`, `Particles`) are in
`slipstate.systems.samples`.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.ground.elimination import decorrelate, psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key, Scalar


class AbstractBelief(eqx.Module):
    """A probability distribution over a state vector."""

    @abstractmethod
    def mean(self) -> Float[Array, " state"]:
        """Return the mean."""

    @abstractmethod
    def cov(self) -> Float[Array, "state state"]:
        """Return the covariance."""

    @abstractmethod
    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """Draw one state."""

    @abstractmethod
    def log_prob(self, x: Float[Array, " state"]) -> Scalar:
        """Return the log density [nats] at `x`."""

    def var(self) -> Float[Array, " state"]:
        """Return the variance of each component."""
        return jnp.diagonal(self.cov())


class Gaussian(AbstractBelief):
    """A normal distribution N(location, covariance).

    Attributes:
        location: The mean m.
        covariance: The covariance P, symmetric positive semi-definite.
    """

    location: Float[Array, " state"]
    covariance: Float[Array, "state state"]

    def mean(self) -> Float[Array, " state"]:
        """Return m."""
        return self.location

    def cov(self) -> Float[Array, "state state"]:
        """Return P."""
        return self.covariance

    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """Draw m + L w with P = L L^T."""
        draw = jax.random.normal(key, self.location.shape, self.location.dtype)
        return self.location + psd_root(self.covariance) @ draw

    def log_prob(self, x: Float[Array, " state"]) -> Scalar:
        """Return log N(x; m, P)."""
        return gaussian_log_density(x - self.location, self.covariance)


class Diffuse(AbstractBelief):
    """A normal distribution that knows nothing at all about some directions.

    The limit of N(m, P + kappa A A^T) as kappa grows without bound. Exact methods
    treat the limit itself, not a large number: see `slipstate.assimilate.Kalman`.

    Attributes:
        location: The mean m, which matters in the known directions only.
        covariance: The covariance P of the known part.
        directions: Columns A of the unknown directions; columns of zeros are none.
    """

    location: Float[Array, " state"]
    covariance: Float[Array, "state state"]
    directions: Float[Array, "state diffuse"]

    def mean(self) -> Float[Array, " state"]:
        """Return m."""
        return self.location

    def cov(self) -> Float[Array, "state state"]:
        """Return P, infinite where the unknown directions reach."""
        unknown = self.directions @ self.directions.T
        return jnp.where(unknown == 0, self.covariance, jnp.sign(unknown) * jnp.inf)

    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """Refuse: an improper distribution has no draws.

        Args:
            key: Random key, unused.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "`Diffuse` has infinite variance and cannot be sampled. Pass a proper "
            "`Gaussian` as the initial belief, or use the Kalman filter."
        )

    def log_prob(self, x: Float[Array, " state"]) -> Scalar:
        """Return minus infinity while any direction is unknown, else log N(x; m, P)."""
        proper = gaussian_log_density(x - self.location, self.covariance)
        return jnp.where(jnp.any(self.directions != 0), -jnp.inf, proper)


class Mixture(AbstractBelief):
    """A mixture of normal distributions, sum_j w_j N(m_j, P_j).

    Attributes:
        log_weights: log w_j, up to a common constant.
        locations: The means m_j.
        covariances: The covariances P_j.
    """

    log_weights: Float[Array, " component"]
    locations: Float[Array, "component state"]
    covariances: Float[Array, "component state state"]

    def weights(self) -> Float[Array, " component"]:
        """Return the normalised weights w_j."""
        return jax.nn.softmax(self.log_weights)

    def mean(self) -> Float[Array, " state"]:
        """Return sum_j w_j m_j."""
        return self.weights() @ self.locations

    def cov(self) -> Float[Array, "state state"]:
        """Return sum_j w_j (P_j + (m_j - m)(m_j - m)^T)."""
        weights = self.weights()
        apart = self.locations - self.mean()[None, :]
        inside = jnp.einsum("j,jab->ab", weights, self.covariances)
        return inside + (apart * weights[:, None]).T @ apart

    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """Draw a component, then a state of it."""
        key_label, key_draw = jax.random.split(key)
        label = jax.random.categorical(key_label, self.log_weights)
        chosen = Gaussian(self.locations[label], self.covariances[label])
        return chosen.sample(key=key_draw)

    def log_prob(self, x: Float[Array, " state"]) -> Scalar:
        """Return log sum_j w_j N(x; m_j, P_j)."""
        residuals = x[None, :] - self.locations
        each = jax.vmap(gaussian_log_density)(residuals, self.covariances)
        return jax.nn.logsumexp(each + jax.nn.log_softmax(self.log_weights))


class Categorical(AbstractBelief):
    """A distribution over the values of a switch; a state is a row of the identity.

    Attributes:
        log_probs: Log probability of each mode, up to a common constant.
    """

    log_probs: Float[Array, " mode"]

    def probs(self) -> Float[Array, " mode"]:
        """Return the normalised probabilities."""
        return jax.nn.softmax(self.log_probs)

    def mean(self) -> Float[Array, " mode"]:
        """Return the probability of each mode."""
        return self.probs()

    def cov(self) -> Float[Array, "mode mode"]:
        """Return diag(p) - p p^T."""
        probs = self.probs()
        return jnp.diag(probs) - probs[:, None] * probs[None, :]

    def sample(self, *, key: Key) -> Float[Array, " mode"]:
        """Draw a mode as a vector with one 1."""
        label = jax.random.categorical(key, self.log_probs)
        return jax.nn.one_hot(label, self.log_probs.shape[0], dtype=float)

    def log_prob(self, x: Float[Array, " mode"]) -> Scalar:
        """Return the log probability of the mode where `x` is 1."""
        return jax.nn.log_softmax(self.log_probs)[jnp.argmax(x)]


def gaussian_log_density(
    residual: Float[Array, " n"], cov: Float[Array, "n n"]
) -> Scalar:
    """Return log N(residual; 0, cov), NaN where `cov` is not positive definite."""
    pivots, white = decorrelate(cov, residual[:, None])
    safe = jnp.where(pivots > 0, pivots, jnp.nan)
    return -0.5 * jnp.sum(white[:, 0] ** 2 / safe + jnp.log(2.0 * jnp.pi * safe))


def masked_log_density(
    residual: Float[Array, " n"], cov: Float[Array, "n n"], mask: Bool[Array, " n"]
) -> Scalar:
    """Return the log density of N(0, cov) over the components where `mask` is True.

    Args:
        residual: The residual; what stands at a masked entry never matters.
        cov: Covariance of all components.
        mask: True where observed.

    Returns:
        log N [nats] of the marginal distribution; 0 where nothing was observed.
    """
    seen = mask.astype(cov.dtype)
    marginal = cov * seen[:, None] * seen[None, :] + jnp.diag(1.0 - seen)
    # a masked component is a standard normal at zero: take its constant back
    dummies = 0.5 * jnp.sum(1.0 - seen) * jnp.log(2.0 * jnp.pi)
    return gaussian_log_density(jnp.where(mask, residual, 0.0), marginal) + dummies
