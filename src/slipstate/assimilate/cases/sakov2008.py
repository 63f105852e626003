"""Lorenz-96 as in Sakov & Oke (2008): 40 variables, all observed every 0.05.

The standard test of a chaotic field: 13 growing directions, so that a global ensemble
needs some 20 members and a localised one 7.

References:
    Sakov & Oke (2008), A deterministic formulation of the ensemble Kalman filter,
    Tellus A 60. Published scores: Raanes et al. (2024), DAPPER.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.cases.case import Accepted, Case, diffusion_of
from slipstate.assimilate.ensemble import EnsembleTransformKalman
from slipstate.earth.chaos import Lorenz96
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import StateSpaceModel


def lorenz96_sakov2008(*, model_noise: float = 0.0, size: int = 40) -> Case:
    """Return Lorenz-96, all variables observed every 0.05 with variance 1.

    Args:
        model_noise: Variance that each cycle adds to every variable.
        size: Number of variables.

    Returns:
        The case; its reference holds for 40 variables without model noise.

    Raises:
        InputError: A variance is negative, or `size` below 4.
    """
    interval = 0.05
    transition = Lorenz96(size=size, diffusion=diffusion_of(model_noise, interval))
    model = StateSpaceModel(
        Gaussian(on_attractor(size), 1e-3 * jnp.eye(size)),
        transition,
        LinearObservation(jnp.eye(size), jnp.eye(size)),
    )
    return Case(
        "lorenz96_sakov2008",
        model,
        interval=interval,
        burn=400,
        reference=(
            Accepted(
                EnsembleTransformKalman(members=24, inflation=1.013), 0.18, 0.20, 0.18
            ),
        ),
    )


def on_attractor(size: int) -> Float[Array, " state"]:
    """Return a state on the attractor: 20 time units after one variable was 1."""
    return _spin_up(jnp.zeros(size).at[0].set(1.0))


@jax.jit
def _spin_up(start: Float[Array, " state"]) -> Float[Array, " state"]:
    return Lorenz96(size=len(start), substeps=400).mean(start, None, 20.0)
