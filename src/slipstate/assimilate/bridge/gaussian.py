"""The Schroedinger bridge between two normal distributions, in closed form.

Among all processes with marginals N(m0, S0) at time 0 and N(m1, S1) at time 1, the one
closest in relative entropy to Brownian motion of variance sigma^2 t has

    D = (4 S0^1/2 S1 S0^1/2 + sigma^4 I)^1/2,
    C = Cov(X0, X1) = (S0^1/2 D S0^-1/2 - sigma^2 I) / 2,
    X1 | x0 ~ N(m1 + C^T S0^-1 (x0 - m0), S1 - C^T S0^-1 C),
    X_t ~ N((1-t) m0 + t m1, (1-t)^2 S0 + t^2 S1 + t (1-t) (C + C^T + sigma^2 I)).

With sigma = 0 the coupling is the optimal transport map; with sigma without bound the
ends are independent.

References:
    Bunne, Hsieh, Cuturi & Krause (2022), The Schroedinger bridge between Gaussian
    measures has a closed form, arXiv 2202.05722.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.elimination import decorrelate, psd_root
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Key, Scalar, ScalarLike
from slipstate.systems.beliefs import Gaussian


class GaussianBridge(eqx.Module):
    """The bridge from N(m0, S0) to N(m1, S1) with a Brownian reference.

    Attributes:
        start: The distribution at time 0; its covariance must be positive definite.
        end: The distribution at time 1.
        cross: C, the covariance of the two ends.
        gain: C^T S0^-1, the slope of the mean of X1 given X0.
        sigma: Standard deviation of the reference over the whole time.
    """

    start: Gaussian
    end: Gaussian
    cross: Float[Array, "state state"]
    gain: Float[Array, "state state"]
    sigma: Scalar

    def __init__(self, start: Gaussian, end: Gaussian, sigma: ScalarLike = 0.0) -> None:
        """Solve for the covariance of the two ends.

        Args:
            start: The distribution at time 0.
            end: The distribution at time 1.
            sigma: Standard deviation of the reference over the whole time; 0 for the
                optimal transport map.
        """
        S0, S1 = start.cov(), end.cov()
        self.start, self.end = start, end
        self.sigma = jnp.asarray(sigma, S0.dtype)
        values, vectors = jnp.linalg.eigh(symmetric(S0))
        sizes = jnp.sqrt(jnp.maximum(values, 0.0))
        inverse = jnp.where(sizes > 0.0, 1.0 / jnp.where(sizes > 0, sizes, 1.0), 0.0)
        # in the eigenbasis of S0 its roots are diagonal, and D needs one more root
        inside = sizes[:, None] * (vectors.T @ S1 @ vectors) * sizes[None, :]
        eye = jnp.eye(len(sizes), dtype=S0.dtype)
        D = _root(4.0 * inside + self.sigma**4 * eye)
        cross = sizes[:, None] * D * inverse[None, :] - self.sigma**2 * eye
        gain = inverse[:, None] * D * inverse[None, :]
        gain = gain - self.sigma**2 * jnp.diag(inverse**2)
        self.cross = 0.5 * vectors @ cross @ vectors.T
        self.gain = 0.5 * vectors @ gain @ vectors.T

    def conditional(self, x0: Float[Array, " state"]) -> Gaussian:
        """Return the distribution of X1 given X0 = x0."""
        mean = self.end.mean() + self.gain @ (x0 - self.start.mean())
        return Gaussian(mean, symmetric(self.end.cov() - self.gain @ self.cross))

    def marginal(self, t: ScalarLike) -> Gaussian:
        """Return the distribution of X_t, t in [0, 1]."""
        t = jnp.asarray(t, self.cross.dtype)
        mean = (1.0 - t) * self.start.mean() + t * self.end.mean()
        eye = jnp.eye(self.cross.shape[0], dtype=self.cross.dtype)
        both = self.cross + self.cross.T + self.sigma**2 * eye
        ends = (1.0 - t) ** 2 * self.start.cov() + t**2 * self.end.cov()
        return Gaussian(mean, symmetric(ends + t * (1.0 - t) * both))

    def transport(
        self, x0: Float[Array, " state"], *, key: Key
    ) -> Float[Array, " state"]:
        """Draw X1 given X0 = x0; no draw is needed where sigma is 0."""
        there = self.conditional(x0)
        draw = jax.random.normal(key, x0.shape, x0.dtype)
        return there.mean() + psd_root(there.cov()) @ draw

    def drift(self, t: ScalarLike, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """Return the drift of the bridge at time t in [0, 1) and place x.

        The mean of X1 given X_t = x, less x, over the time that is left: along a
        Brownian bridge to a known end the drift is (X1 - x) / (1 - t).

        Args:
            t: Time.
            x: Place.

        Returns:
            b(t, x) of dX = b dt + sigma dW.
        """
        t = jnp.asarray(t, x.dtype)
        here = self.marginal(t)
        # Cov(X1, X_t) with X_t = (1-t) X0 + t X1 + a bridge of its own
        together = (1.0 - t) * self.cross.T + t * self.end.cov()
        columns = jnp.concatenate([(x - here.mean())[:, None], together.T], axis=1)
        pivots, rows = decorrelate(here.cov(), columns)
        inverse = jnp.where(pivots > 0, 1.0 / jnp.where(pivots > 0, pivots, 1.0), 0.0)
        ahead = rows[:, 1:].T @ (inverse * rows[:, 0])
        return (self.end.mean() + ahead - x) / (1.0 - t)


def _root(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the symmetric square root of a positive semi-definite matrix."""
    values, vectors = jnp.linalg.eigh(symmetric(matrix))
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None]) @ vectors.T
