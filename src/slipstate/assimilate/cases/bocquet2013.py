"""Lorenz-96 observed every 0.2, as in Bocquet & Sakov (2013): a window pays.

The same field as `lorenz96_sakov2008`, with a gap four times as long: filters are
strongly nonlinear, and smoothers over a window of four gaps are ahead of them.

The start of a window has been corrected by as many earlier observations as the window
has steps, so the background of 4D-Var is narrow: a variance of 0.2, 0.1 and 0.02, the
same everywhere, for windows of 1, 2 and 4 gaps.

References:
    Bocquet & Sakov (2013), Joint state and parameter estimation with an iterative
    ensemble Kalman smoother, Nonlin. Proc. Geophys. 20, fig. 4. Published scores:
    Raanes et al. (2024), DAPPER.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.cases.case import Accepted, Case, diffusion_of
from slipstate.assimilate.cases.sakov2008 import on_attractor
from slipstate.assimilate.iterative_smoother import IterativeEnsembleKalmanSmoother
from slipstate.assimilate.variational import FourDVar
from slipstate.earth.chaos import Lorenz96
from slipstate.systems.beliefs import Gaussian
from slipstate.systems.linear import LinearObservation
from slipstate.systems.protocol import StateSpaceModel


def lorenz96_bocquet2013(*, model_noise: float = 0.0, size: int = 40) -> Case:
    """Return Lorenz-96, all variables observed every 0.2 with variance 1.

    Args:
        model_noise: Variance that each cycle adds to every variable.
        size: Number of variables.

    Returns:
        The case; its reference holds for 40 variables without model noise.

    Raises:
        InputError: The variance is negative, or `size` below 4.
    """
    interval = 0.2
    diffusion = diffusion_of(model_noise, interval)
    model = StateSpaceModel(
        Gaussian(on_attractor(size), 1e-3 * jnp.eye(size)),
        Lorenz96(size=size, diffusion=diffusion, substeps=4),
        LinearObservation(jnp.eye(size), jnp.eye(size)),
    )
    reference = (
        Accepted(
            IterativeEnsembleKalmanSmoother(members=20, lag=4, inflation=1.02),
            0.27,
            0.34,
            0.31,
        ),
        Accepted(FourDVar(0.02 * jnp.eye(size), lag=4, outer=5), 0.34, 0.40, 0.37),
    )
    return Case(
        "lorenz96_bocquet2013", model, interval=interval, burn=100, reference=reference
    )


def lorenz96_climate(size: int) -> Float[Array, "state state"]:
    """Return the covariance of a long run of Lorenz-96 with forcing 8."""
    return _climate(on_attractor(size))


@jax.jit
def _climate(start: Float[Array, " state"]) -> Float[Array, "state state"]:
    transition = Lorenz96(size=len(start), substeps=4)

    def advance(x: Array, _: None) -> tuple[Array, Array]:
        x = transition.mean(x, None, 0.2)
        return x, x

    states = jax.lax.scan(advance, start, None, length=4000)[1]
    apart = states - jnp.mean(states, axis=0, keepdims=True)
    return apart.T @ apart / len(states)
