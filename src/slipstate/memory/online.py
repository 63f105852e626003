"""LagMemory: the past of a signal as coefficients, step by step or all at once."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.types import Scalar, ScalarLike
from slipstate.memory.basis import AbstractBasis, AbstractHalfLineBasis
from slipstate.memory.boundary import AbstractBoundary, ProjectedBoundary
from slipstate.memory.certificate import safe_root, state_error
from slipstate.memory.clock import AbstractClock, WindowClock
from slipstate.memory.compiled import (
    reconstruct_at,
    run_signal,
    step_between,
    step_once,
    sum_jumps,
    transition_between,
)
from slipstate.memory.geometry import Geometry
from slipstate.memory.hold import AbstractHold, CellHold
from slipstate.memory.inputs import (
    check_interval,
    check_sample,
    check_signal,
    check_times,
    working,
)
from slipstate.memory.lag import Transition
from slipstate.memory.plan import cell_edges, make_plan, pad
from slipstate.memory.state import MemoryState, empty_state
from slipstate.memory.states import MemoryStates
from slipstate.memory.uncertainty import propagate_covariance


class LagMemory(eqx.Module):
    """A state-space model of the past, built by the lag operator.

    Four independent choices: in which functions the past is written (`basis`), how old
    it looks (`clock`), how samples fill time (`hold`), and what happens where a window
    ends (`boundary`). Before the first time the signal is zero.

    Attributes:
        basis: Functions of the canonical coordinate.
        clock: How time becomes that coordinate.
        hold: How samples fill the time between.
        boundary: What happens at the old end of a window.

    References:
        Tomonaga, Doya, Murata (2026), arXiv:2512.18965. Gu et al. (2020), HiPPO,
        arXiv:2008.07669.
    """

    basis: AbstractBasis
    clock: AbstractClock
    hold: AbstractHold = CellHold()
    boundary: AbstractBoundary = ProjectedBoundary()

    def __check_init__(self):
        for name, kind in (
            ("basis", AbstractBasis),
            ("clock", AbstractClock),
            ("hold", AbstractHold),
            ("boundary", AbstractBoundary),
        ):
            if not isinstance(getattr(self, name), kind):
                raise InputError(
                    f"`{name}` must be an {kind.__name__}; got {getattr(self, name)!r}."
                )
        windowed = isinstance(self.clock, WindowClock)
        if windowed and isinstance(self.basis, AbstractHalfLineBasis):
            raise InputError(
                "`clock` WindowClock cuts the past, but the `basis` "
                f"{type(self.basis).__name__} lives on a half line. Use "
                "ExponentialClock(tau), or a basis on an interval such as Legendre."
            )
        self.boundary.check(self.basis)
        if self.boundary.stored and (not windowed or self.hold.inputs != 1):
            raise InputError(
                "`boundary` BufferedBoundary needs WindowClock and a cell hold; got "
                f"{type(self.clock).__name__} and {type(self.hold).__name__}."
            )

    @property
    def geometry(self) -> Geometry:
        """The four choices."""
        return Geometry(self.basis, self.clock, self.hold, self.boundary)

    @property
    def closed(self) -> bool:
        """Whether the state is the exact projection of the held past, for every N."""
        return self.geometry.closed

    def transition(self, t0: ScalarLike, t1: ScalarLike) -> Transition:
        """Return the step c' = A c + B u from t0 to t1.

        Args:
            t0: Time before the step, not before the origin of the clock.
            t1: Time after it, not before t0.

        Returns:
            A (mode, mode) and B, (mode,) or (mode, 2) for `LinearHold`.

        Raises:
            InputError: t1 < t0, or t0 before the origin.
            MethodError: the boundary is buffered, so no such matrix exists.
        """
        if self.geometry.buffered:
            raise MethodError(
                "`transition` needs a step that is linear in the state; a "
                "BufferedBoundary also uses stored samples. Use ProjectedBoundary."
            )
        start, end = check_interval(t0, t1, self.clock.origin())
        return transition_between(self.geometry, start, end)

    def init(
        self, channels: int = 1, *, time: ScalarLike | None = None, dtype: Any = None
    ) -> MemoryState:
        """Return the state before any sample.

        Args:
            channels: Number of channels.
            time: The time of *now*; the origin of the clock, or 0, if None.
            dtype: Precision of the state; the default precision of jax if None.

        Returns:
            The empty state.
        """
        if channels < 1:
            raise InputError(f"`channels` must be at least 1; got {channels}.")
        origin = self.clock.origin()
        start = jnp.where(jnp.isfinite(origin), origin, 0.0)
        start = working(start) if time is None else working(time)
        dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
        stored = self.boundary.stored if self.geometry.buffered else 0
        return empty_state(
            self.basis.modes, channels, start, dtype, stored, self.hold.inputs
        )

    def step(
        self, state: MemoryState, u: Any, t: ScalarLike, *, mask: Any = None
    ) -> MemoryState:
        """Take one sample in.

        For cell holds, `u` is held from the time of the state to t. For `LinearHold`
        it is the sample at t, reached linearly from the one before; the very first
        one, given at the time of the state, only says where the line begins.

        Args:
            state: The state so far.
            u: Sample, shape (channel,).
            t: Time after the step.
            mask: (channel,) True where `u` was observed. Elsewhere time passes without
                information: the past ages, the new cell counts as zero.

        Returns:
            The state at t.
        """
        sample, seen = check_sample(u, mask, state)
        end = check_interval(state.time, t, -jnp.inf)[1]
        return step_once(self.geometry, state, sample, seen, end)

    def scan(
        self,
        u: Any,
        t: Any = None,
        *,
        mask: Any = None,
        state: MemoryState | None = None,
    ) -> MemoryStates:
        """Take a whole sequence in.

        Args:
            u: Samples, (time, channel), real and finite where observed.
            t: Increasing times: time + 1 cell edges for cell holds, `time` sample
                times for `LinearHold`; 0, 1, 2, ... if None.
            mask: (time, channel) or (time,), True where observed. At a masked sample
                time passes without information: the past ages, the new cell counts as
                zero. To bridge a gap leave its samples out and use `LinearHold`; to
                skip it use `GatedClock`.
            state: Where to go on from; its time must be t[0]. Empty if None.

        Returns:
            The states; `.last` is the one after the last sample.

        Raises:
            InputError: complex, infinite or unmasked NaN samples; times that do not
                increase, lie before the origin of the clock or are of wrong number.
        """
        samples = check_signal(u, mask)
        edges = cell_edges(self.geometry, samples.values.shape[0], t)
        if state is None:
            state = self.init(
                samples.values.shape[1], time=edges[0], dtype=samples.values.dtype
            )
        elif state.coefficients.shape[1] != samples.values.shape[1]:
            raise InputError(
                f"`state` has {state.coefficients.shape[1]} channels, `u` has "
                f"{samples.values.shape[1]}."
            )
        plan = make_plan(self.geometry, edges)
        whole = pad(samples, edges, plan.chunk)
        cells, starts, last = run_signal(self.geometry, state, *whole, plan)
        return MemoryStates(
            geometry=self.geometry,
            cells=cells,
            starts=starts,
            last=last,
            plan=plan,
            count=edges.shape[0] - 1,
        )

    def states_at(
        self, times: Any, u: Any, t: Any = None, *, mask: Any = None
    ) -> Float[Array, "tick mode channel"]:
        """Return the coefficients at any times, between samples too.

        For a closed memory with a cell hold there is no loop over samples: every state
        is one sum over the jumps of the signal.

        Args:
            times: Where to look, (tick,), inside the sequence, in any order.
            u: Samples, as for `scan`.
            t: Times, as for `scan`.
            mask: Observed samples, as for `scan`.

        Returns:
            Coefficients at each time.

        Raises:
            MethodError: the memory is not closed, so its state depends on its steps.
        """
        if not self.closed:
            raise MethodError(
                "`states_at` needs a closed memory, whose state does not depend on the "
                f"steps taken; {type(self.basis).__name__} with "
                f"{type(self.clock).__name__} is not. Use `scan(u, t).coefficients`."
            )
        samples = check_signal(u, mask)
        edges = cell_edges(self.geometry, samples.values.shape[0], t)
        ticks = check_times(times, edges[0], edges[-1])
        if self.hold.inputs == 1:
            states = sum_jumps(self.geometry, samples, edges, ticks)
            return states.astype(samples.values.dtype)
        states = self.scan(u, t, mask=mask)
        return step_between(self.geometry, states, ticks).astype(samples.values.dtype)

    def reconstruct(
        self, state: MemoryState, times: Any
    ) -> Float[Array, "tick channel"]:
        """Evaluate the remembered past.

        Args:
            state: A state.
            times: Where to evaluate, (tick,).

        Returns:
            The reconstruction; NaN outside what the memory describes (after the time
            of the state, before the origin of the clock, or outside the window).
        """
        return reconstruct_at(self.geometry, state, working(times))

    def error(self, state: MemoryState) -> Float[Array, " channel"]:
        """Return the certificate: the L2 error of the reconstruction, per channel.

        Exact for closed memories, a bound from above otherwise; in the unit of the
        signal, root mean square over the measure of the memory. Its floor is
        sqrt(machine precision) times the size of the signal.

        Args:
            state: A state.

        Returns:
            Error of what the state says about the held signal.
        """
        return state_error(self.geometry, state)

    def covariance(
        self, sigma: Any, t: Any = None
    ) -> Float[Array, "*channel mode mode"]:
        """Propagate independent noise of the samples to the coefficients at the end.

        P' = A P A^T + sigma^2 B B^T, the Kalman prediction of the memory.

        Args:
            sigma: One standard deviation of each sample, (time,) or (time, channel).
            t: Times, as for `scan`.

        Returns:
            Covariance of the coefficients, one per channel if `sigma` has channels.
        """
        deviations = check_signal(sigma, None).values
        edges = cell_edges(self.geometry, deviations.shape[0], t)
        covs = propagate_covariance(self.geometry, deviations, edges)
        return covs[0] if jnp.ndim(sigma) == 1 else covs

    def reconstruct_sd(
        self, covariance: Float[Array, "mode mode"], state: MemoryState, times: Any
    ) -> Float[Array, " tick"]:
        """Return the standard deviation of the reconstruction due to sample noise.

        The certificate `error(state)` adds what the truncation has lost.

        Args:
            covariance: Covariance of the coefficients.
            state: The state (its time is used).
            times: Where to evaluate.

        Returns:
            Standard deviations, in the unit of `sigma`.
        """
        lag = self.clock.lag(jnp.minimum(working(times), state.time), state.time)
        values = self.basis.at(lag)
        return safe_root(jnp.einsum("tn,nm,tm->t", values, covariance, values))

    def closure_defect(
        self, dt: ScalarLike, *, time: ScalarLike | None = None
    ) -> Scalar:
        """Return |A(t+dt, t+2dt) A(t, t+dt) - A(t, t+2dt)| / |A(t, t+2dt)|.

        Zero to rounding for closed memories; otherwise what two steps lose against
        one, in the Frobenius norm.

        Args:
            dt: Length of one step.
            time: t; one step after the origin of the clock, or 0, if None.

        Returns:
            The defect.
        """
        origin = self.clock.origin()
        default = jnp.where(jnp.isfinite(origin), origin + working(dt), 0.0)
        start = default if time is None else working(time)
        first = self.transition(start, start + dt).A
        second = self.transition(start + dt, start + 2 * dt).A
        both = self.transition(start, start + 2 * dt).A
        return jnp.linalg.norm(second @ first - both) / jnp.linalg.norm(both)
