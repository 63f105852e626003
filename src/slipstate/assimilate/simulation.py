"""Drawing whole paths of the state given all observations.

A path is drawn backwards from the last row: once x_{k+1} is drawn, the rows up to k
leave

    x_k = offset + G x_{k+1} + D w,   w ~ N(0, I),   D D^T = cov,

which is the smoother's own step. One pass forwards and one preparation serve any number
of draws, and singular noise or an exactly diffuse start need no care of their own.

References:
    Frühwirth-Schnatter (1994), Data augmentation and dynamic linear models, J. Time
    Series Analysis 15. Carter & Kohn (1994), Biometrika 81.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.kalman import BackwardStep, Kalman, require_linear
from slipstate.assimilate.observations import Observations
from slipstate.assimilate.protocol import State
from slipstate.assimilate.run import filter_series
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import Key
from slipstate.systems.protocol import AbstractModel

_EXACT = Kalman()
_IN_CACHE = 4096  # numbers of a covariance matrix times steps treated side by side


def sample_posterior(
    model: AbstractModel,
    observations: Observations,
    *,
    draws: int = 1,
    prior_at: str = "first",
    key: Key,
) -> Float[Array, "draw time state"]:
    """Draw paths of the state of a linear Gaussian model given all observations.

    Args:
        model: A linear Gaussian model.
        observations: The series.
        draws: Number of paths.
        prior_at: As for `filter_series`.
        key: Random key.

    Returns:
        One path per draw; their mean and covariance are the smoother's.

    Raises:
        InputError: `draws` is not positive.
        MethodError: The model is not linear.
    """
    if draws < 1:
        raise InputError(f"`draws` must be at least 1; got {draws}. Pass 1 or more.")
    require_linear(model, "sample_posterior")
    done = filter_series(model, observations, _EXACT, prior_at=prior_at)
    steps = _steps(model, observations, done.predicted, done.filtered)
    shape = (len(observations), steps.offset.shape[1], draws)
    noise = jax.random.normal(key, shape, steps.offset.dtype)
    return jnp.moveaxis(paths(steps, noise), -1, 0)


@eqx.filter_jit
def paths(
    steps: BackwardStep, noise: Float[Array, "time state draw"]
) -> Float[Array, "time state draw"]:
    """Return the paths that standard normal numbers make.

    Args:
        steps: One step backwards per row; the last row's has no gain.
        noise: Standard normal numbers.

    Returns:
        One path per column: the smoothed mean where the numbers are 0.
    """

    def body(
        later: Float[Array, "state draw"],
        step: tuple[BackwardStep, Float[Array, "state draw"]],
    ) -> tuple[Float[Array, "state draw"], Float[Array, "state draw"]]:
        back, w = step
        x = back.offset[:, None] + back.gain @ later + psd_root(back.cov) @ w
        return x, x

    start = jnp.zeros_like(noise[0])
    return jax.lax.scan(body, start, (steps, noise), reverse=True)[1]


@eqx.filter_jit
def _steps(
    model: AbstractModel,
    observations: Observations,
    predicted: State,
    filtered: State,
) -> BackwardStep:
    """Return the step backwards at every row; the last one starts from nothing."""
    rows = observations.rows()
    before = jax.tree.map(lambda x: x[:-1], filtered)
    then, inputs = jax.tree.map(lambda x: x[1:], (predicted, rows.u))
    gaps = jnp.diff(rows.t).astype(rows.y.dtype)
    n = filtered.location.shape[1]
    steps = jax.lax.map(
        lambda row: _EXACT.prepare_smoothing(model, *row),
        (before, then, inputs, gaps),
        batch_size=max(1, _IN_CACHE // n**2),
    )
    last = BackwardStep(
        jnp.zeros((n, n), rows.y.dtype), filtered.location[-1], filtered.covariance[-1]
    )
    return jax.tree.map(lambda x, z: jnp.concatenate([x, z[None]]), steps, last)
