"""Linear systems in continuous time: dx = (A x + c) dt + dw, seen at any times.

Steps are exact for every `dt`, so stamps may be as irregular as they like. The length
of time is the unit of A, W and of the stamps: days with days.
"""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import (
    Numbers,
    as_real,
    check_covariance,
    check_finite,
    is_concrete,
)
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.beliefs import AbstractBelief, Diffuse, Gaussian
from slipstate.systems.discretise import (
    diagonal_step,
    discretise,
    integrated_wiener_step,
)
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import (
    AbstractLinearTransition,
    AbstractStateSpaceModel,
    Input,
)


class AbstractContinuousTransition(AbstractLinearTransition):
    """A linear transition that follows from one in continuous time."""

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return F x + b."""
        return self.matrix(dt) @ x + self.offset(u, dt)

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state state"]:
        """Return the triangular L with L L^T = Q."""
        return psd_root(self.noise_cov(dt))


class ContinuousTransition(AbstractContinuousTransition):
    """The step of dx = (A x + c) dt + dw for any A.

    Attributes:
        drift: A, per unit of time.
        diffusion: W, the growth of the covariance of w per unit of time.
        push: c, per unit of time.
    """

    drift: Float[Array, "state state"]
    diffusion: Float[Array, "state state"]
    push: Float[Array, " state"]

    def __init__(
        self, drift: Numbers, diffusion: Numbers, push: Numbers | None = None
    ) -> None:
        """Check and keep the matrices.

        Args:
            drift: A.
            diffusion: W, symmetric positive semi-definite.
            push: c; None for none.

        Raises:
            InputError: Shapes disagree, or W is no covariance.
        """
        self.drift = as_real("drift", drift, (None, None))
        n = self.drift.shape[1]
        self.drift = as_real("drift", drift, (n, n))
        self.diffusion = as_real("diffusion", diffusion, (n, n))
        none = jnp.zeros(n, self.drift.dtype)
        self.push = none if push is None else as_real("push", push, (n,))
        check_finite("drift", self.drift)
        check_covariance("diffusion", self.diffusion)
        check_finite("push", self.push)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return exp(A dt)."""
        return discretise(self.drift, self.diffusion, dt)[0]

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return the integral of exp(A s) c over the step."""
        n = self.push.shape[0]
        # c is the last column of a system with one more state, which stays at one
        wide = jnp.pad(self.drift, ((0, 1), (0, 1))).at[:n, n].set(self.push)
        return discretise(wide, jnp.zeros_like(wide), dt)[0][:n, n]

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q."""
        return discretise(self.drift, self.diffusion, dt)[1]


class DiagonalTransition(AbstractContinuousTransition):
    """The step of dx_i = a_i x_i dt + dw_i, by closed forms.

    Attributes:
        rates: a, per unit of time; negative where a component decays.
        diffusion: W, the growth of the covariance of w per unit of time.
    """

    rates: Float[Array, " state"]
    diffusion: Float[Array, "state state"]

    def __init__(self, rates: Numbers, diffusion: Numbers) -> None:
        """Check and keep the rates.

        Args:
            rates: a.
            diffusion: W, symmetric positive semi-definite.

        Raises:
            InputError: Shapes disagree, or W is no covariance.
        """
        self.rates = as_real("rates", rates, (None,))
        n = self.rates.shape[0]
        self.diffusion = as_real("diffusion", diffusion, (n, n))
        check_finite("rates", self.rates)
        check_covariance("diffusion", self.diffusion)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return diag(exp(a dt))."""
        return jnp.diag(diagonal_step(self.rates, self.diffusion, dt)[0])

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return zero."""
        return jnp.zeros_like(self.rates)

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q."""
        return diagonal_step(self.rates, self.diffusion, dt)[1]


class IntegratedWiener(AbstractContinuousTransition):
    """A random walk, integrated `order` times: state (f, f', ..., f^(order)).

    Attributes:
        order: Number of integrations; 1 is a level with a walking rate.
        intensity: Growth of the variance of the last component per unit of time.
    """

    order: int = eqx.field(static=True)
    intensity: Scalar

    def __init__(self, order: int, intensity: Numbers) -> None:
        """Check and keep the numbers.

        Args:
            order: Number of integrations, at least 0.
            intensity: Growth of the variance of the last component, not negative.

        Raises:
            InputError: A number is out of range.
        """
        self.order = check_order(order)
        self.intensity = as_real("intensity", intensity, ())
        check_covariance("intensity", self.intensity[None, None])

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F."""
        return integrated_wiener_step(self.order, self.intensity, dt)[0]

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return zero."""
        return jnp.zeros(self.order + 1, self.intensity.dtype)

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q."""
        return integrated_wiener_step(self.order, self.intensity, dt)[1]


class ContinuousLinearGaussian(AbstractStateSpaceModel):
    """The linear Gaussian model in continuous time, given by its matrices.

    dx = A x dt + dw, E[dw dw^T] = W dt;  y = H x + v, v ~ N(0, R) at each stamp.

    Attributes:
        initial: Belief about the state at the first observation, `Gaussian` or
            `Diffuse`.
        transition: The exact step between two stamps.
        observation: y = H x + v.
    """

    initial: AbstractBelief
    transition: ContinuousTransition
    observation: LinearObservation

    def __init__(
        self,
        initial_mean: Numbers,
        initial_cov: Numbers,
        drift: Numbers,
        diffusion: Numbers,
        H: Numbers,
        R: Numbers,
        *,
        push: Numbers | None = None,
        diffuse: Numbers | None = None,
    ) -> None:
        """Check and keep the matrices.

        Args:
            initial_mean: Mean of the first state.
            initial_cov: Its covariance.
            drift: A, per unit of time.
            diffusion: W, the growth of the noise covariance per unit of time.
            H: Observation matrix.
            R: Covariance of the observation noise.
            push: Constant drift c, per unit of time; None for none.
            diffuse: Columns span the directions of the first state about which nothing
                is known; None where the belief is proper.

        Raises:
            InputError: Shapes disagree, or a covariance is none.
        """
        self.transition = ContinuousTransition(drift, diffusion, push)
        n = self.transition.drift.shape[0]
        self.observation = LinearObservation(as_real("H", H, (None, n)), R)
        mean = as_real("initial_mean", initial_mean, (n,))
        cov = as_real("initial_cov", initial_cov, (n, n))
        check_finite("initial_mean", mean)
        check_covariance("initial_cov", cov)
        if diffuse is None:
            self.initial = Gaussian(mean, cov)
        else:
            self.initial = Diffuse(mean, cov, as_real("diffuse", diffuse, (n, None)))


def check_order(order: int) -> int:
    """Return `order`, or raise `InputError` where it is no count."""
    if isinstance(order, bool) or order != int(order) or order < 0:
        raise InputError(
            f"`order` must be a whole number, 0 or more; got {order}. Pass 1 for a "
            "level with a walking rate, or a Matern kernel of smoothness 3/2."
        )
    return int(order)


def as_positive(name: str, value: Numbers) -> Scalar:
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
