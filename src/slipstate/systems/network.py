"""Many observed series that share one switch: the state space of a network.

Station i and component c have a state x of their own, seen through one scalar y:

    x' = F x + b[s] + w,      w ~ N(0, Q[s])         s the switch shared by all stations
    x' = x' + k,              k ~ N(0, K)            where station i steps
    y  = h.x + m + v,         v ~ scale r, tails     m the common mode of component c
    m' = phi m + n,           n ~ N(0, (1 - phi^2) c^2)

Time goes in ticks of equal length; a tick without observation is a masked row. The
switch makes the stations talk to each other (slow slip moves all of them), the steps
do not (an antenna is changed at one of them), and the common mode is the error of the
reference frame that moves all stations for a few days and means nothing.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.kept_programs import kept_jit
from slipstate.ground.types import Scalar


class NetworkModel(eqx.Module):
    """State-space model of a network of stations with one shared switch.

    Attributes:
        F: State matrix of one tick.
        b: Offset of one tick in each mode of the switch.
        Q: Noise covariance of one tick in each mode.
        h: Observation row, the same for every series.
        noise_scale: Scale r of the observation noise [unit of y].
        initial_mean: Mean of the state one tick before the first.
        initial_cov: Covariance of the state one tick before the first.
        switch: Probability of each mode (column) after each mode (row) in one tick.
        initial_probs: Probability of each mode one tick before the first.
        kick_cov: Covariance K a step adds to a state.
        kick_prob: Probability that a station steps in one tick.
        common_sd: Standard deviation c of the common mode; 0 where there is none.
        common_decay: phi, its correlation from tick to tick.
    """

    F: Float[Array, "station comp state state"]
    b: Float[Array, "mode station comp state"]
    Q: Float[Array, "mode station comp state state"]
    h: Float[Array, " state"]
    noise_scale: Float[Array, "station comp"]
    initial_mean: Float[Array, "station comp state"]
    initial_cov: Float[Array, "station comp state state"]
    switch: Float[Array, "mode mode"]
    initial_probs: Float[Array, " mode"]
    kick_cov: Float[Array, "station comp state state"]
    kick_prob: Scalar
    common_sd: Float[Array, " comp"]
    common_decay: Float[Array, " comp"]

    @property
    def modes(self) -> int:
        """Return the number of modes of the switch."""
        return self.initial_probs.shape[0]


class ForecastRows(eqx.Module):
    """What a state now says about observations some ticks ahead.

    In mode i now, the signal of a series after H ticks is normal with mean
    g.x + drift[i] and variance g.P g + noise[i].

    Attributes:
        g: Row h F^H.
        drift: Expected displacement by the offsets b along the way.
        noise: Variance by Q, by the unknown time spent in each mode, and by the common
            mode's own growth.
        common: Correlation phi^H of the common mode over the horizon.
        steps: Probability that a station steps before the horizon.
    """

    g: Float[Array, "horizon station comp state"]
    drift: Float[Array, "horizon mode station comp"]
    noise: Float[Array, "horizon mode station comp"]
    common: Float[Array, "horizon comp"]
    steps: Float[Array, " horizon"]


@kept_jit
def forecast_rows(model: NetworkModel, horizons: tuple[int, ...]) -> ForecastRows:
    """Work out the rows for some horizons, once per run.

    The displacement by the switch is h F^(H-k) b[s_k] summed over the ticks k. Its mean
    and variance over the paths of the Markov chain s follow from one forward recursion
    for the moments of the running sum in each mode.

    Args:
        model: The model.
        horizons: Ticks ahead, increasing, at least 1.

    Returns:
        The rows, stacked in the order of `horizons`.
    """
    rows, drifts, noises, commons = [], [], [], []
    for horizon in horizons:
        row, drift, noise = _ahead(model, horizon)
        decay = model.common_decay**horizon
        grown = (1.0 - decay**2) * model.common_sd**2
        rows.append(row)
        drifts.append(drift)
        noises.append(noise + grown[None, None])
        commons.append(decay)
    steps = 1.0 - (1.0 - model.kick_prob) ** jnp.asarray(
        horizons, model.kick_prob.dtype
    )
    return ForecastRows(
        jnp.stack(rows),
        jnp.stack(drifts),
        jnp.stack(noises),
        jnp.stack(commons),
        steps,
    )


def _ahead(
    model: NetworkModel, horizon: int
) -> tuple[
    Float[Array, "station comp state"],
    Float[Array, "mode station comp"],
    Float[Array, "mode station comp"],
]:
    """Return the row h F^H, and mean and variance of what comes on the way."""
    M = model.modes
    dtype = model.switch.dtype

    def back(gain: Array, _: None) -> tuple[Array, Array]:
        return jnp.sum(gain[..., None] * model.F, -2), gain

    # gains[k] = h F^(H-1-k): what a shock at tick k + 1 does to y at tick H
    start = jnp.broadcast_to(model.h, model.initial_mean.shape)
    row, gains = jax.lax.scan(back, start, length=horizon, reverse=True)

    def forth(carry: tuple, gain: Array) -> tuple[tuple, None]:
        # probs[i, s]: P(start in i, be in s now); first and second moment of the sum
        probs, first, second, noise = carry
        probs = probs @ model.switch
        first = jnp.einsum("ijsc,jk->iksc", first, model.switch)
        second = jnp.einsum("ijsc,jk->iksc", second, model.switch)
        shift = jnp.einsum("scn,kscn->ksc", gain, model.b)[None]
        here = probs[..., None, None]
        second = second + 2.0 * shift * first + here * shift**2
        first = first + here * shift
        spread = jnp.einsum("scn,kscnm,scm->ksc", gain, model.Q, gain)
        noise = noise + jnp.einsum("ik,ksc->isc", probs, spread)
        return (probs, first, second, noise), None

    shape = model.noise_scale.shape
    sums = jnp.zeros((M, M, *shape), dtype)
    initial = (jnp.eye(M, dtype=dtype), sums, sums, jnp.zeros((M, *shape), dtype))
    (_, first, second, noise), _ = jax.lax.scan(forth, initial, gains)
    mean = jnp.sum(first, 1)
    return row, mean, noise + jnp.sum(second, 1) - mean**2
