"""Long series of a hidden chain in pieces that stay in the processor's cache.

A dozen intermediate arrays of a million numbers each cost more to fetch and to write
than to compute. A series is cut into pieces of equal length, each followed from where
the one before ended; on the way back each hands the message of its first row on. Rows
that fill up the last piece observe nothing and are cut off again.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.mode_messages import Matrices
from slipstate.assimilate.mode_passes import smooth_stretch
from slipstate.assimilate.observations import Rows
from slipstate.assimilate.protocol import Running, SeriesPass

Tree = TypeVar("Tree")

_NUMBERS = 8192  # per array of a piece: 64 kB
_LEAST = 128  # rows of a piece


def long(rows: int, modes: int) -> bool:
    """Tell whether a series is worth cutting.

    Args:
        rows: Its length.
        modes: The number of modes.
    """
    return rows > 2 * max(_LEAST, _NUMBERS // modes)


def filter_pieces(
    follow: Callable[[Running, Rows], SeriesPass],
    running: Running,
    rows: Rows,
    modes: int,
) -> SeriesPass:
    """Return what following all rows at once gives.

    Args:
        follow: Follows a stretch of rows from where a run stands.
        running: Where the run stands before the first row.
        rows: The rows.
        modes: The number of modes.
    """
    count = rows.t.shape[0]
    edge = Rows(jnp.zeros_like(rows.y[:1]), rows.mask[:1] & False, rows.t[-1:], None)
    edge = edge._replace(u=None if rows.u is None else rows.u[-1:])
    pieces = jax.tree.map(lambda x, end: _cut(x, end, modes), rows, edge)

    def body(running: Running, piece: Rows) -> tuple[Running, SeriesPass]:
        done = follow(running, piece)
        return done.final, done

    _, done = jax.lax.scan(body, running, pieces)
    predicted, filtered, info = jax.tree.map(
        lambda x: _join(x, count), (done.predicted, done.filtered, done.info)
    )
    last = jax.tree.map(lambda x: x[-1], filtered)
    return SeriesPass(predicted, filtered, info, running.after(last, rows.t))


class Step(NamedTuple):
    """The step that ends at each row.

    Attributes:
        u: Exogenous input, or None.
        dt: Length; that of the first row is not used.
    """

    u: Float[Array, "time input"] | None
    dt: Float[Array, " time"]


def smooth_pieces(
    filtered: Float[Array, "time mode"],
    emitted: Float[Array, "time mode"],
    steps: Step,
    matrices_of: Callable[[Step], Matrices],
) -> Float[Array, "time mode"]:
    """Return log probabilities of the modes at each row given all rows.

    Args:
        filtered: Log probabilities given the rows up to each row.
        emitted: log p(y | mode) at each row.
        steps: The step to each row.
        matrices_of: Gives the matrix of each of some steps, or the one of all.
    """
    count, modes = emitted.shape
    whole = (filtered, emitted, steps)
    # a row of which nothing is known, one step behind
    edge = jax.tree.map(lambda x: x[-1:], (filtered, jnp.zeros_like(emitted), steps))
    pieces = jax.tree.map(lambda x, end: _cut(x, end, modes), whole, edge)

    def body(message: Array, piece: tuple[Array, Array, Step]) -> tuple[Array, Array]:
        filtered, emitted, steps = piece
        found = smooth_stretch(filtered, matrices_of(steps), emitted, message)
        return found.message, found.log_probs

    start = jnp.zeros_like(emitted[0])
    _, smoothed = jax.lax.scan(body, start, pieces, reverse=True)
    # nothing comes after the last row
    return _join(smoothed, count).at[-1].set(filtered[-1])


def _cut(x: Array, end: Array, modes: int) -> Array:
    """Return an array in pieces of equal length, filled up with its edge."""
    count = x.shape[0]
    pieces = -(-count // max(_LEAST, _NUMBERS // modes))
    size = -(-count // pieces)
    tail = jnp.broadcast_to(end, (pieces * size - count, *x.shape[1:]))
    return jnp.concatenate([x, tail]).reshape(pieces, size, *x.shape[1:])


def _join(x: Array, count: int) -> Array:
    """Return the rows of all pieces, without those that fill up."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])[:count]
