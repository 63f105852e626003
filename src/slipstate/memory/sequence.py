"""Whole sequences through a memory, without a matrix per sample.

A closed memory needs no step at all: a cell hold is a sum of steps of height
u_j - u_{j-1}, and the answer to a step that began `lag` ago is `basis.fill(lag)`. So a
chunk of m samples costs one N x N matrix for what came before it and one (m, N) kernel,
and no error is carried from sample to sample. Any other memory is stepped, with the
matrices built once where the sampling is regular and the clock invariant.
"""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from slipstate.memory.basis import AbstractJacobiBasis, Laguerre
from slipstate.memory.clock import Dilation
from slipstate.memory.geometry import Geometry, Parts
from slipstate.memory.hold import AbstractHold
from slipstate.memory.inputs import Samples
from slipstate.memory.state import MemoryState


class Cells(NamedTuple):
    """A signal cut into cells.

    Attributes:
        columns: Samples that enter each cell.
        valid: False where a cell brings no information.
        edges: Cell edges.
    """

    columns: Float[Array, "cell input channel"]
    valid: Bool[Array, "cell channel"]
    edges: Float[Array, " edge"]


class Plan(NamedTuple):
    """How a sequence is treated; decided on the host where the times are known.

    Attributes:
        chunk: Samples per chunk.
        stepped: Number of leading cells that are stepped one by one.
        points: Gauss nodes per cell; 0 takes differences of the primitive instead.
        regular: Whether all cells have the same width.
    """

    chunk: int
    stepped: int
    points: int
    regular: bool


def cut_cells(
    hold: AbstractHold, samples: Samples, edges: Float[Array, " edge"]
) -> Cells:
    """Cut a signal into cells.

    Args:
        hold: How samples fill time.
        samples: The checked signal.
        edges: Its cell edges.

    Returns:
        The cells.
    """
    seen = jnp.all(hold.columns(samples.seen), axis=1)
    return Cells(hold.columns(samples.values), seen, edges)


@eqx.filter_jit
def run_cells(
    geometry: Geometry, state: MemoryState, cells: Cells, plan: Plan
) -> tuple[MemoryState, MemoryState]:
    """Run a state over cells.

    Args:
        geometry: The memory.
        state: State at the first edge, in working precision.
        cells: The signal, as many cells as a multiple of the chunk.
        plan: How to treat it.

    Returns:
        The states at the start of every chunk, and the last state.
    """
    blocks = _blocks(cells, plan.chunk)
    parts = _constant_parts(geometry, cells, plan)

    def stepwise(state, block):
        return _step_cells(geometry, state, block, parts, keep=False)[0], state

    def direct(state, block):
        return _direct_chunk(geometry, state, block, plan.points), state

    # a stepped head, for cells too large for the short rules of the direct form
    head, rest = divmod(plan.stepped, plan.chunk)
    head = min(head, blocks[2].shape[0])
    early = jax.tree.map(lambda x: x[:head], blocks)
    late = jax.tree.map(lambda x: x[head:], blocks)
    state, starts = jax.lax.scan(stepwise, state, early)
    if rest and late[2].shape[0]:
        first = jax.tree.map(lambda x: x[None], state)
        starts = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), starts, first)
        state, _ = stepwise(state, tuple(x[0, :rest] for x in late))
        state, _ = direct(state, tuple(x[0, rest:] for x in late))
        late = jax.tree.map(lambda x: x[1:], late)
    if not late[2].shape[0]:
        return starts, state
    state, others = jax.lax.scan(direct, state, late)
    starts = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), starts, others)
    return starts, state


@eqx.filter_jit
def state_after(
    geometry: Geometry,
    starts: MemoryState,
    cells: Cells,
    plan: Plan,
    index: Int[Array, ""],
) -> MemoryState:
    """Return the state after one cell, from the start of its chunk.

    Args:
        geometry: The memory.
        starts: States at the start of every chunk.
        cells: The signal.
        plan: How it was treated.
        index: The cell.

    Returns:
        The state.
    """
    chunk, place = index // plan.chunk, index % plan.chunk
    start = jax.tree.map(lambda x: x[chunk], starts)
    columns, valid, right = _blocks(cells, plan.chunk)
    block = (columns[chunk], valid[chunk], right[chunk])
    parts = _constant_parts(geometry, cells, plan)
    states = _step_cells(geometry, start, block, parts, keep=True)[1]
    return jax.tree.map(lambda x: x[place], states)


@eqx.filter_jit
def expand_cells(
    geometry: Geometry, starts: MemoryState, cells: Cells, plan: Plan
) -> MemoryState:
    """Return the states after every cell, from those at the chunk starts.

    Args:
        geometry: The memory.
        starts: States at the start of every chunk.
        cells: The signal.
        plan: How it was treated.

    Returns:
        The states, with a leading axis over cells.
    """
    blocks = _blocks(cells, plan.chunk)
    parts = _constant_parts(geometry, cells, plan)

    def chunk(start_and_block):
        start, block = start_and_block
        return _step_cells(geometry, start, block, parts, keep=True)[1]

    states = jax.lax.map(chunk, (starts, blocks))
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), states)


def _step_cells(
    geometry: Geometry,
    state: MemoryState,
    block: tuple[Array, Array, Array],
    parts: Parts | None,
    *,
    keep: bool,
) -> tuple[MemoryState, MemoryState | None]:
    """Step through cells, with the matrices of a few cells built side by side.

    Args:
        geometry: The memory.
        state: State at the left edge of the first cell.
        block: Columns, validity and right edges of the cells.
        parts: The one step of a regular sequence, or None.
        keep: Whether to return the state after every cell.

    Returns:
        The last state, and all of them (without buffers) or None.
    """

    def step(state, cell):
        (columns, valid, t1), own = cell
        state = geometry.advance(state, columns, valid, t1, own or parts)
        kept = eqx.tree_at(lambda s: s.buffer, state, None, is_leaf=lambda x: x is None)
        return state, kept if keep else None

    if parts is not None or geometry.buffered:
        return jax.lax.scan(step, state, (block, None))

    count = block[2].shape[0]
    side = math.gcd(count, _side_by_side(geometry))

    def few(state, group):
        edges = jnp.concatenate([state.time[None], group[2]])
        own = jax.vmap(geometry.parts)(edges[:-1], edges[1:])
        return jax.lax.scan(step, state, (group, own))

    groups = tuple(x.reshape((count // side, side, *x.shape[1:])) for x in block)
    last, states = jax.lax.scan(few, state, groups)
    return last, jax.tree.map(lambda x: x.reshape((count, *x.shape[2:])), states)


def _side_by_side(geometry: Geometry) -> int:
    """Return how many steps' matrices fit in about 8 MB, a power of two up to 32."""
    modes = geometry.basis.modes
    rows = modes if geometry.closed else 24 * modes
    return max(1, min(32, 2 ** int(math.log2(max(1.0, 2**20 / (modes * rows))))))


def _blocks(cells: Cells, chunk: int) -> tuple[Array, Array, Array]:
    """Return columns, validity and right edges with a leading axis over chunks."""
    right = cells.edges[1:]
    shape = (right.shape[0] // chunk, chunk)
    return (
        cells.columns.reshape((*shape, *cells.columns.shape[1:])),
        cells.valid.reshape((*shape, *cells.valid.shape[1:])),
        right.reshape(shape),
    )


def _constant_parts(geometry: Geometry, cells: Cells, plan: Plan) -> Parts | None:
    """Return the one step of a regular sequence under an invariant clock, or None."""
    if not (plan.regular and geometry.clock.invariant) or geometry.buffered:
        return None
    return geometry.parts(cells.edges[0], cells.edges[1])


def _direct_chunk(
    geometry: Geometry,
    state: MemoryState,
    block: tuple[Array, Array, Array],
    points: int,
) -> MemoryState:
    """Take a closed memory over a whole chunk at once."""
    columns, valid, right = block
    basis, clock = geometry.basis, geometry.clock
    u = jnp.where(valid[:, None, :], columns, 0.0).astype(state.energy.dtype)
    edges = jnp.concatenate([state.time[None], right])
    whole = clock.lag(state.time, right[-1])
    carried = basis.matrix(whole) @ state.coefficients
    energy = basis.forgetting(whole) * state.energy
    if not points:
        lags = clock.lag(edges[:-1], right[-1])
        first = jnp.zeros_like(u[:1, 0])
        jumps = jnp.diff(u[:, 0], axis=0, prepend=first)
        squares = jnp.diff(u[:, 0] ** 2, axis=0, prepend=first)
        assert isinstance(basis, AbstractJacobiBasis | Laguerre)
        carried = carried + basis.answer(lags, jumps)
        energy = energy + basis.mass(lags) @ squares
    else:
        lags, weights, shape = _cell_nodes(geometry, edges, points)
        value = jnp.einsum("mgi,mic->mgc", shape, u).reshape(-1, u.shape[-1])
        carried = carried + (basis.at(lags) * weights[:, None]).T @ value
        energy = energy + weights @ value**2
    peak = jnp.maximum(state.peak, jnp.max(jnp.abs(u), axis=(0, 1)))
    fresh = (carried, energy, peak, columns[-1, -1].astype(peak.dtype), right[-1])
    return eqx.tree_at(
        lambda s: (s.coefficients, s.energy, s.peak, s.newest, s.time), state, fresh
    )


def _cell_nodes(
    geometry: Geometry, edges: Float[Array, " edge"], points: int
) -> tuple[Dilation, Float[Array, " node"], Float[Array, "cell point input"]]:
    """Return Gauss nodes in every cell as lags from the last edge.

    The measure of a closed pair only scales when it ages, so the weights of a cell
    seen from the end are those seen from its own right edge times `forgetting`.
    """
    basis, clock = geometry.basis, geometry.clock
    assert isinstance(basis, AbstractJacobiBasis | Laguerre)

    def one(t0, t1):
        nodes, weights = basis.thin(clock.lag(t0, t1), points)
        shape = geometry.hold.weights(clock.fraction(nodes, t0, t1))
        later = clock.lag(t1, edges[-1])
        assert isinstance(nodes, Dilation)
        assert isinstance(later, Dilation)
        moved = Dilation(nodes.log_ratio + later.log_ratio)
        return moved, weights * basis.forgetting(later), shape

    lags, weights, shape = jax.vmap(one)(edges[:-1], edges[1:])
    return jax.tree.map(jnp.ravel, lags), weights.ravel(), shape
