"""Lorenz-63 seen through its first variable, as in de Wiljes et al. (2017).

One number every 0.12, with variance 8: the posterior has several modes for a while, and
an ensemble Kalman filter is twice as far off as a large particle filter.

References:
    Acevedo, de Wiljes & Reich (2017), Second-order accurate ensemble transform particle
    filters, SIAM J. Sci. Comput. 39. Published scores: Raanes et al. (2024), DAPPER.
"""

import jax.numpy as jnp

from slipstate.assimilate.cases.case import Accepted, Case, diffusion_of
from slipstate.assimilate.cases.sakov2012 import START
from slipstate.assimilate.finite_size import FiniteSizeEnsembleKalman
from slipstate.earth.chaos import Lorenz63
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import StateSpaceModel


def lorenz63_wiljes2017(*, model_noise: float = 0.0) -> Case:
    """Return Lorenz-63 whose first variable is observed every 0.12.

    Args:
        model_noise: Variance that each cycle adds to every variable.

    Returns:
        The case; its reference holds for no model noise.

    Raises:
        InputError: The variance is negative.
    """
    interval = 0.12
    model = StateSpaceModel(
        Gaussian(jnp.asarray(START, float), 2.0 * jnp.eye(3)),
        Lorenz63(diffusion=diffusion_of(model_noise, interval), substeps=12),
        LinearObservation(jnp.eye(1, 3), 8.0 * jnp.eye(1)),
    )
    reference = (Accepted(FiniteSizeEnsembleKalman(members=30), 2.3, 2.75, 2.52),)
    return Case(
        "lorenz63_wiljes2017", model, interval=interval, burn=64, reference=reference
    )
