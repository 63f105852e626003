"""Lorenz-96 with every second variable observed every 0.4, as in Spantini et al.

Sparse in space and time: localised filters lose to smoothers and to many members.

References:
    Spantini, Baptista & Marzouk (2022), Coupling techniques for nonlinear ensemble
    filtering, SIAM Review 64. Published scores: Raanes et al. (2024), DAPPER.
"""

import jax.numpy as jnp

from slipstate.assimilate.cases.case import Accepted, Case, diffusion_of
from slipstate.assimilate.cases.sakov2008 import on_attractor
from slipstate.assimilate.stochastic_ensemble import StochasticEnsembleKalman
from slipstate.earth.chaos import Lorenz96
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import StateSpaceModel


def lorenz96_spantini2019(*, model_noise: float = 0.0, size: int = 40) -> Case:
    """Return Lorenz-96, every second variable observed every 0.4 with variance 0.5.

    Args:
        model_noise: Variance that each cycle adds to every variable.
        size: Number of variables.

    Returns:
        The case; its reference holds for 40 variables without model noise.

    Raises:
        InputError: The variance is negative, or `size` below 4.
    """
    interval = 0.4
    diffusion = diffusion_of(model_noise, interval)
    H = jnp.eye(size)[::2]
    model = StateSpaceModel(
        Gaussian(on_attractor(size), 0.1 * jnp.eye(size)),
        Lorenz96(size=size, diffusion=diffusion, substeps=20),
        LinearObservation(H, 0.5 * jnp.eye(len(H))),
    )
    accepted = Accepted(
        StochasticEnsembleKalman(members=100, inflation=1.05), 0.8, 1.4, 0.97
    )
    return Case(
        "lorenz96_spantini2019",
        model,
        interval=interval,
        burn=50,
        reference=(accepted,),
    )
