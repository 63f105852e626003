"""The four choices of a memory as one object, and the single step they define."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.memory.basis import AbstractBasis
from slipstate.memory.boundary import AbstractBoundary
from slipstate.memory.clock import AbstractClock, Dilation, WindowClock
from slipstate.memory.hold import AbstractHold
from slipstate.memory.lag import Residual, Transition, lag_residual, lag_transition
from slipstate.memory.state import BINS, CellBuffer, MemoryState

Parts = tuple[Transition, Residual | None]
"""A step, and the tables of what it loses unless nothing is lost."""


class Geometry(eqx.Module):
    """Basis, clock, hold and boundary: all that decides how a past is remembered.

    Attributes:
        basis: Functions of the canonical coordinate.
        clock: How time becomes that coordinate.
        hold: How samples fill the time between.
        boundary: What happens at the old end of a window.
    """

    basis: AbstractBasis
    clock: AbstractClock
    hold: AbstractHold
    boundary: AbstractBoundary

    @property
    def windowed(self) -> bool:
        """Whether the past falls out of a window."""
        return isinstance(self.clock, WindowClock)

    @property
    def buffered(self) -> bool:
        """Whether the cells of the window are carried along."""
        return self.windowed and self.boundary.stored > 0

    @property
    def closed(self) -> bool:
        """Whether the state is the exact projection of the held past, for every N."""
        still = Dilation(jnp.zeros(()))
        return self.buffered or (not self.windowed and self.basis.closed(still))

    def transition(self, t0: Float[Array, ""], t1: Float[Array, ""]) -> Transition:
        """Return A, B and energies of the step from t0 to t1."""
        return lag_transition(self.basis, self.clock, self.hold, self.boundary, t0, t1)

    def parts(self, t0: Float[Array, ""], t1: Float[Array, ""]) -> Parts:
        """Return the step, and the tables of its loss unless nothing is lost."""
        if self.closed:
            return self.transition(t0, t1), None
        residual = lag_residual(self.basis, self.clock, self.hold, t0, t1)
        return self.transition(t0, t1), residual

    def advance(
        self,
        state: MemoryState,
        columns: Float[Array, "input channel"],
        valid: Bool[Array, " channel"],
        t1: Float[Array, ""],
        parts: Parts | None = None,
    ) -> MemoryState:
        """Move a state on by one cell; an empty cell leaves it as it is.

        Args:
            state: The state at the left edge, in working precision.
            columns: Samples that enter the cell.
            valid: False where the cell brings no information (time passes).
            t1: Right edge.
            parts: The step if it is known already.

        Returns:
            The state at t1.
        """
        columns = columns.astype(state.energy.dtype)
        u = jnp.where(valid[None], columns, 0.0)
        # an empty cell is stepped too, but over a harmless unit of time, and dropped
        passes = t1 > state.time
        if self.buffered:
            moved = self._advance_buffer(state, u, t1)
        else:
            moved = self._advance_plain(state, u, t1, parts)
        moved = jax.tree.map(lambda new, old: jnp.where(passes, new, old), moved, state)
        return eqx.tree_at(
            lambda s: (s.peak, s.newest, s.time),
            moved,
            (
                jnp.maximum(state.peak, jnp.max(jnp.abs(u), axis=0)),
                columns[-1],
                jnp.maximum(t1, state.time),
            ),
        )

    def _advance_plain(
        self,
        state: MemoryState,
        u: Float[Array, "input channel"],
        t1: Float[Array, ""],
        parts: Parts | None,
    ) -> MemoryState:
        step, residual = self.parts(state.time, t1) if parts is None else parts
        c = step.apply(state.coefficients, u)
        keep = jnp.where(jnp.isfinite(step.keep), step.keep, 0.0)
        made = jnp.sum(u * (step.energy @ u), axis=0)
        losses = state.losses
        if residual is not None:
            lost = residual.loss(state.coefficients, u, c)
            losses = self._age(losses, state.time, t1, step.keep)
            losses = losses.at[0].add(lost)
            # `keep` speaks of the majorant measure, so the new cell must too
            made = jnp.sum((residual.hold @ u) ** 2, axis=0)
        energy = keep * state.energy + made
        energy = jnp.where(jnp.isfinite(step.keep), energy, jnp.inf)
        return eqx.tree_at(
            lambda s: (s.coefficients, s.energy, s.losses), state, (c, energy, losses)
        )

    def _age(
        self,
        losses: Float[Array, "bin channel"],
        t0: Float[Array, ""],
        t1: Float[Array, ""],
        keep: Float[Array, ""],
    ) -> Float[Array, "bin channel"]:
        """Let old losses shrink with the past, or fall out of the window with it."""
        if isinstance(self.clock, WindowClock):
            ticks = (BINS - 1) / self.clock.theta
            shift = jnp.floor(t1 * ticks) - jnp.floor(t0 * ticks)
            places = jnp.arange(BINS, dtype=jnp.int32)
            source = places - jnp.minimum(shift, BINS).astype(jnp.int32)
            aged = losses[jnp.maximum(source, 0)]
            losses = jnp.where((source >= 0)[:, None], aged, 0.0)
        finite = jnp.isfinite(keep)
        shrunk = jnp.sqrt(jnp.where(finite, keep, 1.0)) * losses
        return jnp.where(finite, shrunk, jnp.inf)

    def _advance_buffer(
        self, state: MemoryState, u: Float[Array, "input channel"], t1: Float[Array, ""]
    ) -> MemoryState:
        assert isinstance(state.buffer, CellBuffer)
        buffer = state.buffer.push(u, t1)
        lag = self.clock.lag(buffer.edges[:-1], t1)
        samples = buffer.columns[:, 0]
        first = jnp.zeros_like(samples[:1])
        jumps = jnp.diff(samples, axis=0, prepend=first)
        squares = jnp.diff(samples**2, axis=0, prepend=first)
        c = self.basis.fill(lag).T @ jumps
        energy = self.basis.mass(lag) @ squares
        return eqx.tree_at(
            lambda s: (s.coefficients, s.energy, s.buffer), state, (c, energy, buffer)
        )
