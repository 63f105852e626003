"""Passes over a hidden chain: probabilities of the modes at every row of a series.

In plain numbers, scaled row by row, and in logarithms where a probability too small for
plain numbers may decide; see `slipstate.assimilate.mode_messages`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.mode_messages import (
    Matrices,
    backward,
    log_sum,
    log_turn,
    lost,
    propagate,
    propagate_blocked,
    propagate_log,
    scaled_weights,
    through,
)
from slipstate.systems.hidden_markov import safe_log


def filter_modes(
    first: Float[Array, " mode"],
    matrices: Matrices,
    emitted: Float[Array, "time mode"],
    block: int | None = None,
) -> tuple[Float[Array, "time mode"], Float[Array, "time mode"]]:
    """Return log probabilities of the modes before and after each row.

    Args:
        first: Log probability of each mode before the first row.
        matrices: Matrix of the step to each row after the first, or of all.
        emitted: log p(y | mode) at each row.
        block: Rows per block of a scan parallel in time; None for row by row.
    """
    start = first + emitted[0]
    start = start - log_sum(start)
    weights = scaled_weights(emitted[1:])
    states = _propagate(jnp.exp(start), matrices, weights, block)
    states = jnp.concatenate([jnp.exp(start)[None], states])
    before = through(states[:-1], matrices)

    def plain() -> tuple[Array, Array]:
        return safe_log(before), safe_log(states[1:])

    def careful() -> tuple[Array, Array]:
        log_matrices = safe_log(matrices)
        after = propagate_log(start, log_matrices, emitted[1:])
        earlier = jnp.concatenate([start[None], after])[:-1]
        return log_turn(earlier, log_matrices), after

    risky = lost(before, weights, emitted[1:], matrices)
    predicted, filtered = jax.lax.cond(risky, careful, plain)
    return (
        jnp.concatenate([first[None], predicted]),
        jnp.concatenate([start[None], filtered]),
    )


def smooth_modes(
    filtered: Float[Array, "time mode"],
    matrices: Matrices,
    emitted: Float[Array, "time mode"],
    block: int | None = None,
) -> Float[Array, "time mode"]:
    """Return log probabilities of the modes at each row given all rows.

    Args:
        filtered: Log probabilities given the rows up to each row.
        matrices: Matrix of the step to each row after the first, or of all.
        emitted: log p(y | mode) at each row.
        block: Rows per block of a scan parallel in time; None for row by row.
    """
    start = emitted[-1] - log_sum(emitted[-1])
    upwards = emitted[:-1][::-1]
    weights = scaled_weights(upwards)
    turned = backward(matrices)
    states = _propagate(jnp.exp(start), turned, weights, block)
    states = jnp.concatenate([jnp.exp(start)[None], states])[:-1]
    later = through(states, turned)
    product = jnp.exp(filtered[:-1]) * later[::-1]
    total = jnp.sum(product, axis=1, keepdims=True)

    def plain() -> Array:
        return safe_log(product / total)

    def careful() -> Array:
        log_turned = safe_log(turned)
        after = propagate_log(start, log_turned, upwards)
        after = jnp.concatenate([start[None], after])[:-1]
        joint = filtered[:-1] + log_turn(after, log_turned)[::-1]
        return joint - log_sum(joint, axis=1)[:, None]

    starved = jnp.any(total < jnp.sqrt(jnp.finfo(total.dtype).tiny))
    risky = starved | lost(later, weights, upwards, turned)
    return jnp.concatenate([jax.lax.cond(risky, careful, plain), filtered[-1:]])


def _propagate(
    start: Float[Array, " mode"],
    matrices: Matrices,
    weights: Float[Array, "step mode"],
    block: int | None,
) -> Float[Array, "step mode"]:
    """Run the recursion row by row or in blocks."""
    if block is None or weights.shape[0] <= block:
        return propagate(start, matrices, weights)
    return propagate_blocked(start, matrices, weights, block)
