"""What a memory carries from sample to sample."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.ground.types import Scalar

BINS = 9
"""Eight eighths of a window plus the one being filled, for losses that age out."""


class CellBuffer(eqx.Module):
    """The newest cells of the signal, oldest first; empty cells have no width.

    Attributes:
        columns: Samples of each cell.
        edges: Cell edges.
    """

    columns: Float[Array, "*batch cell input channel"]
    edges: Float[Array, "*batch edge"]

    def push(
        self, columns: Float[Array, "input channel"], time: Scalar
    ) -> "CellBuffer":
        """Drop the oldest cell and append one that ends at `time`."""
        return CellBuffer(
            jnp.concatenate([self.columns[1:], columns[None]]),
            jnp.concatenate([self.edges[1:], time[None]]),
        )


class MemoryState(eqx.Module):
    """The past at one time, as coefficients, with what is needed to certify it.

    Attributes:
        coefficients: (mode, channel).
        energy: (channel,) E = |f|^2 of the held past; exact for closed memories, an
            upper bound otherwise.
        losses: (bin, channel) what the steps of a memory that is not closed have lost,
            by age where a window forgets it.
        peak: (channel,) largest |sample| so far.
        newest: (channel,) the newest sample.
        seen: (channel,) whether the newest sample was observed.
        time: The time of *now*.
        buffer: Stored cells of a `BufferedBoundary`, otherwise None.
    """

    coefficients: Float[Array, "*batch mode channel"]
    energy: Float[Array, "*batch channel"]
    losses: Float[Array, "*batch bin channel"]
    peak: Float[Array, "*batch channel"]
    newest: Float[Array, "*batch channel"]
    seen: Bool[Array, "*batch channel"]
    time: Float[Array, "*batch"]
    buffer: CellBuffer | None = None


def empty_state(
    modes: int, channels: int, time: Scalar, dtype: jnp.dtype, stored: int, inputs: int
) -> MemoryState:
    """Return the state of a memory that has seen nothing.

    Args:
        modes: Number of basis functions.
        channels: Number of channels.
        time: The time of *now*; before it the signal is zero.
        dtype: Precision of the state.
        stored: Number of cells to buffer.
        inputs: Samples per cell.

    Returns:
        The state.
    """
    # made on the host: a device array of zeros is a program for each shape
    zeros = lambda *shape: jnp.asarray(np.zeros(shape, dtype))
    zero = zeros(channels)
    buffer = None
    if stored:
        columns = zeros(stored, inputs, channels)
        buffer = CellBuffer(columns, jnp.full((stored + 1,), time))
    return MemoryState(
        coefficients=zeros(modes, channels),
        energy=zero,
        losses=zeros(BINS, channels),
        peak=zero,
        newest=zero,
        seen=jnp.asarray(np.zeros(channels, bool)),
        time=time,
        buffer=buffer,
    )
