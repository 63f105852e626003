"""First-order recurrences h[k] = a[k] h[k-1] + b[k], element by element.

One signature, four ways: sequential (fused, the reference), chunked (sequential with
one checkpoint per chunk, so that a backward pass stores little), blocked (an
associative scan over blocks, for machines with many lanes) and a single step. All are
exact; they differ in cost and in rounding. Time is the first axis.

Where the factor is one matrix for all times, h[k] = A h[k-1] + b[k], `recur_matrix`
does it by products of matrices over chunks side by side: what a linear layer and a
filter whose gain has settled have in common.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

Sequence = Shaped[Array, "time *state"]
State = Shaped[Array, "*state"]


def recur_step(a: State, b: State, h: State) -> State:
    """Return a h + b."""
    return a * h + b


def recur_sequential(a: Sequence, b: Sequence, h: State) -> tuple[Sequence, State]:
    """Run the recurrence as one fused scan.

    Args:
        a: Factors.
        b: Inputs.
        h: State before the first.

    Returns:
        All states and the last one.
    """

    def step(h, pair):
        h = recur_step(pair[0], pair[1], h)
        return h, h

    last, states = jax.lax.scan(step, h, (a, b))
    return states, last


def recur_chunked(
    a: Sequence, b: Sequence, h: State, *, chunk: int = 64
) -> tuple[Sequence, State]:
    """Run the recurrence in chunks whose inside is computed again going backward.

    Args:
        a: Factors.
        b: Inputs.
        h: State before the first.
        chunk: Samples per chunk; the last one may be shorter.

    Returns:
        All states and the last one.
    """
    (a, b), count = _blocks(a, b, chunk)
    inside = jax.checkpoint(lambda h, ab: recur_sequential(ab[0], ab[1], h)[::-1])
    last, states = jax.lax.scan(inside, h, (a, b))
    return states.reshape((-1, *states.shape[2:]))[:count], last


def recur_blocked(
    a: Sequence, b: Sequence, h: State, *, chunk: int = 64
) -> tuple[Sequence, State]:
    """Run the recurrence by an associative scan inside blocks (log depth each).

    Args:
        a: Factors.
        b: Inputs.
        h: State before the first.
        chunk: Samples per block; a scan over the whole sequence compiles too slowly.

    Returns:
        All states and the last one.
    """
    (a, b), count = _blocks(a, b, chunk)

    def join(left, right):
        return left[0] * right[0], right[0] * left[1] + right[1]

    def inside(h, pair):
        factor, made = jax.lax.associative_scan(join, pair)
        states = factor * jnp.broadcast_to(h, factor.shape) + made
        return states[-1], states

    last, states = jax.lax.scan(inside, h, (a, b))
    return states.reshape((-1, *states.shape[2:]))[:count], last


def _blocks(a: Sequence, b: Sequence, chunk: int) -> tuple[tuple[Array, Array], int]:
    """Cut into chunks, filled up with steps that change nothing (a = 1, b = 0)."""
    count = a.shape[0]
    chunk = min(chunk, count)
    missing = -count % chunk
    tail = (missing, *a.shape[1:])
    a = jnp.concatenate([a, jnp.ones(tail, a.dtype)])
    b = jnp.concatenate([b, jnp.zeros(tail, b.dtype)])
    shape = (-1, chunk, *a.shape[1:])
    return (a.reshape(shape), b.reshape(shape)), count


def recur_matrix(
    A: Float[Array, "n n"],
    b: Float[Array, "time n"],
    h: Float[Array, " n"],
    *,
    chunk: int = 64,
) -> tuple[Float[Array, "time n"], Float[Array, " n"]]:
    """Run h[k] = A h[k-1] + b[k], all chunks side by side.

    Two passes over the position inside a chunk, each a product of matrices over all
    chunks, with a loop over the ends of chunks between them: the cost is that of two
    products per sample, and nothing of size (time, n, n) is ever made.

    Args:
        A: The factor, one for all times.
        b: Inputs.
        h: State before the first.
        chunk: Samples per chunk; the last one may be shorter.

    Returns:
        All states and the last one.
    """
    count, n = b.shape
    chunk = min(chunk, count)
    blocks = jnp.concatenate([b, jnp.zeros((-count % chunk, n), b.dtype)])
    blocks = blocks.reshape(-1, chunk, n)
    power, ends = matrix_power(A, chunk), matrix_ends(A, blocks)

    def join(h: Array, end: Array) -> tuple[Array, Array]:
        return power @ h + end, h

    _, starts = jax.lax.scan(join, h, ends)
    states = matrix_fill(A, blocks, starts).reshape(-1, n)[:count]
    return states, states[-1]


def matrix_ends(
    A: Float[Array, "n n"], blocks: Float[Array, "block chunk n"]
) -> Float[Array, "block n"]:
    """Return where each chunk ends if it starts at zero.

    Args:
        A: The factor.
        blocks: Inputs, cut into chunks.
    """

    def inside(h: Array, b: Array) -> tuple[Array, None]:
        return h @ A.T + b, None

    start = jnp.zeros_like(blocks[:, 0])
    return jax.lax.scan(inside, start, jnp.swapaxes(blocks, 0, 1))[0]


def matrix_fill(
    A: Float[Array, "n n"],
    blocks: Float[Array, "block chunk n"],
    starts: Float[Array, "block n"],
) -> Float[Array, "block chunk n"]:
    """Return all states of each chunk, given the state before it.

    Args:
        A: The factor.
        blocks: Inputs, cut into chunks.
        starts: State before each chunk.
    """

    def inside(h: Array, b: Array) -> tuple[Array, Array]:
        h = h @ A.T + b
        return h, h

    states = jax.lax.scan(inside, starts, jnp.swapaxes(blocks, 0, 1))[1]
    return jnp.swapaxes(states, 0, 1)


def matrix_power(A: Float[Array, "n n"], power: int) -> Float[Array, "n n"]:
    """Return A^power by squaring.

    Args:
        A: The matrix.
        power: A non-negative whole number.
    """
    done = jnp.eye(A.shape[0], dtype=A.dtype)
    while power:
        if power & 1:
            done = done @ A
        power >>= 1
        A = A @ A
    return done
