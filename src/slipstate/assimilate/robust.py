"""Observation noise with heavy tails, so that an outlier is weighted by itself.

Student-t noise of scale r is normal noise of variance r / lambda whose precision factor
lambda is Gamma(dof / 2, dof / 2). Given lambda everything is Gaussian, so a scalar
update is an integral over lambda alone. It is done here by the trapezoidal rule in
log lambda, which converges geometrically for such integrands: the update and the
likelihood are exact to about eight digits, without iteration and without local optima.
The state stays Gaussian by keeping the mean and variance of the exact posterior.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike

_NODES = 80
_WIDEST = 0.4  # spacing in log lambda at which the rule has eight digits for any dof


class StudentT(eqx.Module):
    """Student-t observation noise whose squared scale is the model's R.

    Attributes:
        dof: Degrees of freedom, positive; 4 is robust, 30 is nearly Gaussian.
    """

    dof: ScalarLike = 4.0

    def __check_init__(self) -> None:
        """Refuse degrees of freedom that are not positive."""
        if is_concrete(self.dof) and not float(self.dof) > 0.0:
            raise InputError(
                f"`dof` must be positive; got {float(self.dof)}. Pass 4 for a start."
            )

    def nodes(
        self, dtype: jnp.dtype
    ) -> tuple[Float[Array, " node"], Float[Array, " node"]]:
        """Return 1 / lambda at the nodes of the rule, and the log weights there."""
        half = jnp.asarray(self.dof, dtype) / 2.0
        # the right end is where the Gamma density falls below rounding
        right = jnp.log(1.0 + 8.6 / jnp.sqrt(half) + 37.0 / half)
        spacing = jnp.minimum(_WIDEST, 0.9 / jnp.sqrt(half))
        log_precision = right - spacing * jnp.arange(_NODES, dtype=dtype)
        density = half * (log_precision - jnp.exp(log_precision))
        return jnp.exp(-log_precision), jax.nn.log_softmax(density)

    def _posterior(
        self, v: Scalar, s: Scalar, r: Scalar
    ) -> tuple[Float[Array, " node"], Float[Array, " node"], Float[Array, " node"]]:
        """Return 1 / lambda, total variance and log joint density at each node."""
        inverse, log_weights = self.nodes(v.dtype)
        total = s + r * inverse
        log_joint = log_weights - 0.5 * (v * v / total + jnp.log(2.0 * jnp.pi * total))
        return inverse, total, log_joint

    def log_density(self, v: Scalar, s: Scalar, r: Scalar) -> Scalar:
        """Return the log density [nats] of an innovation.

        Args:
            v: Innovation.
            s: Variance of the predicted signal.
            r: Squared scale of the noise.

        Returns:
            log of the integral of N(v; 0, s + r / lambda) over lambda.
        """
        _, _, log_joint = self._posterior(v, s, r)
        return jax.nn.logsumexp(log_joint)

    def effective_noise(
        self, v: Scalar, s: Scalar, r: Scalar
    ) -> tuple[Scalar, Scalar, Scalar]:
        """Return the Gaussian update with the exact posterior mean and variance.

        Args:
            v: Innovation.
            s: Variance of the predicted signal.
            r: Squared scale of the noise.

        Returns:
            The noise variance that gives the exact mean; the variance that the
            unknown lambda adds to v / (s + noise); the posterior mean of lambda.
        """
        inverse, total, log_joint = self._posterior(v, s, r)
        weights = jax.nn.softmax(log_joint)
        precision = jnp.sum(weights / total)
        noise = jnp.sum(weights * r * inverse / total) / precision
        spread = v * v * jnp.sum(weights * (1.0 / total - precision) ** 2)
        return noise, spread, jnp.sum(weights / inverse)
