"""Messages along a hidden chain: the forward and backward recursions, three ways.

Both recursions are one. With P_k the matrix of the step that ends at row k and
b_k(j) = p(y_k | mode j),

    forward    a_k = (a_{k-1} P_k) b_k              P(s_k, y_1..y_k)
    backward   w_k = (w_{k+1} P_{k+1}^T) b_k        P(y_k..y_T | s_k)

and a smoothed probability is a_k times w_{k+1} P_{k+1}^T. Each vector is scaled to sum
to one as it is made; scales are not needed again, because the likelihood of a row
follows from its predicted probabilities after the loop.

`propagate` goes row by row; `propagate_blocked` multiplies out the matrices of many
blocks side by side and needs 2 B + T / B turns for blocks of B rows; `propagate_log`
keeps logarithms, and is the only one right where a probability smaller than the
smallest number decides: a mode that can never be reached again, but without which what
comes later is impossible. `lost` tells where that may be.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.types import Flag
from slipstate.systems.hidden_markov import safe_log

Matrices = Float[Array, "mode mode"] | Float[Array, "step mode mode"]
"""One matrix for every step, or one each."""


def scaled_weights(log_probs: Float[Array, "time mode"]) -> Float[Array, "time mode"]:
    """Return p(y | mode) divided by the largest of its row.

    Args:
        log_probs: log p(y | mode); a row of minus infinity gives NaN.
    """
    return jnp.exp(log_probs - jnp.max(log_probs, axis=1, keepdims=True))


def propagate(
    start: Float[Array, " mode"],
    matrices: Matrices,
    weights: Float[Array, "step mode"],
) -> Float[Array, "step mode"]:
    """Return x_k = (x_{k-1} P_k) w_k, each scaled to sum to one, row by row.

    Args:
        start: x_0.
        matrices: P, or P_1, P_2, ...
        weights: w_1, w_2, ...
    """
    steady = matrices.ndim == 2

    def body(x: Array, step: Any) -> tuple[Array, Array]:
        matrix, weight = (matrices, step) if steady else step
        # few modes: multiply and sum fuses with the scaling, a library call does not
        x = jnp.sum(x[:, None] * matrix, axis=0) * weight
        x = x / jnp.sum(x)
        return x, x

    _, states = jax.lax.scan(body, start, weights if steady else (matrices, weights))
    return states


def propagate_blocked(
    start: Float[Array, " mode"],
    matrices: Matrices,
    weights: Float[Array, "step mode"],
    block: int,
) -> Float[Array, "step mode"]:
    """Return what `propagate` does, for machines with many lanes.

    Args:
        start: x_0.
        matrices: P, or P_1, P_2, ...
        weights: w_1, w_2, ...
        block: Rows per block; about the square root of their number is best.
    """
    steps, modes = weights.shape
    missing = -steps % block
    shape = (-1, block, modes)
    tail = jnp.ones((missing, modes), weights.dtype)
    pieces = jnp.concatenate([weights, tail]).reshape(shape)
    if matrices.ndim == 2:
        given, axes = matrices, None
    else:
        repeated = jnp.broadcast_to(
            jnp.eye(modes, dtype=weights.dtype), (missing, modes, modes)
        )
        given, axes = jnp.concatenate([matrices, repeated]), 0
        given = given.reshape(*shape, modes)

    def product(given: Array, piece: Array) -> Array:
        def body(x: Array, step: Any) -> tuple[Array, None]:
            matrix, weight = (given, step) if axes is None else step
            x = (x @ matrix) * weight[None]
            return x / jnp.sum(x), None

        eye = jnp.eye(modes, dtype=piece.dtype)
        return jax.lax.scan(body, eye, piece if axes is None else (given, piece))[0]

    def across(x: Array, whole: Array) -> tuple[Array, Array]:
        after = x @ whole
        return after / jnp.sum(after), x

    wholes = jax.vmap(product, in_axes=(axes, 0))(given, pieces)
    _, entries = jax.lax.scan(across, start, wholes)
    inside = jax.vmap(propagate, in_axes=(0, axes, 0))(entries, given, pieces)
    return inside.reshape(-1, modes)[:steps]


def propagate_log(
    start: Float[Array, " mode"],
    log_matrices: Matrices,
    log_weights: Float[Array, "step mode"],
) -> Float[Array, "step mode"]:
    """Return the logarithm of what `propagate` does, with nothing too small for it.

    Args:
        start: log x_0.
        log_matrices: log P, or log P_1, log P_2, ...
        log_weights: log w_1, log w_2, ...
    """
    steady = log_matrices.ndim == 2

    def body(x: Array, step: Any) -> tuple[Array, Array]:
        matrix, weight = (log_matrices, step) if steady else step
        x = log_turn(x, matrix) + weight
        x = x - log_sum(x)
        return x, x

    given = log_weights if steady else (log_matrices, log_weights)
    return jax.lax.scan(body, start, given)[1]


def lost(
    before: Float[Array, "step mode"],
    weights: Float[Array, "step mode"],
    log_weights: Float[Array, "step mode"],
    matrices: Matrices,
) -> Flag:
    """Tell whether a product too small for its type may matter.

    It cannot where every mode follows every other one with a probability far above the
    smallest number: what was lost is then refilled by the next step.

    Args:
        before: x_{k-1} P_k.
        weights: w_k, scaled.
        log_weights: log w_k, to tell what is impossible from what is only small.
        matrices: P, or P_1, P_2, ...
    """
    tiny = jnp.finfo(weights.dtype).tiny
    product = before * weights
    possible = (before > 0) & (log_weights > -jnp.inf)
    vanished = jnp.any(possible & (product < tiny / jnp.finfo(weights.dtype).eps))
    starved = jnp.any(jnp.sum(product, axis=1) < jnp.sqrt(tiny))
    barred = jnp.min(matrices, initial=1.0) < jnp.sqrt(tiny)
    return starved | (barred & vanished)


def through(
    x: Float[Array, "step mode"], matrices: Matrices
) -> Float[Array, "step mode"]:
    """Return x_k P_k for all steps at once.

    Args:
        x: One vector for each step.
        matrices: P, or P_1, P_2, ...
    """
    if matrices.ndim == 2:
        return x @ matrices
    return jnp.einsum("ti,tij->tj", x, matrices)


def log_turn(
    log_x: Float[Array, "*step mode"], log_matrix: Float[Array, "*matrix mode mode"]
) -> Float[Array, "*step mode"]:
    """Return log(x P) from the logarithms of both.

    Args:
        log_x: log x.
        log_matrix: log P.
    """
    lead = (1,) * (log_x.ndim + 1 - log_matrix.ndim)
    matrix = jnp.reshape(log_matrix, (*lead, *log_matrix.shape))
    return log_sum(log_x[..., :, None] + matrix, axis=-2)


def log_sum(
    log_x: Float[Array, "*shape"], axis: int | None = None
) -> Float[Array, "*rest"]:
    """Return log sum exp; minus infinity, with a gradient of 0, where nothing is there.

    Args:
        log_x: Logarithms.
        axis: The axis to sum over; None for all.
    """
    top = jax.lax.stop_gradient(jnp.max(log_x, axis=axis, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    total = jnp.sum(jnp.exp(log_x - top), axis=axis)
    level = jnp.reshape(top, total.shape)
    return safe_log(total) + level


def transposed(matrices: Matrices) -> Matrices:
    """Return the transposes.

    Args:
        matrices: P, or P_1, P_2, ...
    """
    return jnp.swapaxes(matrices, -1, -2)


def backward(matrices: Matrices) -> Matrices:
    """Return the matrices of the recursion backwards, the last step first.

    Args:
        matrices: P, or P_1, P_2, ...
    """
    turned = transposed(matrices)
    return turned if matrices.ndim == 2 else turned[::-1]
