"""A memory that cuts itself where its certificate says that the signal broke.

A jump inside a memory of polynomials costs an error of order N^{-1/2} that no more
samples repair. So when a new sample lifts the certificate past a tolerance, what came
before is frozen as a segment and the memory starts anew with that sample (r = 0). Two
neighbouring segments merge by the same inner product, and the certificate stays exact,
because a polynomial restricted to a part is a polynomial of that part. Merging the pair
that is shortest for its age keeps a fixed number of segments, fine for the recent past
and coarse for the old (dyadic forgetting).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import ScalarLike
from slipstate.memory.basis.polynomial import Legendre
from slipstate.memory.certificate import safe_root
from slipstate.memory.clock import ScaleClock
from slipstate.memory.inputs import check_interval, check_sample, check_signal, working
from slipstate.memory.online import LagMemory
from slipstate.memory.pieces import Segments, push_segment
from slipstate.memory.state import MemoryState


class SegmentedState(eqx.Module):
    """The running segment and the frozen ones.

    Attributes:
        running: State of the running segment.
        start: Where it began.
        frozen: Earlier segments.
        cuts: Number of cuts so far.
    """

    running: MemoryState
    start: Float[Array, ""]
    frozen: Segments
    cuts: Int[Array, ""]


class SegmentedStates(NamedTuple):
    """What `SegmentedMemory.scan` returns.

    Attributes:
        last: The state after the last sample.
        cut: (time,) True at a sample that began a new segment.
        errors: (time, channel) certificate of the running segment, before any cut.
    """

    last: SegmentedState
    cut: Bool[Array, " time"]
    errors: Float[Array, "time channel"]


class SegmentedMemory(eqx.Module):
    """Legendre segments of the past, cut by the certificate.

    Attributes:
        memory: `LagMemory` of Legendre polynomials, `ScaleClock` and a cell hold; used
            for every segment, with its own start.
        tolerance: Certificate of the running segment that makes a cut, in the unit of
            the signal (root mean square); any channel may pass it.
        capacity: Number of frozen segments kept.
        longest: Segments are also frozen at this length, so that what is smooth is
            forgotten dyadically too; infinite by default.
    """

    memory: LagMemory
    tolerance: Float[Array, ""] = eqx.field(converter=working)
    capacity: int = eqx.field(static=True, default=16)
    longest: float = eqx.field(static=True, default=float("inf"))

    def __check_init__(self):
        basis, clock = self.memory.basis, self.memory.clock
        plain = isinstance(basis, Legendre) and isinstance(clock, ScaleClock)
        if not plain or self.memory.hold.inputs != 1:
            raise MethodError(
                "`memory` of a SegmentedMemory must be LagMemory(Legendre(N), "
                "ScaleClock(), CellHold()); got "
                f"{type(basis).__name__}, {type(clock).__name__}, "
                f"{type(self.memory.hold).__name__}. Segments of other families do "
                "not merge exactly."
            )
        if isinstance(self.capacity, bool) or self.capacity < 2:
            raise InputError(f"`capacity` must be at least 2; got {self.capacity}.")
        if not self.longest > 0.0:
            raise InputError(f"`longest` must be positive; got {self.longest}.")

    def init(self, channels: int = 1, *, time: ScalarLike = 0.0) -> SegmentedState:
        """Return the state before any sample.

        Args:
            channels: Number of channels.
            time: The time of *now*, where the first segment begins.

        Returns:
            The empty state.
        """
        start = working(time)
        running = self._memory(start).init(channels, time=start)
        s, n = self.capacity, self.memory.basis.modes
        frozen = Segments(
            jnp.zeros((s, n, channels), start.dtype),
            jnp.zeros((s, channels), start.dtype),
            jnp.zeros((s,), start.dtype),
            jnp.zeros((s,), start.dtype),
            jnp.zeros((), jnp.int32),
        )
        return SegmentedState(running, start, frozen, jnp.zeros((), jnp.int32))

    def step(
        self, state: SegmentedState, u: Any, t: ScalarLike
    ) -> tuple[SegmentedState, Bool[Array, ""]]:
        """Take one sample in, held from the time of the state to t.

        Args:
            state: The state so far.
            u: Sample, (channel,).
            t: Time after the step.

        Returns:
            The state at t, and whether this sample began a new segment.
        """
        sample, seen = check_sample(u, None, state.running)
        end = check_interval(state.running.time, t, -jnp.inf)[1]
        moved, cut, _ = _step_once(self, state, sample.astype(end.dtype), seen, end)
        return moved, cut

    def scan(self, u: Any, t: Any = None) -> SegmentedStates:
        """Take a whole sequence in.

        Args:
            u: Samples, (time, channel).
            t: Cell edges, (time + 1,); 0, 1, 2, ... if None.

        Returns:
            The last state, where it was cut, and the certificate along the way.
        """
        values = check_signal(u, None).values
        edges = self.memory.hold.cells(
            values.shape[0], None if t is None else working(t)
        )
        check_interval(edges[0], jnp.min(jnp.diff(edges)) + edges[0], -jnp.inf)
        state = self.init(values.shape[1], time=edges[0])
        return _scan(self, state, values.astype(edges.dtype), edges[1:])

    def reconstruct(
        self, state: SegmentedState, times: Any
    ) -> Float[Array, "tick channel"]:
        """Evaluate the remembered past, each time in its own segment.

        Args:
            state: A state.
            times: Where to evaluate.

        Returns:
            The reconstruction; NaN outside the past.
        """
        return _reconstruct(self, state, working(times))

    def error(self, state: SegmentedState) -> Float[Array, " channel"]:
        """Return the exact root mean square error over the whole past.

        Args:
            state: A state.

        Returns:
            Error per channel, in the unit of the signal.
        """
        lengths, squares = self._squares(state)
        total = jnp.maximum(jnp.sum(lengths), jnp.finfo(lengths.dtype).tiny)
        return safe_root(lengths @ squares / total)

    def segment_errors(self, state: SegmentedState) -> Float[Array, "piece channel"]:
        """Return the exact error of each frozen segment, and of the running one last.

        Args:
            state: A state.

        Returns:
            Root mean square errors; 0 for segments not in use.
        """
        return safe_root(self._squares(state)[1])

    def bounds(self, state: SegmentedState) -> Float[Array, " edge"]:
        """Return the edges of the segments in use, ending with *now* (not traceable).

        Args:
            state: A state.

        Returns:
            Increasing times.
        """
        count = int(state.frozen.count)
        return jnp.concatenate(
            [
                state.frozen.starts[:count],
                state.start[None],
                state.running.time[None],
            ]
        )

    def _memory(self, start: Array) -> LagMemory:
        """Return the memory of a segment that begins at `start`."""
        return eqx.tree_at(lambda m: m.clock.start, self.memory, start)

    def _squares(self, state: SegmentedState) -> tuple[Array, Array]:
        """Return the lengths of all pieces and their mean square errors."""
        frozen, running = state.frozen, state.running
        lengths = jnp.append(frozen.ends - frozen.starts, running.time - state.start)
        squares = frozen.energy - jnp.sum(frozen.coefficients**2, axis=1)
        own = running.energy - jnp.sum(running.coefficients**2, axis=0)
        squares = jnp.concatenate([squares, own[None]])
        return lengths, jnp.maximum(squares, 0.0)


def _step(
    memory: SegmentedMemory,
    state: SegmentedState,
    sample: Array,
    seen: Array,
    t1: Array,
) -> tuple[SegmentedState, Array, Array]:
    """Take one sample in; return the state, whether it was cut, and the certificate."""
    grown = memory._memory(state.start)
    went_on = grown.geometry.advance(state.running, sample[None], seen, t1)
    error = grown.error(went_on)
    begun = state.running.time > state.start
    long = t1 - state.start > memory.longest
    cut = begun & (jnp.any(error > memory.tolerance) | long)

    def freeze(_):
        start = state.running.time
        fresh = memory._memory(start)
        empty = fresh.init(sample.shape[0], time=start)
        running = fresh.geometry.advance(empty, sample[None], seen, t1)
        frozen = push_segment(state.frozen, state.running, state.start)
        return SegmentedState(running, start, frozen, state.cuts + 1)

    def go_on(_):
        return SegmentedState(went_on, state.start, state.frozen, state.cuts)

    return jax.lax.cond(cut, freeze, go_on, None), cut, error


_step_once = eqx.filter_jit(_step)


@eqx.filter_jit
def _scan(
    memory: SegmentedMemory, state: SegmentedState, u: Array, right: Array
) -> SegmentedStates:
    seen = jnp.ones((u.shape[1],), bool)

    def step(state, cell):
        state, cut, error = _step(memory, state, cell[0], seen, cell[1])
        return state, (cut, error)

    last, (cut, errors) = jax.lax.scan(step, state, (u, right))
    return SegmentedStates(last, cut, errors)


@eqx.filter_jit
def _reconstruct(memory: SegmentedMemory, state: SegmentedState, times: Array) -> Array:
    frozen, running = state.frozen, state.running
    basis = memory.memory.basis
    places = jnp.arange(frozen.starts.shape[0], dtype=frozen.count.dtype)
    used = places < frozen.count
    starts = jnp.append(jnp.where(used, frozen.starts, jnp.inf), state.start)
    ends = jnp.append(frozen.ends, running.time)
    coefficients = jnp.concatenate([frozen.coefficients, running.coefficients[None]])

    def one(time):
        inside = (starts < time) & (time <= ends)
        piece = jnp.argmax(inside)
        z = (time - starts[piece]) / (ends[piece] - starts[piece])
        value = basis.values(z) @ coefficients[piece]
        return jnp.where(jnp.any(inside), value, jnp.nan)

    return jax.vmap(one)(times)
