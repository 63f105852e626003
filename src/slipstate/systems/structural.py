"""Series made of parts: a level, a slope, seasons, something that comes and goes.

    y(t) = sum of parts(t) + v,   v ~ N(0, noise_sd^2)

Every part is a linear process in continuous time, so a step may take any time and the
parts do not know of each other:

    Level       d level = walk dW
    Trend       d level = slope dt + walk dW,   d slope = bend dW
    Season      a pair that turns once in a period, each component walking
    Stationary  any kernel: first-order Gauss-Markov, Matern, ...

Levels and slopes have no stationary distribution: nothing is known about them at first,
and the start is exactly diffuse. A season begins with a stated spread instead: within
the first rows of a series it cannot be told from a line, so that its infinite variance
would have to be taken out by differences of nearly equal numbers.

References:
    Harvey (1989), Forecasting, Structural Time Series Models and the Kalman Filter.
    Durbin & Koopman (2012), Time Series Analysis by State Space Methods, chapter 3.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import jax.scipy.linalg
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, as_real, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.beliefs import Diffuse, Gaussian
from slipstate.systems.continuous import AbstractContinuousTransition
from slipstate.systems.kernels import AbstractKernel
from slipstate.systems.linear import LinearObservation
from slipstate.systems.matern import Matern
from slipstate.systems.protocol import Input, StateSpaceModel


class AbstractPart(eqx.Module):
    """One additive part of a series, a linear process that knows its own step."""

    @abstractmethod
    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F of a step of `dt`."""

    @abstractmethod
    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q of a step of `dt`."""

    @abstractmethod
    def readout(self) -> Float[Array, " state"]:
        """Return h: the part contributes h^T x to the series."""

    @abstractmethod
    def initial_cov(self) -> Float[Array, "state state"]:
        """Return what is known about the start; zero where the start is diffuse."""

    @abstractmethod
    def diffuse(self) -> tuple[bool, ...]:
        """Tell of each state whether nothing is known about it at first."""


class Level(AbstractPart):
    """A random walk; a constant where it does not walk.

    Attributes:
        walk: Growth of its standard deviation, per square root of time.
    """

    walk: Scalar

    def __init__(self, walk: Numbers) -> None:
        """Check and keep the number.

        Args:
            walk: Not negative.

        Raises:
            InputError: It is negative or not finite.
        """
        self.walk = _not_negative("walk", walk)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return 1."""
        return jnp.ones((1, 1), self.walk.dtype)

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return walk^2 dt."""
        return (self.walk**2 * dt)[None, None]

    def readout(self) -> Float[Array, " state"]:
        """Return 1."""
        return jnp.ones(1, self.walk.dtype)

    def initial_cov(self) -> Float[Array, "state state"]:
        """Return zero: the start is diffuse."""
        return jnp.zeros((1, 1), self.walk.dtype)

    def diffuse(self) -> tuple[bool, ...]:
        """Nothing is known about the level."""
        return (True,)


class Trend(AbstractPart):
    """A level with a slope; a straight line where neither walks.

    Attributes:
        walk: Growth of the standard deviation of the level, per square root of time.
        bend: The same of the slope, per time and square root of time.
    """

    walk: Scalar
    bend: Scalar

    def __init__(self, walk: Numbers, bend: Numbers) -> None:
        """Check and keep the numbers.

        Args:
            walk: Not negative.
            bend: Not negative.

        Raises:
            InputError: A number is negative or not finite.
        """
        self.walk = _not_negative("walk", walk)
        self.bend = _not_negative("bend", bend)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return [[1, dt], [0, 1]]."""
        return jnp.eye(2, dtype=self.walk.dtype).at[0, 1].set(dt)

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q: a slope that walks moves the level too."""
        step = jnp.asarray(dt, self.walk.dtype)
        grown = self.bend**2 * step
        across = grown * step / 2.0
        level = self.walk**2 * step + grown * step**2 / 3.0
        return jnp.stack([jnp.stack([level, across]), jnp.stack([across, grown])])

    def readout(self) -> Float[Array, " state"]:
        """Return the row that picks the level."""
        return jnp.asarray([1.0, 0.0], self.walk.dtype)

    def initial_cov(self) -> Float[Array, "state state"]:
        """Return zero: the start is diffuse."""
        return jnp.zeros((2, 2), self.walk.dtype)

    def diffuse(self) -> tuple[bool, ...]:
        """Nothing is known about level and slope."""
        return (True, True)


class Season(AbstractPart):
    """One harmonic: a pair that turns once in a period, so phase needs no clock.

    Attributes:
        period: In the unit of time.
        spread: Standard deviation of both at the start.
        walk: Growth of the standard deviation of both, per square root of time.
    """

    period: Scalar
    spread: Scalar
    walk: Scalar

    def __init__(self, period: Numbers, spread: Numbers, walk: Numbers = 0.0) -> None:
        """Check and keep the numbers.

        Args:
            period: Positive.
            spread: Not negative; a few times what the amplitude may be.
            walk: Not negative; 0 for a season that repeats itself exactly.

        Raises:
            InputError: A number is out of range.
        """
        self.period = as_real("period", period, ())
        if is_concrete(self.period) and not 0.0 < float(self.period) < np.inf:
            raise InputError(
                f"`period` must be positive and finite; got {float(self.period):.6g}. "
                "Pass for example 365.25, in the unit of the time stamps."
            )
        self.spread = _not_negative("spread", spread)
        self.walk = _not_negative("walk", walk)

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return the turn by 2 pi dt / period."""
        angle = 2.0 * jnp.pi * jnp.asarray(dt, self.period.dtype) / self.period
        c, s = jnp.cos(angle), jnp.sin(angle)
        return jnp.stack([jnp.stack([c, s]), jnp.stack([-s, c])])

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return walk^2 dt on both: a turn does not change noise alike in all ways."""
        return jnp.eye(2, dtype=self.walk.dtype) * (self.walk**2 * dt)

    def readout(self) -> Float[Array, " state"]:
        """Return the row that picks the first of the pair."""
        return jnp.asarray([1.0, 0.0], self.walk.dtype)

    def initial_cov(self) -> Float[Array, "state state"]:
        """Return spread^2 on both."""
        return jnp.eye(2, dtype=self.spread.dtype) * self.spread**2

    def diffuse(self) -> tuple[bool, ...]:
        """Something is known: the spread."""
        return (False, False)


class Stationary(AbstractPart):
    """A stationary process, which starts in its own distribution.

    Attributes:
        kernel: Its kernel, such as `Matern(1.5, lengthscale, variance)`.
    """

    kernel: AbstractKernel

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F of the kernel."""
        return self.kernel.matrix(dt)

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q of the kernel."""
        return self.kernel.noise_cov(dt)

    def readout(self) -> Float[Array, " state"]:
        """Return the readout of the kernel."""
        return self.kernel.readout()

    def initial_cov(self) -> Float[Array, "state state"]:
        """Return the stationary covariance."""
        return self.kernel.stationary_cov()

    def diffuse(self) -> tuple[bool, ...]:
        """Everything is known at first."""
        return (False,) * self.kernel.readout().shape[0]


def gauss_markov(sd: Numbers, time: Numbers) -> Stationary:
    """Return a first-order Gauss-Markov process: it forgets as exp(-dt / time).

    Args:
        sd: Its standard deviation.
        time: Its correlation time.

    Raises:
        InputError: A number is not positive.
    """
    deviation = as_real("sd", sd, ())
    return Stationary(Matern(0.5, time, deviation**2))


class StructuralTransition(AbstractContinuousTransition):
    """All parts side by side.

    Attributes:
        pieces: The parts, in the order of their states.
    """

    pieces: tuple[AbstractPart, ...]

    def matrix(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return F of all parts as blocks."""
        return _blocks([part.matrix(dt) for part in self.pieces])

    def offset(self, u: Input, dt: ScalarLike) -> Float[Array, " state"]:
        """Return zero."""
        return jnp.zeros_like(self.readout())

    def noise_cov(self, dt: ScalarLike) -> Float[Array, "state state"]:
        """Return Q of all parts as blocks."""
        return _blocks([part.noise_cov(dt) for part in self.pieces])

    def readout(self) -> Float[Array, " state"]:
        """Return h with sum of the parts = h^T x."""
        return jnp.concatenate([part.readout() for part in self.pieces])


def structural(
    parts: tuple[AbstractPart, ...], noise_sd: Numbers, unit: str = "1"
) -> StateSpaceModel:
    """Return the model of one noisy series made of parts.

    Args:
        parts: At least one.
        noise_sd: Standard deviation of the white observation noise.
        unit: Unit of the series.

    Returns:
        A linear model, exactly diffuse in what has no stationary distribution.

    Raises:
        InputError: There is no part, or the noise is negative.
    """
    if not parts:
        raise InputError(
            "`parts` must hold at least one part; got none. Pass (Level(0.0),) for a "
            "constant."
        )
    noise = _not_negative("noise_sd", noise_sd)
    transition = StructuralTransition(tuple(parts))
    seen = LinearObservation(
        transition.readout()[None], (noise**2)[None, None], None, (unit,)
    )
    cov = _blocks([part.initial_cov() for part in parts])
    mean = jnp.zeros_like(transition.readout())
    unknown = np.concatenate([part.diffuse() for part in parts])
    if not unknown.any():
        return StateSpaceModel(Gaussian(mean, cov), transition, seen)
    directions = jnp.asarray(np.eye(len(unknown))[:, unknown], cov.dtype)
    return StateSpaceModel(Diffuse(mean, cov, directions), transition, seen)


def _not_negative(name: str, value: Numbers) -> Scalar:
    """Return a number that may be zero as a scalar, or raise `InputError`."""
    number = as_real(name, value, ())
    if is_concrete(number) and not 0.0 <= float(number) < np.inf:
        raise InputError(
            f"`{name}` must not be negative, and finite; got {float(number):.6g}. "
            "Pass a standard deviation."
        )
    return number


def _blocks(parts: list[Float[Array, "_ _"]]) -> Float[Array, "n n"]:
    """Return matrices on the diagonal of a larger one."""
    return jax.scipy.linalg.block_diag(*parts)
