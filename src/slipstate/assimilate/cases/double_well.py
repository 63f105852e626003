"""A particle in two wells, seen through its square: the posterior has two modes.

What an ensemble Kalman filter cannot know it cannot lose: by symmetry its gain is zero
and it keeps both modes for the wrong reason. The exact answer is computed on a grid.

References:
    Miller, Ghil & Gauthiez (1994), Advanced data assimilation in strongly nonlinear
    dynamical systems, J. Atmos. Sci. 51.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.cases.case import Case
from slipstate.earth.chaos import DoubleWell
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import AbstractObservation, Input, StateSpaceModel


class SquareObservation(AbstractObservation):
    """y = x^2 + noise: which of two wells, nobody sees.

    Attributes:
        sd: Standard deviation of the noise.
        units: No unit.
    """

    sd: Scalar
    units: tuple[str, ...] = eqx.field(static=True, default=("1",))

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return x^2."""
        return x**2

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the standard deviation."""
        return self.sd[None, None]


def double_well(*, noise: ScalarLike = 0.25, linear: bool = False) -> Case:
    """Return the double well, observed every 0.4.

    Args:
        noise: Variance of the observations.
        linear: Whether x itself is observed, not its square.

    Returns:
        The case.
    """
    variance = jnp.asarray(noise, float)
    seen = (
        LinearObservation(jnp.ones((1, 1)), variance[None, None])
        if linear
        else SquareObservation(sd=jnp.sqrt(variance))
    )
    # the stationary density is exp(-2 (x^2 - 1)^2 / s^2): this Gaussian covers it
    model = StateSpaceModel(Gaussian(jnp.zeros(1), jnp.eye(1)), DoubleWell(), seen)
    name = "double_well_linear" if linear else "double_well"
    return Case(name, model, interval=0.4, burn=0)
