"""The compiled roads of a memory: checked arguments in, arrays out."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from slipstate.memory.geometry import Geometry
from slipstate.memory.inputs import Samples
from slipstate.memory.lag import Transition
from slipstate.memory.sequence import Cells, Plan, cut_cells, run_cells
from slipstate.memory.state import MemoryState
from slipstate.memory.states import MemoryStates


def promote(state: MemoryState) -> MemoryState:
    """Bring a state to the working precision, in which everything is summed."""
    work = jnp.result_type(float)
    floats = lambda x: x.astype(work) if eqx.is_inexact_array(x) else x
    return jax.tree.map(floats, state)


def demote(state: MemoryState, dtype: Any, seen: Array) -> MemoryState:
    """Bring a state back to the precision of the signal; times stay."""
    floats = lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x
    time = state.time
    state = eqx.tree_at(lambda s: s.seen, jax.tree.map(floats, state), seen)
    return eqx.tree_at(lambda s: s.time, state, time)


def begin_line(state: MemoryState, samples: Samples) -> MemoryState:
    """Let a linear hold start at its first sample."""
    first = samples.values[0].astype(state.newest.dtype)
    return eqx.tree_at(lambda s: (s.newest, s.seen), state, (first, samples.seen[0]))


@eqx.filter_jit
def run_signal(
    geometry: Geometry, state: MemoryState, samples: Samples, edges: Array, plan: Plan
) -> tuple[Cells, MemoryState, MemoryState]:
    """Take a whole signal in.

    Args:
        geometry: The memory.
        state: State at the first edge.
        samples: The signal.
        edges: Its cell edges, a whole number of chunks.
        plan: How to treat it.

    Returns:
        The cells, the states at the start of every chunk, and the last state.
    """
    cells = cut_cells(geometry.hold, samples, edges)
    dtype = state.coefficients.dtype
    if geometry.hold.inputs == 2:
        state = begin_line(state, samples)
    starts, last = run_cells(geometry, promote(state), cells, plan)
    return cells, starts, demote(last, dtype, samples.seen[-1])


@eqx.filter_jit
def transition_between(geometry: Geometry, t0: Array, t1: Array) -> Transition:
    """Return the step from t0 to t1."""
    return geometry.transition(t0, t1)


@eqx.filter_jit
def step_once(
    geometry: Geometry, state: MemoryState, sample: Array, seen: Array, t1: Array
) -> MemoryState:
    """Take one sample in.

    Args:
        geometry: The memory.
        state: The state so far.
        sample: (channel,).
        seen: (channel,) True where observed.
        t1: Time after the step.

    Returns:
        The state at t1.
    """
    dtype = state.coefficients.dtype
    state = promote(state)
    sample = sample.astype(state.newest.dtype)
    columns, valid = sample[None], seen
    if geometry.hold.inputs == 2:
        columns, valid = jnp.stack([state.newest, sample]), seen & state.seen
    return demote(geometry.advance(state, columns, valid, t1), dtype, seen)


@eqx.filter_jit
def reconstruct_at(geometry: Geometry, state: MemoryState, times: Array) -> Array:
    """Evaluate a state at given times; NaN where it says nothing."""
    clock = geometry.clock
    c = state.coefficients
    lag = clock.lag(jnp.minimum(times, state.time), state.time)
    known = (times <= state.time) & (times >= clock.origin())
    if geometry.windowed:
        known &= lag.kept > 0.0
    values = geometry.basis.at(lag).astype(c.dtype) @ c
    return jnp.where(known[:, None], values, jnp.nan)


@eqx.filter_jit
def sum_jumps(
    geometry: Geometry, samples: Samples, edges: Array, times: Array
) -> Array:
    """Sum the answers to the jumps of a held signal that came before each time."""
    cells = cut_cells(geometry.hold, samples, edges)
    work = jnp.result_type(float)
    held = jnp.where(cells.valid[:, None], cells.columns, 0.0)[:, 0].astype(work)
    jumps = jnp.diff(held, axis=0, prepend=jnp.zeros_like(held[:1]))
    starts = cells.edges[:-1]

    def one(time):
        # a jump that has not happened yet has a lag of zero, and no answer
        lag = geometry.clock.lag(jnp.minimum(starts, time), time)
        return geometry.basis.fill(lag).T @ jumps

    return jax.lax.map(one, times)


@eqx.filter_jit
def step_between(geometry: Geometry, states: MemoryStates, times: Array) -> Array:
    """Step a linear hold from the last sample before each time to that time."""
    cells, before = states.cells, states.all()
    edges, count = cells.edges, states.count

    def one(time):
        cell = jnp.clip(jnp.searchsorted(edges, time, side="left") - 1, 0, count - 1)
        earlier = jax.tree.map(lambda x: x[jnp.maximum(cell - 1, 0)], before)
        first = jax.tree.map(lambda x: x[0], states.starts)
        start = jax.tree.map(lambda x, y: jnp.where(cell > 0, x, y), earlier, first)
        left, right = cells.columns[cell].astype(start.energy.dtype)
        part = (time - edges[cell]) / (edges[cell + 1] - edges[cell])
        columns = jnp.stack([left, left + part * (right - left)])
        return geometry.advance(start, columns, cells.valid[cell], time).coefficients

    return jax.lax.map(one, times)
