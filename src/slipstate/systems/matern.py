"""The Matern processes of half-integer smoothness, with closed steps.

References:
    Hartikainen & Sarkka (2010), Kalman filtering and smoothing solutions to temporal
    Gaussian process regression models, MLSP.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.continuous import as_positive, check_order
from slipstate.systems.discretise import decaying_moments
from slipstate.systems.kernels import AbstractKernel


class Matern(AbstractKernel):
    """The Matern kernel of half-integer smoothness nu = order + 1/2.

    k(r) = variance exp(-z) (p! / (2p)!) sum_i (p+i)! / (i! (p-i)!) (2 z)^(p-i) with
    z = sqrt(2 nu) r / lengthscale and p = order: 1/2 is the Ornstein-Uhlenbeck process.
    Component i of the state is derivative number i of f, over (sqrt(2 nu) /
    lengthscale)^i so that all components are of one size.

    Attributes:
        order: p, the number of derivatives that f has.
        lengthscale: In the unit of time.
        variance: Variance of f.
    """

    order: int = eqx.field(static=True)
    lengthscale: Scalar
    variance: Scalar

    def __init__(
        self, smoothness: float, lengthscale: Numbers, variance: Numbers
    ) -> None:
        """Check and keep the numbers.

        Args:
            smoothness: nu, one of 0.5, 1.5, 2.5, ...
            lengthscale: In the unit of time, positive.
            variance: Variance of f, positive.

        Raises:
            InputError: A number is out of range.
        """
        if smoothness - 0.5 != int(smoothness) or smoothness < 0.5:
            raise InputError(
                f"`smoothness` must be 0.5, 1.5, 2.5, ...; got {smoothness}. Other "
                "Matern kernels are no state spaces of finite size."
            )
        self.order = check_order(int(smoothness))
        self.lengthscale = as_positive("lengthscale", lengthscale)
        self.variance = as_positive("variance", variance)

    def rate(self) -> Scalar:
        """Return sqrt(2 nu) / lengthscale, the one decay rate of the process."""
        return math.sqrt(2.0 * self.order + 1.0) / self.lengthscale

    def readout(self) -> Float[Array, " state"]:
        """Return the row that picks f."""
        return jnp.zeros(self.order + 1, self.variance.dtype).at[0].set(1.0)

    def stationary_cov(self) -> Float[Array, "state state"]:
        """Return the covariance of f and its scaled derivatives."""
        return self.variance * jnp.asarray(_overlap(self.order)[1], self.variance.dtype)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return exp(-z) sum_k N^k z^k / k!, with N nilpotent."""
        z = self.rate() * dt
        power = np.eye(self.order + 1)
        total = jnp.zeros(power.shape, self.variance.dtype)
        for k in range(self.order + 1):
            table = jnp.asarray(power / math.factorial(k), total.dtype)
            total = total + table * z**k
            power = power @ _nilpotent(self.order)
        return total * jnp.exp(-z)

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return the integral of the squared impulse response over the step."""
        z = self.rate() * jnp.asarray(dt, self.variance.dtype)
        table, _ = _overlap(self.order)
        moments = decaying_moments(2 * self.order, 2.0 * z)
        powers = jnp.cumprod(jnp.full_like(moments, z))
        return self.variance * (jnp.asarray(table, z.dtype) @ (powers * moments))

    def covariance(self, lag: ScalarLike) -> Scalar:
        """Return k(lag)."""
        lag = jnp.abs(jnp.asarray(lag, self.variance.dtype))
        p, z = self.order, self.rate() * lag
        f = math.factorial
        polynomial = sum(
            f(p + i) / (f(i) * f(p - i)) * (2.0 * z) ** (p - i) for i in range(p + 1)
        )
        return self.variance * jnp.exp(-z) * polynomial * (f(p) / f(2 * p))


def _nilpotent(order: int) -> np.ndarray:
    """Return A / rate + I of a Matern state: (A / rate + I)^(order + 1) = 0."""
    n = order + 1
    companion = np.eye(n, k=1)
    companion[-1] = [-math.comb(n, k) for k in range(n)]
    return companion + np.eye(n)


def _overlap(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return b_i b_j by powers of s, and its integral with exp(-2 s) over all s > 0.

    b_i(s) exp(-s) is derivative number i of s^order / order! exp(-s): what is left of
    an impulse after s. Both are scaled so that the integral of b_0^2 is one.
    """
    b = np.zeros((order + 1, order + 1))
    for i in range(order + 1):
        for j in range(i + 1):
            sign = (-1.0) ** (i - j)
            b[i, order - j] += sign * math.comb(i, j) / math.factorial(order - j)
    table = np.array([[np.convolve(one, other) for other in b] for one in b])
    whole = table @ [math.factorial(m) / 2.0 ** (m + 1) for m in range(2 * order + 1)]
    return table / whole[0, 0], whole / whole[0, 0]
