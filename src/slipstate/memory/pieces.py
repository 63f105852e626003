"""Frozen pieces of the past: appended, merged, bounded in number."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from slipstate.memory.basis.polynomial import Legendre
from slipstate.memory.basis.protocol import constant
from slipstate.memory.clock import Dilation
from slipstate.memory.state import MemoryState


class Segments(eqx.Module):
    """Frozen pieces of the past, oldest first; the first `count` are in use.

    Attributes:
        coefficients: (segment, mode, channel).
        energy: (segment, channel) mean square of the held signal on each.
        starts: Left ends.
        ends: Right ends.
        count: Number in use.
    """

    coefficients: Float[Array, "segment mode channel"]
    energy: Float[Array, "segment channel"]
    starts: Float[Array, " segment"]
    ends: Float[Array, " segment"]
    count: Int[Array, ""]


def merge_segments(
    left: Float[Array, "mode channel"],
    right: Float[Array, "mode channel"],
    share: Float[Array, ""],
) -> Float[Array, "mode channel"]:
    """Project two neighbouring Legendre segments onto one.

    The left one is dilated towards the old end, the right one towards the new end,
    where p_n(1 - z) = (-1)^n p_n(z).

    Args:
        left: Coefficients of the older segment.
        right: Coefficients of the newer segment.
        share: Length of the older one over the length of both, in (0, 1).

    Returns:
        Coefficients on the union: the projection of whatever they are projections of.
    """
    basis = Legendre(left.shape[0])
    mirror = constant((-1.0) ** np.arange(left.shape[0]), left)[:, None]
    older = basis.matrix(Dilation(jnp.log(share))) @ left
    newer = basis.matrix(Dilation(jnp.log1p(-share))) @ (mirror * right)
    return older + mirror * newer


def push_segment(frozen: Segments, piece: MemoryState, start: Array) -> Segments:
    """Append a segment, merging two older ones if there is no room."""
    full = frozen.count == frozen.starts.shape[0]
    frozen = jax.lax.cond(full, _merge_one, lambda s: s, frozen)
    at = frozen.count
    return Segments(
        frozen.coefficients.at[at].set(piece.coefficients),
        frozen.energy.at[at].set(piece.energy),
        frozen.starts.at[at].set(start),
        frozen.ends.at[at].set(piece.time),
        at + 1,
    )


def _merge_one(frozen: Segments) -> Segments:
    """Merge the neighbours that are shortest for their age."""
    starts, ends = frozen.starts, frozen.ends
    now = ends[-1]
    age = now - 0.5 * (starts[:-1] + ends[1:])
    pair = jnp.argmin((ends[1:] - starts[:-1]) / age)
    length = ends[pair + 1] - starts[pair]
    share = (ends[pair] - starts[pair]) / length
    c = merge_segments(frozen.coefficients[pair], frozen.coefficients[pair + 1], share)
    energy = share * frozen.energy[pair] + (1.0 - share) * frozen.energy[pair + 1]
    # everything behind the pair moves up by one place; the last place is free
    index = jnp.arange(starts.shape[0])
    source = jnp.minimum(jnp.where(index > pair, index + 1, index), index[-1])
    moved = jax.tree.map(
        lambda x: x[source], (frozen.coefficients, frozen.energy, starts, ends)
    )
    coefficients, energies, starts, ends = moved
    free = index == index[-1]
    return Segments(
        jnp.where(free[:, None, None], 0.0, coefficients.at[pair].set(c)),
        jnp.where(free[:, None], 0.0, energies.at[pair].set(energy)),
        jnp.where(free, 0.0, starts),
        jnp.where(free, 0.0, ends.at[pair].set(frozen.ends[pair + 1])),
        frozen.count - 1,
    )
