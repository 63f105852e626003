"""Forecasts of rows that remember the rows before, whichever mode they are in.

With z = (1, y_k, ..., y_{k-p+1}) a row in mode j is z' = F_j z + noise, so that the
moments of z that belong to each mode, S_j = E[z z^T; mode = j], move by themselves,

    S_j' = F_j (sum_i P_ij S_i) F_j^T + P(j) Q_j,

exactly, although the number of paths of the mode grows without bound.

References:
    Costa, Fragoso & Marques (2005), Discrete-time Markov jump linear systems, chapter
    3. Krolzig (1997), Markov-switching vector autoregressions, chapter 4.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.systems.emissions import Past
from slipstate.systems.gaussian_emissions import AutoregressiveEmission


def forecast_memory(
    emission: AutoregressiveEmission,
    probs: Float[Array, " mode"],
    past: Past,
    matrices: Float[Array, "step mode mode"],
) -> tuple[Float[Array, "step obs"], Float[Array, "step obs obs"]]:
    """Return mean and covariance of each row to come.

    Args:
        emission: The autoregression in each mode.
        probs: Probability of each mode at the last row.
        past: The rows up to that one, the latest first.
        matrices: Matrix of the step to each row to come.

    Returns:
        Means and covariances; infinite covariances where a row that is remembered was
        not observed in full.
    """
    modes, order, obs, _ = emission.coefs.shape
    base = past.y[0]  # numbers far from zero would cancel
    z = jnp.concatenate([jnp.ones(1, base.dtype), (past.y - base[None]).reshape(-1)])
    offsets = emission.offsets + jnp.sum(emission.coefs, axis=1) @ base - base[None]
    slopes = jnp.swapaxes(emission.coefs, 1, 2).reshape(modes, obs, order * obs)
    size = 1 + order * obs
    F = jnp.zeros((modes, size, size), base.dtype).at[:, 0, 0].set(1.0)
    new = slice(1, 1 + obs)
    F = F.at[:, new].set(jnp.concatenate([offsets[:, :, None], slopes], axis=2))
    F = F.at[:, 1 + obs :, 1 : size - obs].set(jnp.eye(size - 1 - obs)[None])
    Q = jnp.zeros_like(F).at[:, new, new].set(emission.covs)

    def body(moments: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
        mixed = jnp.einsum("ij,iab->jab", matrix, moments)
        moved = F @ mixed @ jnp.swapaxes(F, 1, 2) + mixed[:, :1, :1] * Q
        total = jnp.sum(moved, axis=0)
        mean = total[0, new]
        return moved, (mean, total[new, new] - jnp.outer(mean, mean))

    start = probs[:, None, None] * jnp.outer(z, z)[None]
    _, (means, covs) = jax.lax.scan(body, start, matrices)
    known = jnp.all(past.seen)
    return means + base[None], jnp.where(known, covs, jnp.inf)
