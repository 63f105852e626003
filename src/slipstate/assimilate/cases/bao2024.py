"""Lorenz-96 seen through arctan, as in Bao, Zhang & Zhang (2024).

The observation saturates: a variable far from zero is almost unseen, however precise
the instrument. The published filter is run up to a million variables.

References:
    Bao, Zhang & Zhang (2024), An ensemble score filter for tracking high-dimensional
    nonlinear dynamical systems, CMAME 432.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.cases.case import Case, diffusion_of
from slipstate.assimilate.cases.sakov2008 import on_attractor
from slipstate.earth.chaos import Lorenz96
from slipstate.ground.types import Scalar
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.protocol import AbstractObservation, Input, StateSpaceModel


class ArctanObservation(AbstractObservation):
    """y = arctan(x) + noise, of every component.

    Attributes:
        sd: Standard deviation of the noise.
        units: No unit.
    """

    sd: Scalar
    units: tuple[str, ...] = eqx.field(static=True)

    def predict(self, x: Float[Array, " state"], u: Input) -> Float[Array, " obs"]:
        """Return arctan(x)."""
        return jnp.arctan(x)

    def noise_factor(self) -> Float[Array, "obs noise"]:
        """Return the standard deviations."""
        return self.sd * jnp.eye(len(self.units))


def lorenz96_bao2024(
    *, model_noise: float = 0.01, size: int = 100, noise: float = 0.05
) -> Case:
    """Return Lorenz-96 whose arctan is observed every 0.1.

    Args:
        model_noise: Variance that each cycle adds to every variable.
        size: Number of variables; memory grows with its square.
        noise: Standard deviation of the observations.

    Returns:
        The case, without accepted scores: the published ones depend on tuning.

    Raises:
        InputError: The variance is negative, or `size` below 4.
    """
    interval = 0.1
    model = StateSpaceModel(
        Gaussian(on_attractor(size), jnp.eye(size)),
        Lorenz96(size=size, diffusion=diffusion_of(model_noise, interval), substeps=10),
        ArctanObservation(sd=jnp.asarray(noise, float), units=("1",) * size),
    )
    return Case("lorenz96_bao2024", model, interval=interval, burn=50)
