"""First-order recurrences h[k] = a[k] h[k-1] + b[k], element by element.

One signature, four ways: sequential (fused, the reference), chunked (sequential with
one checkpoint per chunk, so that a backward pass stores little), blocked (an
associative scan over blocks, for machines with many lanes) and a single step. All are
exact; they differ in cost and in rounding. Time is the first axis.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

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
