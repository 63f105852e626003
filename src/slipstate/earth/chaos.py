"""Small chaotic and bistable systems on which data assimilation is compared.

Lorenz-63 and Lorenz-96 move by the classical Runge-Kutta scheme in `substeps` equal
steps per transition, whatever its length, so that they can be differentiated and
compiled once. Model noise, where there is any, is a diffusion added at the end of a
transition: its variance grows with `dt`.

References:
    Lorenz (1963), J. Atmos. Sci. 20. Lorenz (1996), Predictability: a problem partly
    solved, ECMWF seminar.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.protocol import AbstractTransition, Input

Rate = Callable[[Float[Array, " state"]], Float[Array, " state"]]


class Lorenz63(AbstractTransition):
    """Three equations of convection, dx/dt as in Lorenz (1963), with added noise.

        x' = sigma (y - x),   y' = x (rho - z) - y,   z' = x y - beta z.

    Attributes:
        sigma: Prandtl number.
        rho: Rayleigh number over its critical value.
        beta: Geometric factor.
        diffusion: Standard deviation per square root of model time; None for none.
        substeps: Runge-Kutta steps per transition.
    """

    sigma: Scalar
    rho: Scalar
    beta: Scalar
    diffusion: Scalar | None
    substeps: int = eqx.field(static=True)

    def __init__(
        self,
        sigma: ScalarLike = 10.0,
        rho: ScalarLike = 28.0,
        beta: ScalarLike = 8.0 / 3.0,
        diffusion: ScalarLike | None = None,
        substeps: int = 25,
    ) -> None:
        """Keep the parameters.

        Args:
            sigma: Prandtl number.
            rho: Rayleigh number over its critical value.
            beta: Geometric factor.
            diffusion: Standard deviation per square root of model time.
            substeps: Runge-Kutta steps per transition.

        Raises:
            InputError: `substeps` is not positive, or `diffusion` negative.
        """
        self.sigma = jnp.asarray(sigma, float)
        self.rho = jnp.asarray(rho, float)
        self.beta = jnp.asarray(beta, float)
        self.diffusion = checked_diffusion(diffusion)
        self.substeps = checked_substeps(substeps)

    def rate(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """Return dx/dt."""
        return jnp.stack(
            [
                self.sigma * (x[1] - x[0]),
                x[0] * (self.rho - x[2]) - x[1],
                x[0] * x[1] - self.beta * x[2],
            ]
        )

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the state after `dt`."""
        return runge_kutta(self.rate, x, dt, self.substeps)

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return the diffusion over `dt`; no columns where there is none."""
        return added_noise(self.diffusion, 3, dt)


class Lorenz96(AbstractTransition):
    """A ring of variables that advect, damp and force, as in Lorenz (1996).

        x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F.

    Attributes:
        forcing: F.
        size: Number of variables.
        diffusion: Standard deviation per square root of model time; None for none.
        substeps: Runge-Kutta steps per transition.
    """

    forcing: Scalar
    size: int = eqx.field(static=True)
    diffusion: Scalar | None
    substeps: int = eqx.field(static=True)

    def __init__(
        self,
        forcing: ScalarLike = 8.0,
        size: int = 40,
        diffusion: ScalarLike | None = None,
        substeps: int = 1,
    ) -> None:
        """Keep the parameters.

        Args:
            forcing: F.
            size: Number of variables, at least 4.
            diffusion: Standard deviation per square root of model time.
            substeps: Runge-Kutta steps per transition.

        Raises:
            InputError: `size` or `substeps` is too small, or `diffusion` negative.
        """
        if size < 4:
            raise InputError(f"`size` must be at least 4; got {size}. Pass 40.")
        self.forcing = jnp.asarray(forcing, float)
        self.size = size
        self.diffusion = checked_diffusion(diffusion)
        self.substeps = checked_substeps(substeps)

    def rate(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """Return dx/dt."""
        ring = jnp.concatenate([x[-2:], x, x[:1]])
        return (ring[3:] - ring[:-3]) * ring[1:-2] - x + self.forcing

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the state after `dt`."""
        return runge_kutta(self.rate, x, dt, self.substeps)

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return the diffusion over `dt`; no columns where there is none."""
        return added_noise(self.diffusion, self.size, dt)


class DoubleWell(AbstractTransition):
    """A particle in two wells, dX = -4 X (X^2 - 1) dt + s dB, wells at -1 and 1.

    Between kicks it falls by the exact solution
    X(t) = X e^{4t} / sqrt(1 + X^2 (e^{8t} - 1)); the Brownian motion is added in
    `parts` equal parts of each transition.

    Attributes:
        diffusion: s, the standard deviation per square root of time.
        parts: Kicks per transition.
    """

    parts: ClassVar[int] = 20
    diffusion: Scalar

    def __init__(self, diffusion: ScalarLike = 0.7) -> None:
        """Keep the parameter.

        Args:
            diffusion: Standard deviation per square root of time.

        Raises:
            InputError: It is negative.
        """
        found = checked_diffusion(diffusion)
        assert found is not None
        self.diffusion = found

    def mean(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, " state"]:
        """Return the state after `dt` of falling."""
        # the solution divided by e^{4t}, so that no long step overflows
        shrunk = jnp.exp(-8.0 * jnp.asarray(dt, x.dtype))
        return x / jnp.sqrt(shrunk + x * x * (1.0 - shrunk))

    def noise_factor(
        self, x: Float[Array, " state"], u: Input, dt: ScalarLike
    ) -> Float[Array, "state noise"]:
        """Return s sqrt(dt)."""
        return added_noise(self.diffusion, 1, dt)


def runge_kutta(
    rate: Rate, x: Float[Array, " state"], dt: ScalarLike, substeps: int
) -> Float[Array, " state"]:
    """Return the state after `dt` by the classical scheme of fourth order.

    Args:
        rate: dx/dt of a state.
        x: The state.
        dt: Time to pass, in model time units.
        substeps: Equal steps it is divided into.

    Returns:
        The state after `dt`.
    """
    step = jnp.asarray(dt, x.dtype) / substeps

    def advance(x: Array, _: None) -> tuple[Array, None]:
        k1 = rate(x)
        k2 = rate(x + 0.5 * step * k1)
        k3 = rate(x + 0.5 * step * k2)
        k4 = rate(x + step * k3)
        return x + step / 6.0 * (k1 + 2.0 * (k2 + k3) + k4), None

    return jax.lax.scan(advance, x, None, length=substeps)[0]


def added_noise(
    diffusion: Scalar | None, size: int, dt: ScalarLike
) -> Float[Array, "state noise"]:
    """Return diffusion sqrt(dt) times the identity; no columns where there is none."""
    if diffusion is None:
        return jnp.zeros((size, 0))
    return diffusion * jnp.sqrt(jnp.asarray(dt, diffusion.dtype)) * jnp.eye(size)


def checked_diffusion(diffusion: ScalarLike | None) -> Scalar | None:
    """Return a diffusion, or raise `InputError` where it is negative."""
    if diffusion is None:
        return None
    if is_concrete(diffusion) and not float(diffusion) >= 0.0:
        raise InputError(
            f"`diffusion` must not be negative; got {float(diffusion)}. Pass the "
            "standard deviation per square root of time, or None for no noise."
        )
    return jnp.asarray(diffusion, float)


def checked_substeps(substeps: int) -> int:
    """Return a number of steps, or raise `InputError` where it is below 1."""
    if substeps < 1:
        raise InputError(f"`substeps` must be 1 or more; got {substeps}. Pass 1.")
    return substeps
