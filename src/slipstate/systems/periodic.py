"""Periodic processes as turning pairs of states.

References:
    Solin & Sarkka (2014), Explicit link between periodic covariance functions and state
    space models, AISTATS.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.continuous import as_positive, check_order
from slipstate.systems.kernels import AbstractKernel

_ANGLES = 256  # points at which a periodic kernel is expanded into cosines


class Periodic(AbstractKernel):
    """The periodic kernel, expanded into `harmonics` cosines.

    k(r) = variance exp(-2 sin^2(pi r / period) / lengthscale^2)
         ~ sum_j q_j cos(2 pi j r / period).

    The state is a constant and a turning pair for each harmonic; it makes no noise.

    Attributes:
        harmonics: Number of cosines beside the constant.
        period: In the unit of time.
        lengthscale: Without unit; about 1, smaller for sharper shapes.
        variance: Variance of f, where all harmonics are taken.
    """

    harmonics: int = eqx.field(static=True)
    period: Scalar
    lengthscale: Scalar
    variance: Scalar

    def __init__(
        self,
        period: Numbers,
        lengthscale: Numbers,
        variance: Numbers,
        harmonics: int = 6,
    ) -> None:
        """Check and keep the numbers.

        Args:
            period: In the unit of time, positive.
            lengthscale: Without unit, positive.
            variance: Variance of f, positive.
            harmonics: Number of cosines; 6 keep 1e-5 of the variance at lengthscale 1.

        Raises:
            InputError: A number is out of range.
        """
        self.harmonics = check_order(harmonics)
        self.period = as_positive("period", period)
        self.lengthscale = as_positive("lengthscale", lengthscale)
        self.variance = as_positive("variance", variance)

    def weights(self) -> Float[Array, " harmonic"]:
        """Return q_j, by the trapezoidal rule, which is exact to rounding here."""
        count = max(_ANGLES, 4 * self.harmonics)
        angles = 2.0 * np.pi * np.arange(count) / count
        j = np.arange(self.harmonics + 1)
        table = np.where(j == 0, 1.0, 2.0)[:, None] * np.cos(j[:, None] * angles)
        shape = jnp.asarray(np.sin(angles / 2.0) ** 2, self.variance.dtype)
        values = jnp.exp(-2.0 * shape / self.lengthscale**2)
        weights = jnp.asarray(table / count, values.dtype) @ values
        return self.variance * jnp.maximum(weights, 0.0)

    def readout(self) -> Float[Array, " state"]:
        """Return the row that adds the constant and the first of each pair."""
        row = np.zeros(2 * self.harmonics + 1)
        row[0], row[1::2] = 1.0, 1.0
        return jnp.asarray(row, self.variance.dtype)

    def stationary_cov(self) -> Float[Array, "state state"]:
        """Return diag(q_0, q_1, q_1, q_2, q_2, ...)."""
        weights = self.weights()
        return jnp.diag(jnp.concatenate([weights[:1], jnp.repeat(weights[1:], 2)]))

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return the turn of each pair."""
        turn = 2.0 * jnp.pi * jnp.asarray(dt, self.period.dtype) / self.period
        j = np.arange(self.harmonics + 1)
        angles = jnp.asarray(np.repeat(j, 2)[1:], turn.dtype) * turn
        cosines, sines = jnp.diag(jnp.cos(angles)), jnp.sin(angles)
        # the sines stand beside the diagonal, inside each pair only
        first = jnp.asarray(np.arange(angles.shape[0] - 1) % 2, turn.dtype)
        beside = jnp.diag(first * sines[1:], k=-1)
        return cosines + beside - beside.T

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return zero."""
        n = 2 * self.harmonics + 1
        return jnp.zeros((n, n), self.variance.dtype)

    def covariance(self, lag: ScalarLike) -> Scalar:
        """Return the sum of the cosines that are kept."""
        turn = 2.0 * jnp.pi * jnp.asarray(lag, self.period.dtype) / self.period
        return self.weights() @ jnp.cos(
            jnp.arange(self.harmonics + 1, dtype=turn.dtype) * turn
        )
