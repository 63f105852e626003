"""What is believed about a state: every belief answers mean, cov, sample, log_prob.

Forecasts, scores and reports use only these four, so they never ask which filter made
the belief.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.linalg import psd_factor
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
        return self.location + psd_factor(self.covariance) @ draw

    def log_prob(self, x: Float[Array, " state"]) -> Scalar:
        """Return log N(x; m, P)."""
        return gaussian_log_density(x - self.location, self.covariance)


def gaussian_log_density(
    residual: Float[Array, " n"], cov: Float[Array, "n n"]
) -> Scalar:
    """Return log N(residual; 0, cov), NaN where `cov` is not positive definite."""
    root = jnp.linalg.cholesky(cov)
    white = jax.scipy.linalg.solve_triangular(root, residual, lower=True)
    log_det = 2.0 * jnp.sum(jnp.log(jnp.diagonal(root)))
    n = residual.shape[0]
    return -0.5 * (jnp.sum(white**2) + log_det + n * jnp.log(2.0 * jnp.pi))
