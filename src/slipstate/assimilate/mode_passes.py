"""Passes over a hidden chain: probabilities of the modes at every row of a series.

In plain numbers, scaled row by row, and in logarithms where a probability too small for
plain numbers may decide; see `slipstate.assimilate.mode_messages`.
"""

from typing import NamedTuple

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


class ModesForward(NamedTuple):
    """What a pass forwards says of the modes.

    Attributes:
        predicted: Log probability of each mode before each row.
        filtered: The same after it.
        evidence: log p(y_k | earlier rows) [nats].
    """

    predicted: Float[Array, "time mode"]
    filtered: Float[Array, "time mode"]
    evidence: Float[Array, " time"]


def filter_modes(
    first: Float[Array, " mode"],
    matrices: Matrices,
    emitted: Float[Array, "time mode"],
    block: int | None = None,
) -> ModesForward:
    """Return log probabilities of the modes before and after each row.

    Args:
        first: Log probability of each mode before the first row.
        matrices: Matrix of the step to each row after the first, or of all.
        emitted: log p(y | mode) at each row.
        block: Rows per block of a scan parallel in time; None for row by row.
    """
    joint = first + emitted[0]
    start = joint - log_sum(joint)
    top = jnp.max(emitted[1:], axis=1)
    weights = jnp.exp(emitted[1:] - top[:, None])
    states = _propagate(jnp.exp(start), matrices, weights, block)
    earlier = jnp.concatenate([jnp.exp(start)[None], states])[:-1]
    before = through(earlier, matrices)
    share = jnp.sum(before * weights, axis=1) / jnp.sum(before, axis=1)

    def plain() -> tuple[Array, Array]:
        return safe_log(before), safe_log(share) + top

    def careful() -> tuple[Array, Array]:
        log_matrices = safe_log(matrices)
        after = propagate_log(start, log_matrices, emitted[1:])
        earlier = jnp.concatenate([start[None], after])[:-1]
        predicted = log_turn(earlier, log_matrices)
        total = log_sum(predicted + emitted[1:], axis=1)
        return predicted, total - log_sum(predicted, axis=1)

    risky = lost(before, weights, emitted[1:], matrices)
    predicted, evidence = jax.lax.cond(risky, careful, plain)
    # one logarithm for each row and mode: Bayes' rule adds the others
    filtered = predicted + emitted[1:] - evidence[:, None]
    return ModesForward(
        jnp.concatenate([first[None], predicted]),
        jnp.concatenate([start[None], filtered]),
        jnp.concatenate([(log_sum(joint) - log_sum(first))[None], evidence]),
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


class Stretch(NamedTuple):
    """What is known about a stretch of a series given all of it.

    Attributes:
        log_probs: Log probability of each mode at each row of the stretch.
        message: log p(rows of the stretch and later | mode one step before it), up to
            a constant.
    """

    log_probs: Float[Array, "time mode"]
    message: Float[Array, " mode"]


def smooth_stretch(
    filtered: Float[Array, "time mode"],
    matrices: Float[Array, "mode mode"] | Float[Array, "time mode mode"],
    emitted: Float[Array, "time mode"],
    message: Float[Array, " mode"],
) -> Stretch:
    """Return what `smooth_modes` does for a stretch that others follow.

    Args:
        filtered: Log probabilities given the rows up to each row.
        matrices: Matrix of the step to each row, the first too, or of all.
        emitted: log p(y | mode) at each row.
        message: log p(all later rows | mode at the last row), up to a constant.
    """
    # one row more in front, of which nothing is known: its smoothed probabilities are
    # the message to the stretch before
    front = jnp.zeros_like(message)[None]
    emitted = jnp.concatenate([front, emitted.at[-1].add(message)])
    smoothed = smooth_modes(jnp.concatenate([front, filtered]), matrices, emitted)
    last = filtered[-1] + message
    log_probs = jnp.concatenate([smoothed[1:-1], (last - log_sum(last))[None]])
    return Stretch(log_probs, smoothed[0])


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
