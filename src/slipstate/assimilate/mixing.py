"""Formulas of switching filters: mixing of modes, collapse, backward probabilities.

A switching model with M modes has M^T possible pasts; an interacting-multiple-model
filter keeps M Gaussians by mixing them before every prediction (Blom and Bar-Shalom
1988), and Kim's backward pass revises the mode probabilities by what came later.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.kept_programs import kept_jit

NEVER = -1e5
"""Log weight of a hypothesis that is closed: finite, so that gradients stay finite."""


def mix_probabilities(
    log_probs: Float[Array, " mode"], log_switch: Float[Array, "mode mode"]
) -> tuple[Float[Array, " mode"], Float[Array, "mode mode"]]:
    """Return predicted mode probabilities and the weights of the mixing.

    Args:
        log_probs: log P(s_k = i | y_1..y_k).
        log_switch: log P(s_{k+1} = j | s_k = i), rows i.

    Returns:
        log P(s_{k+1} = j | y_1..y_k), and P(s_k = i | s_{k+1} = j, y_1..y_k) in [i, j].
    """
    joint = log_probs[:, None] + log_switch
    predicted = jax.nn.logsumexp(joint, axis=0)
    return predicted, jnp.exp(joint - predicted[None])


def mix_moments(
    weights: Float[Array, "mode mode"],
    means: Float[Array, "*batch mode state"],
    covs: Float[Array, "*batch mode state state"],
) -> tuple[Float[Array, "*batch mode state"], Float[Array, "*batch mode state state"]]:
    """Return the moment-matched Gaussian in front of each mode.

    m_j = sum_i w_ij m_i,  P_j = sum_i w_ij (P_i + (m_i - m_j)(m_i - m_j)^T).

    Args:
        weights: w_ij, columns summing to one.
        means: m_i.
        covs: P_i.

    Returns:
        m_j and P_j, with the mode on the same axis.
    """
    # modes are few, and a sum over them fuses where a contraction would be transposed
    modes = range(means.shape[-2])
    columns = weights.reshape(len(modes), *(1,) * (means.ndim - 2), len(modes), 1)
    mixed, cov = jnp.zeros_like(means), jnp.zeros_like(covs)
    for i in modes:
        mixed = mixed + columns[i] * means[..., i, None, :]
    for i in modes:
        apart = means[..., i, None, :] - mixed
        spread = apart[..., :, None] * apart[..., None, :]
        cov = cov + columns[i][..., None] * (covs[..., i, None, :, :] + spread)
    return mixed, cov


def collapse(
    weights: Float[Array, " part"],
    means: Float[Array, "part state"],
    covs: Float[Array, "part state state"],
) -> tuple[Float[Array, " state"], Float[Array, "state state"]]:
    """Return mean and covariance of a Gaussian mixture."""
    mean = weights @ means
    apart = means - mean[None]
    cov = jnp.einsum("i,inm->nm", weights, covs)
    return mean, cov + jnp.einsum("i,in,im->nm", weights, apart, apart)


@kept_jit
def backward_probabilities(
    log_filtered: Float[Array, "time mode"],
    log_predicted: Float[Array, "time mode"],
    switch: Float[Array, "mode mode"],
) -> tuple[Float[Array, "time mode"], Float[Array, "time mode mode"]]:
    """Revise mode probabilities by what came later (Kim 1994).

    P(s_k = i | all) = P(s_k = i | y_1..y_k) sum_j p_ij P(s_{k+1} = j | all) / q_j,
    with q_j = P(s_{k+1} = j | y_1..y_k).

    Args:
        log_filtered: log P(s_k | y_1..y_k).
        log_predicted: log P(s_k | y_1..y_{k-1}).
        switch: p_ij, rows i.

    Returns:
        P(s_k | all), and P(s_k = i, s_{k+1} = j | all) with the last row left at zero.
    """
    filtered, predicted = jnp.exp(log_filtered), jnp.exp(log_predicted)

    def back(
        later: Float[Array, " mode"], row: tuple[Array, Array]
    ) -> tuple[Array, tuple[Array, Array]]:
        here, ahead = row
        ratio = jnp.where(ahead > 0, later / jnp.where(ahead > 0, ahead, 1.0), 0.0)
        pair = here[:, None] * switch * ratio[None]
        now = jnp.sum(pair, 1)
        return now, (now, pair)

    rows = (filtered[:-1], predicted[1:])
    _, (smoothed, pairs) = jax.lax.scan(back, filtered[-1], rows, reverse=True)
    smoothed = jnp.concatenate([smoothed, filtered[-1:]])
    return smoothed, jnp.concatenate([pairs, jnp.zeros_like(switch)[None]])
