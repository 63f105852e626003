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

from abc import abstractmethod

import jax.numpy as jnp
import jax.scipy.linalg
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, as_real
from slipstate.ground.elimination import psd_root
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import (
    AbstractLinearTransition,
    Input,
    StateSpaceModel,
)


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


def _blocks(
    one: Float[Array, "a a"], other: Float[Array, "b b"]
) -> Float[Array, "n n"]:
    """Return both matrices on the diagonal of a larger one."""
    return jax.scipy.linalg.block_diag(one, other)
