"""Gaussian processes in time as linear state spaces, exact and of linear cost.

A stationary kernel k whose spectrum is rational is the covariance of one component of
a linear system: filtering it costs one step per observation where a dense Gaussian
process costs the cube of their number. Each kernel here is a transition in continuous
time; `gaussian_process` adds what a filter needs beside it.

    kernel = ProductKernel(Periodic(365.25, 1.0, 1.0), Matern(1.5, 2000.0, 4.0))
    model = gaussian_process(kernel, noise_variance=1.0)

Steps are formed as sums of covariances, also where dt is so short that the difference
of two stationary covariances would keep no digit.

References:
    Hartikainen & Sarkka (2010), Kalman filtering and smoothing solutions to temporal
    Gaussian process regression models, MLSP. Solin & Sarkka (2014), Explicit link
    between periodic covariance functions and state space models, AISTATS.
"""

import math
from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, as_real, is_concrete
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.continuous import check_order
from slipstate.systems.discretise import decaying_moments
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import (
    AbstractLinearTransition,
    Input,
    StateSpaceModel,
)

_ANGLES = 256  # points at which a periodic kernel is expanded into cosines


class AbstractKernel(AbstractLinearTransition):
    """A stationary process f(t) = readout . x(t) with x linear and Gaussian."""

    @abstractmethod
    def stationary_cov(self) -> Float[Array, "state state"]:
        """Return the covariance of the state at any one time."""

    @abstractmethod
    def readout(self) -> Float[Array, " state"]:
        """Return h with f = h^T x."""

    @abstractmethod
    def covariance(self, lag: ScalarLike) -> Scalar:
        """Return cov(f(t), f(t + lag)) by the textbook formula of the kernel."""

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return zero: the process has no mean."""
        return jnp.zeros_like(self.readout())

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return F x."""
        return self.matrix(dt) @ x

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state state"]:
        """Return the triangular L with L L^T = Q."""
        return psd_root(self.noise_cov(dt))


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
        self.lengthscale = _positive("lengthscale", lengthscale)
        self.variance = _positive("variance", variance)

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
        self.period = _positive("period", period)
        self.lengthscale = _positive("lengthscale", lengthscale)
        self.variance = _positive("variance", variance)

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


class SumKernel(AbstractKernel):
    """The sum of two independent processes.

    Attributes:
        first: One process.
        second: The other.
    """

    first: AbstractKernel
    second: AbstractKernel

    def readout(self) -> Float[Array, " state"]:
        """Return both rows, one behind the other."""
        return jnp.concatenate([self.first.readout(), self.second.readout()])

    def stationary_cov(self) -> Float[Array, "state state"]:
        """Return both covariances as blocks."""
        return _blocks(self.first.stationary_cov(), self.second.stationary_cov())

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return both matrices as blocks."""
        return _blocks(self.first.matrix(dt), self.second.matrix(dt))

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return both noises as blocks."""
        return _blocks(self.first.noise_cov(dt), self.second.noise_cov(dt))

    def covariance(self, lag: ScalarLike) -> Scalar:
        """Return the sum of the kernels."""
        return self.first.covariance(lag) + self.second.covariance(lag)


class ProductKernel(AbstractKernel):
    """A process whose kernel is the product of two, such as a season that changes.

    Its state is the Kronecker product of both, with as many components as the product
    of their numbers.

    Attributes:
        first: One kernel.
        second: The other.
    """

    first: AbstractKernel
    second: AbstractKernel

    def readout(self) -> Float[Array, " state"]:
        """Return the Kronecker product of both rows."""
        return jnp.kron(self.first.readout(), self.second.readout())

    def stationary_cov(self) -> Float[Array, "state state"]:
        """Return the Kronecker product of both covariances."""
        return jnp.kron(self.first.stationary_cov(), self.second.stationary_cov())

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return the Kronecker product of both matrices."""
        return jnp.kron(self.first.matrix(dt), self.second.matrix(dt))

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q1 x P2 + F1 P1 F1^T x Q2, which equals P1 x P2 less what stays.

        Both terms are covariances, so nothing cancels where the step is short.
        """
        F, P = self.first.matrix(dt), self.first.stationary_cov()
        born = jnp.kron(self.first.noise_cov(dt), self.second.stationary_cov())
        return born + jnp.kron(F @ P @ F.T, self.second.noise_cov(dt))

    def covariance(self, lag: ScalarLike) -> Scalar:
        """Return the product of the kernels."""
        return self.first.covariance(lag) * self.second.covariance(lag)


def gaussian_process(
    kernel: AbstractKernel, noise_variance: Numbers, unit: str = "1"
) -> StateSpaceModel:
    """Return the model of one noisy series of a Gaussian process.

    Args:
        kernel: The kernel.
        noise_variance: Variance of the observation noise.
        unit: Unit of the series.

    Returns:
        A linear model that starts in the stationary distribution of the kernel.
    """
    start = kernel.stationary_cov()
    noise = as_real("noise_variance", noise_variance, ())
    seen = LinearObservation(
        kernel.readout()[None, :], noise[None, None], None, (unit,)
    )
    return StateSpaceModel(Gaussian(jnp.zeros_like(start[0]), start), kernel, seen)


def _positive(name: str, value: Numbers) -> Scalar:
    """Return a positive number as a scalar.

    Args:
        name: The argument's name, for the message.
        value: The number.

    Raises:
        InputError: It is not positive, as far as it is known.
    """
    number = as_real(name, value, ())
    if is_concrete(number) and not 0.0 < float(number) < math.inf:
        raise InputError(
            f"`{name}` must be positive and finite; got {float(number):.6g}. Leave "
            "out a part of a model that vanishes."
        )
    return number


def _blocks(
    one: Float[Array, "a a"], other: Float[Array, "b b"]
) -> Float[Array, "n n"]:
    """Return both matrices on the diagonal of a larger one."""
    return jax.scipy.linalg.block_diag(one, other)


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
