"""Beliefs held by samples: equal-weight ensembles and weighted particles.

Their density is a mixture of kernels shrunk towards the mean (West 1993), so that the
mixture keeps the mean and the (unbiased) covariance P of the samples:

    h = (4 / (M (state + 2)))^(1 / (state + 4)),  c^2 = (1 - h^2) / (1 - sum_i w_i^2),
    p(x) = sum_i w_i N(x; m + c (x_i - m), h^2 P).

It needs more samples than state components, else P is singular and the density NaN.

References:
    West (1993), Approximating posterior distributions by mixtures, JRSS B 55.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Mixture


class Ensemble(AbstractBelief):
    """Equally likely members.

    Attributes:
        members: One state per row.
    """

    members: Float[Array, "ens state"]

    def mean(self) -> Float[Array, " state"]:
        """Return the average member."""
        return jnp.mean(self.members, axis=0)

    def cov(self) -> Float[Array, "state state"]:
        """Return the sample covariance, normalised by the number of members less 1."""
        apart = self.members - self.mean()[None, :]
        return apart.T @ apart / (self.members.shape[0] - 1)

    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """Draw one member."""
        label = jax.random.randint(key, (), 0, self.members.shape[0])
        return self.members[label]

    def log_prob(self, x: Float[Array, " state"]) -> Scalar:
        """Return the log of the shrunk kernel mixture."""
        size = self.members.shape[0]
        log_weights = jnp.zeros(size, self.members.dtype)
        return kernel_mixture(self, self.members, log_weights, size).log_prob(x)


class Particles(AbstractBelief):
    """Weighted states.

    Attributes:
        members: One state per row.
        log_weights: Log weight of each, up to a common constant.
    """

    members: Float[Array, "ens state"]
    log_weights: Float[Array, " ens"]

    def weights(self) -> Float[Array, " ens"]:
        """Return the normalised weights."""
        return jax.nn.softmax(self.log_weights)

    def effective_size(self) -> Scalar:
        """Return 1 / sum w_i^2, the number of equal weights worth as much."""
        return 1.0 / jnp.sum(self.weights() ** 2)

    def mean(self) -> Float[Array, " state"]:
        """Return the weighted average."""
        return self.weights() @ self.members

    def cov(self) -> Float[Array, "state state"]:
        """Return the weighted covariance, unbiased where the weights are fixed."""
        apart = self.members - self.mean()[None, :]
        weights = self.weights()
        biased = (apart * weights[:, None]).T @ apart
        return biased / (1.0 - jnp.sum(weights**2))

    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """Draw one particle by its weight."""
        return self.members[jax.random.categorical(key, self.log_weights)]

    def log_prob(self, x: Float[Array, " state"]) -> Scalar:
        """Return the log of the shrunk kernel mixture."""
        size = self.effective_size()
        return kernel_mixture(self, self.members, self.log_weights, size).log_prob(x)


def kernel_mixture(
    belief: AbstractBelief,
    members: Float[Array, "ens state"],
    log_weights: Float[Array, " ens"],
    size: ScalarLike,
) -> Mixture:
    """Smooth samples into a mixture with the same mean and covariance.

    Args:
        belief: The samples as a belief; gives mean and covariance.
        members: The samples.
        log_weights: Their log weights.
        size: Effective number of samples, sets the bandwidth.

    Returns:
        One component per sample.
    """
    count, state = members.shape
    mean, cov = belief.mean(), belief.cov()
    width = (4.0 / (size * (state + 2.0))) ** (1.0 / (state + 4.0))
    square = jnp.minimum(jnp.asarray(width, members.dtype) ** 2, 1.0)
    repeated = jnp.sum(jax.nn.softmax(log_weights) ** 2)
    shrink = jnp.sqrt((1.0 - square) / (1.0 - repeated))
    centres = mean[None, :] + shrink * (members - mean[None, :])
    return Mixture(
        log_weights, centres, jnp.broadcast_to(square * cov, (count, state, state))
    )
