"""Lorenz-63 as in Sakov et al. (2012): everything observed every 0.25, variance 2.

The standard test of strong nonlinearity: between observations errors grow tenfold, and
an ensemble Kalman filter is far from an iterated one.

References:
    Sakov, Oliver & Bertino (2012), An iterative EnKF for strongly nonlinear systems,
    Monthly Weather Review 140. Published scores: Raanes et al. (2024), DAPPER.
"""

import jax.numpy as jnp

from slipstate.assimilate.cases.case import Accepted, Case, diffusion_of
from slipstate.assimilate.ensemble import EnsembleTransformKalman
from slipstate.earth.chaos import Lorenz63
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import StateSpaceModel

START = (1.509, -1.531, 25.46)
"""Mean of the first state, on the attractor."""


def lorenz63_sakov2012(*, model_noise: float = 0.0, noise: float = 2.0) -> Case:
    """Return Lorenz-63, all three variables observed every 0.25.

    Args:
        model_noise: Variance that each cycle adds to every variable.
        noise: Variance of the observations.

    Returns:
        The case; its reference holds for no model noise.

    Raises:
        InputError: A variance is negative.
    """
    interval = 0.25
    model = StateSpaceModel(
        Gaussian(jnp.asarray(START, float), 2.0 * jnp.eye(3)),
        Lorenz63(diffusion=diffusion_of(model_noise, interval), substeps=25),
        LinearObservation(jnp.eye(3), noise * jnp.eye(3)),
    )
    return Case(
        "lorenz63_sakov2012",
        model,
        interval=interval,
        burn=64,
        reference=(
            Accepted(
                EnsembleTransformKalman(members=10, inflation=1.02), 0.55, 0.66, 0.60
            ),
        ),
    )
