"""The evidence of single series whose steps are known: what a fit maximises.

The same model as the network filter's, without step hypotheses and common mode: a step
adds its covariance on the days it is told. A fit asks for many points of many series at
once; each of these is a lane, and lanes are the last axis of every array, so that all
arithmetic runs along them. The state matrix is mostly zeros, and only what is not is
multiplied.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.assimilate.outliers import precision_weight, student_log_density
from slipstate.ground.types import ScalarLike
from slipstate.systems.network import NetworkModel

Links = tuple[tuple[int, ...], ...]
"""For every state, the states that F lets it hear."""

_UNSEEN = 1e12  # factor on the noise where masked: finite, so that gradients are too


class Lanes(eqx.Module):
    """Models of many series, each alone with a switch of its own.

    Attributes:
        F: State matrix of one tick.
        b: Offset of one tick in each mode.
        Q: Noise covariance of one tick in each mode.
        h: Observation row.
        noise_scale: Scale of the observation noise [unit of y].
        initial_mean: Mean of the state one tick before the first.
        initial_cov: Its covariance.
        switch: Probability of each mode (second axis) after each (first) in one tick.
        initial_probs: Probability of each mode one tick before the first.
        kick_cov: Covariance a step adds to a state.
    """

    F: Float[Array, "state state *lane"]
    b: Float[Array, "mode state *lane"]
    Q: Float[Array, "mode state state *lane"]
    h: Float[Array, "state *lane"]
    noise_scale: Float[Array, "*lane"]
    initial_mean: Float[Array, "state *lane"]
    initial_cov: Float[Array, "state state *lane"]
    switch: Float[Array, "mode mode *lane"]
    initial_probs: Float[Array, "mode *lane"]
    kick_cov: Float[Array, "state state *lane"]


def lane(model: NetworkModel) -> Lanes:
    """Return the first series of a network as a lane; stack them by `jax.vmap`.

    Args:
        model: The network.

    Returns:
        Its first component of its first station, without an axis of lanes.
    """
    return Lanes(
        F=model.F[0, 0],
        b=model.b[:, 0, 0],
        Q=model.Q[:, 0, 0],
        h=model.h,
        noise_scale=model.noise_scale[0, 0],
        initial_mean=model.initial_mean[0, 0],
        initial_cov=model.initial_cov[0, 0],
        switch=model.switch,
        initial_probs=model.initial_probs,
        kick_cov=model.kick_cov[0, 0],
    )


def links(model: NetworkModel) -> Links:
    """Return which entries of F are not zero in any series of a network."""
    heard = np.any(np.asarray(model.F) != 0.0, axis=(0, 1))
    return tuple(tuple(int(j) for j in np.flatnonzero(row)) for row in heard)


def lane_log_likelihoods(
    models: Lanes,
    heard: Links,
    y: Float[Array, "time lane"],
    mask: Bool[Array, "time lane"],
    scale: Float[Array, "time lane"],
    kicks: Bool[Array, "time lane"],
    dof: ScalarLike = 4.0,
) -> Float[Array, "time lane"]:
    """Return log p(y_k | y_1, ..., y_{k-1}) [nats] for every tick of every lane.

    Args:
        models: The models, lanes last.
        heard: Where F is not zero; see `links`.
        y: Observations; any finite number where masked.
        mask: True where observed.
        scale: Factor on the noise scale.
        kicks: True where the series steps.
        dof: Degrees of freedom of the noise.

    Returns:
        One term per tick and lane; sum them outside.
    """
    m = models
    log_switch = jnp.log(m.switch)
    modes = range(len(m.initial_probs))
    offset = jnp.swapaxes(m.b, 0, 1)
    noise_cov = jnp.moveaxis(m.Q, 0, 2)
    kick_cov = m.kick_cov[:, :, None]
    h = m.h[:, None]

    def through(x: Array) -> Array:
        """Return F x, x with the state on its first axis."""
        rows = []
        for i, js in enumerate(heard):
            row = jnp.zeros_like(x[0])
            for j in js:
                row = row + jnp.expand_dims(m.F[i, j], range(row.ndim - 1)) * x[j]
            rows.append(row)
        return jnp.stack(rows)

    def step(carry: tuple, row: tuple) -> tuple[tuple, Array]:
        # (mode, lane), (state, mode, lane), (state, state, mode, lane)
        log_probs, means, covs = carry
        y, mask, scale, kick = row
        joint = log_probs[:, None] + log_switch
        log_pred = _log_sum(joint)
        weights = jnp.exp(joint - log_pred[None])[:, None]
        mean, cov = jnp.zeros_like(means), jnp.zeros_like(covs)
        for i in modes:
            mean = mean + weights[i] * means[:, i, None]
        for i in modes:
            apart = means[:, i, None] - mean
            spread = apart[:, None] * apart[None]
            cov = cov + weights[i][None] * (covs[:, :, i, None] + spread)
        mean = through(mean) + offset
        # F (F P)^T is F P F^T, for P is symmetric
        cov = jnp.swapaxes(through(jnp.swapaxes(through(cov), 0, 1)), 0, 1)
        cov = cov + noise_cov + jnp.where(kick, kick_cov, 0.0)
        seen = mask[None]
        error = jnp.where(seen, y[None] - jnp.sum(h * mean, 0), 0.0)
        noise = (m.noise_scale * scale) ** 2
        noise = jnp.where(mask, noise, _UNSEEN * noise)[None]
        gain = jnp.sum(cov * h[None], 1)
        signal = jnp.sum(h * gain, 0)
        weight = precision_weight(error, signal + noise, dof)
        precise = 1.0 / (signal + noise / weight)
        mean = mean + gain * (precise * error)[None]
        cov = cov - precise[None, None] * gain[:, None] * gain[None]
        density = student_log_density(error, signal + noise, dof)
        joint = log_pred + jnp.where(seen, density, 0.0)
        total = _log_sum(joint)
        return (joint - total[None], mean, cov), total

    mean, cov = offset, noise_cov
    start = (
        jnp.log(m.initial_probs),
        jnp.broadcast_to(m.initial_mean[:, None], mean.shape),
        jnp.broadcast_to(m.initial_cov[:, :, None], cov.shape),
    )
    return jax.lax.scan(step, start, (y, mask, scale, kicks))[1]


def _log_sum(x: Float[Array, "mode *rest"]) -> Float[Array, "*rest"]:
    """Return log sum exp over the first axis; all entries are finite."""
    top = jnp.max(x, 0)
    return top + jnp.log(jnp.sum(jnp.exp(x - top[None]), 0))
