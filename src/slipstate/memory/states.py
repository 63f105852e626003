"""The states of a memory over a whole sequence, kept as checkpoints."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.memory.certificate import state_error
from slipstate.memory.geometry import Geometry
from slipstate.memory.sequence import Cells, Plan, expand_cells, state_after
from slipstate.memory.state import MemoryState


class MemoryStates(eqx.Module):
    """What `LagMemory.scan` returns: the last state, and every other one on demand.

    A sequence of 1e5 samples with 64 modes and 3 channels has 154 MB of coefficients,
    most of which nobody reads. So one state per chunk is kept, and `coefficients`,
    `energy` and `errors` are computed from these when they are asked for.

    Attributes:
        geometry: The memory.
        cells: The signal, with empty cells up to a whole number of chunks.
        starts: States at the start of every chunk.
        last: The state after the last sample.
        plan: How the sequence was treated.
        count: Number of cells of the signal.
    """

    geometry: Geometry
    cells: Cells
    starts: MemoryState
    last: MemoryState
    plan: Plan = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def __len__(self) -> int:
        """Return the number of cells: samples, or one less for a linear hold."""
        return self.count

    @property
    def times(self) -> Float[Array, " cell"]:
        """The right edge of every cell."""
        return self.cells.edges[1 : self.count + 1]

    def all(self) -> MemoryState:
        """Return the states after every cell, with a leading axis."""
        return jax.tree.map(lambda x: x[: self.count], self._padded())

    @property
    def coefficients(self) -> Float[Array, "cell mode channel"]:
        """The coefficients after every cell."""
        return self._padded().coefficients[: self.count]

    @property
    def energy(self) -> Float[Array, "cell channel"]:
        """The energy of the held past after every cell."""
        return self._padded().energy[: self.count]

    @property
    def errors(self) -> Float[Array, "cell channel"]:
        """The certificate after every cell: what the memory has lost."""
        certify = jax.vmap(lambda s: state_error(self.geometry, s))
        return certify(self._padded())[: self.count]

    def at(self, index: int) -> MemoryState:
        """Return the state after one cell, from the nearest checkpoint.

        Args:
            index: Cell, from the end if negative.

        Returns:
            The state.
        """
        place = jnp.asarray(range(self.count)[index], jnp.int32)
        return state_after(self.geometry, self.starts, self.cells, self.plan, place)

    def _padded(self) -> MemoryState:
        """Return the states after every cell, the empty ones at the end too."""
        return expand_cells(self.geometry, self.starts, self.cells, self.plan)
