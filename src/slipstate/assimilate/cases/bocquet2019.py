"""Kuramoto-Sivashinsky as in Bocquet & Farchi (2019): 128 places, all observed.

References:
    Bocquet & Farchi (2019), On the consistency of the local ensemble square root Kalman
    filter perturbation update, Tellus A 71. Published scores: Raanes et al. (2024),
    DAPPER.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.cases.case import Accepted, Case, diffusion_of
from slipstate.assimilate.ensemble import EnsembleTransformKalman
from slipstate.assimilate.local_ensemble import LocalEnsembleTransformKalman
from slipstate.assimilate.localise import on_ring
from slipstate.earth.front import KuramotoSivashinsky
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import StateSpaceModel


def kuramoto_sivashinsky_bocquet2019(*, model_noise: float = 0.0) -> Case:
    """Return Kuramoto-Sivashinsky, all 128 places observed every 1 with variance 1.

    Args:
        model_noise: Variance that each cycle adds at every place.

    Returns:
        The case; its reference holds for no model noise.

    Raises:
        InputError: The variance is negative.
    """
    interval = 1.0
    transition = KuramotoSivashinsky(diffusion=diffusion_of(model_noise, interval))
    model = StateSpaceModel(
        Gaussian(_spin_up(transition), 1e-3 * jnp.eye(128)),
        transition,
        LinearObservation(jnp.eye(128), jnp.eye(128)),
    )
    local = LocalEnsembleTransformKalman(
        localisation=on_ring(128, 10.0), members=6, inflation=1.03
    )
    reference = (
        Accepted(
            EnsembleTransformKalman(members=20, inflation=1.03), 0.10, 0.13, 0.115
        ),
        Accepted(local, 0.12, 0.17, 0.14),
    )
    return Case(
        "kuramoto_sivashinsky_bocquet2019",
        model,
        interval=interval,
        burn=150,
        reference=reference,
    )


@jax.jit
def _spin_up(transition: KuramotoSivashinsky) -> Float[Array, " state"]:
    x = 2.0 * jnp.pi * jnp.arange(128.0) / 128.0
    start = jnp.cos(x) * (1.0 + jnp.sin(x))

    def advance(u: Array, _: None) -> tuple[Array, None]:
        return transition.mean(u, None, 1.0), None

    return jax.lax.scan(advance, start, None, length=150)[0]
