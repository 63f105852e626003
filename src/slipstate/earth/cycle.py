"""Slip events and the limit cycle of a spring-slider.

The spring stress is extremal exactly where V = Vpl, so a slip event is what lies
between a rise of V through Vpl and the next fall. Seismologists count from a threshold
(1e-3 m/s); both measures are given. Recurrence is the time from rise to rise.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from slipstate.earth.flow import EITHER, FALL, PEAK, RISE, Mark, SliderFlow, advance
from slipstate.earth.stepping import Unknowns
from slipstate.ground.types import Count, Flag, Scalar, ScalarLike

_STILL = 1e-7
"""A motion that comes this close to x = y = 0 has decayed to steady creep."""


class CycleOutcome(eqx.Enumeration):
    """How the search for a limit cycle ended; a failure says what to do."""

    successful = ""
    not_converged = (
        "The recurrence did not stand still within `max_cycles`, or a cycle took too "
        "many steps. Raise `max_cycles`, loosen `rtol`, or start from `onset`."
    )
    creeps = (
        "The slider decays to steady creep at V = Vpl: it has no limit cycle that can "
        "be reached from here. Lower `k` below `critical_stiffness()`."
    )


class LimitCycle(eqx.Module):
    """One stick-slip or slow-slip cycle, repeated for ever.

    Attributes:
        recurrence: Time between events [s]; NaN where the slider creeps.
        peak_rate: Highest slip rate [m/s].
        stress_drop: Drop of the spring stress over the event, its extremes [Pa].
        slip: Slip of a whole cycle, Vpl times the recurrence [m].
        time_to_peak: Time from the rise of V through Vpl to the highest rate [s].
        event_drop: Stress drop while V exceeds the threshold [Pa]; 0 if it never does.
        event_slip: Slip while V exceeds the threshold [m].
        event_duration: Time for which V exceeds the threshold [s].
        onset: (ln V, ln theta) where V rises through Vpl [ln m/s, ln s].
        steps: Steps taken by the integrator, spin-up included.
        cycles: Cycles followed until the recurrence stood still.
        outcome: How the search ended.
    """

    recurrence: Scalar
    peak_rate: Scalar
    stress_drop: Scalar
    slip: Scalar
    time_to_peak: Scalar
    event_drop: Scalar
    event_slip: Scalar
    event_duration: Scalar
    onset: Float[Array, " state"]
    steps: Count
    cycles: Count
    outcome: CycleOutcome


class SlipEvents(eqx.Module):
    """Successive slip events of one slider.

    Attributes:
        onset: When V rises through Vpl [s].
        end: When V falls back through Vpl [s].
        stress_before: Spring stress at the onset, its maximum [Pa].
        stress_after: Spring stress at the end, its minimum [Pa].
        steps: Steps taken by the integrator.
    """

    onset: Float[Array, " event"]
    end: Float[Array, " event"]
    stress_before: Float[Array, " event"]
    stress_after: Float[Array, " event"]
    steps: Count

    def recurrences(self) -> Float[Array, " interval"]:
        """Return the times from onset to onset [s]."""
        return jnp.diff(self.onset)

    def stress_drops(self) -> Float[Array, " event"]:
        """Return the drops of the spring stress [Pa]."""
        return self.stress_before - self.stress_after


class Section(eqx.Module):
    """A cycle in scaled variables: where it passes its marks, and when.

    Attributes:
        rise: (x, y) where V rises through Vpl.
        fall: (x, y) where V falls through Vpl.
        above: (x, y) where V rises through the threshold.
        below: (x, y) where V falls through the threshold.
        peak: Highest x.
        delay: Time from `rise` to the peak.
        period: Time from rise to rise.
        duration: Time from `above` to `below`.
        exceeded: Whether the threshold is reached at all.
        steps: Steps taken.
        cycles: Cycles followed.
        settled: Whether the period stood still at the end.
        creeps: Whether the motion died out.
    """

    rise: tuple[Scalar, Scalar]
    fall: tuple[Scalar, Scalar]
    above: tuple[Scalar, Scalar]
    below: tuple[Scalar, Scalar]
    peak: Scalar
    delay: Scalar
    period: Scalar
    duration: Scalar
    exceeded: Flag
    steps: Count
    cycles: Count
    settled: Flag
    creeps: Flag


def slip_events(
    flow: SliderFlow, start: Float[Array, " state"], count: int, rtol: ScalarLike
) -> SlipEvents:
    """Follow the motion through the next slip events.

    Args:
        flow: The slider.
        start: (ln V, ln theta) at time zero.
        count: How many events.
        rtol: Tolerance of the integrator.

    Returns:
        Times and stresses of the events.
    """
    kinds = jnp.where(jnp.arange(2 * count) % 2 == 0, RISE, FALL)
    _, (x, y, lapse), steps = _legs(flow, flow.scaled(start), kinds, rtol)
    times = jnp.cumsum(lapse) / flow.second()
    stress = flow.stress(x, y)
    return SlipEvents(times[::2], times[1::2], stress[::2], stress[1::2], steps)


def limit_cycle(
    flow: SliderFlow,
    start: Float[Array, " state"],
    threshold: Scalar,
    rtol: ScalarLike,
    max_cycles: ScalarLike,
) -> LimitCycle:
    """Return the cycle that the motion settles to.

    Args:
        flow: The slider.
        start: (ln V, ln theta) to spin up from.
        threshold: Slip rate above which an event counts as such [m/s].
        rtol: Tolerance of the integrator.
        max_cycles: Give up after so many cycles.

    Returns:
        The cycle in SI units.
    """
    level = jnp.log(threshold) - flow.ln_unit
    section = find_cycle(flow, flow.scaled(start), level, rtol, max_cycles)
    period = jnp.where(section.creeps, jnp.nan, section.period)
    drop = flow.stress(*section.above) - flow.stress(*section.below)
    drop = jnp.where(section.exceeded, drop, 0.0)
    duration = jnp.where(section.exceeded, section.duration, 0.0)
    given = drop / (flow.sigma * flow.stiffness)
    return LimitCycle(
        recurrence=period / flow.second(),
        peak_rate=jnp.exp(section.peak + flow.ln_unit),
        stress_drop=flow.stress(*section.rise) - flow.stress(*section.fall),
        slip=flow.Dc * period,
        time_to_peak=section.delay / flow.second(),
        event_drop=drop,
        event_slip=flow.Dc * (duration + given),
        event_duration=duration / flow.second(),
        onset=jnp.stack(flow.physical(*section.rise)),
        steps=section.steps,
        cycles=section.cycles,
        outcome=CycleOutcome.where(
            section.creeps,
            CycleOutcome.creeps,
            CycleOutcome.where(
                section.settled, CycleOutcome.successful, CycleOutcome.not_converged
            ),
        ),
    )


def find_cycle(
    flow: SliderFlow,
    start: Unknowns,
    level: Scalar,
    rtol: ScalarLike,
    max_cycles: ScalarLike,
) -> Section:
    """Follow the motion until its period stands still, then walk one event slowly.

    Args:
        flow: The slider.
        start: (x, y, T) to spin up from.
        level: ln(threshold / Vpl).
        rtol: Tolerance of the integrator; the period must stand still to 30 times it.
        max_cycles: Give up after so many cycles.

    Returns:
        The cycle in scaled variables.
    """
    none = jnp.asarray(0, jnp.result_type(int))
    no = jnp.asarray(False)

    def go_on(carry: tuple) -> Flag:
        cycles, settled, stopped = carry[3], carry[4], carry[5]
        return ~settled & ~stopped & (cycles < max_cycles)

    def cycle(carry: tuple) -> tuple:
        origin, before, steps, cycles, _, _, _ = carry
        here, marks, taken = _legs(flow, origin, jnp.asarray([FALL, RISE]), rtol)
        period = marks[2][0] + marks[2][1]
        away = jnp.maximum(jnp.abs(marks[0]), jnp.abs(marks[1]))
        creeps = jnp.any(away < _STILL)
        # a mark that was not reached leaves x away from zero
        stopped = creeps | jnp.any(jnp.abs(marks[0]) > _STILL)
        # a ringing that dies out keeps its period but not its amplitude
        steady = jnp.abs(here[1] - origin[1]) <= 100.0 * rtol * jnp.abs(here[1])
        still = jnp.abs(period - before) <= 30.0 * rtol * period
        settled = ~stopped & steady & still
        return here, period, steps + taken, cycles + 1, settled, stopped, creeps

    begin = (start, jnp.zeros_like(level), none, none, no, no, no)
    rise, period, steps, cycles, settled, _, creeps = jax.lax.while_loop(
        go_on, cycle, begin
    )

    def leg(carry: tuple, plan: tuple) -> tuple:
        here, exceeded = carry
        kind, at_threshold = plan
        # where the threshold is not exceeded the first leg has run past the event
        again = (kind == PEAK) & ~exceeded
        here = tuple(jnp.where(again, p, q) for p, q in zip(rise, here))
        height = jnp.where(at_threshold & ((kind == EITHER) | exceeded), level, 0.0)
        here, taken, _ = advance(flow, _restarted(here), Mark(kind, height), rtol)
        exceeded = jnp.where(kind == EITHER, here[0] > 0.5 * level, exceeded)
        return (here, exceeded), (here, taken)

    kinds = jnp.asarray([EITHER, PEAK, FALL, FALL])
    at_threshold = jnp.asarray([True, False, True, False])
    (_, exceeded), (ends, taken) = jax.lax.scan(leg, (rise, no), (kinds, at_threshold))
    x, y, lapse = ends
    fallen = jnp.where(exceeded, 3, 2)
    return Section(
        rise=(rise[0], rise[1]),
        fall=(x[fallen], y[fallen]),
        above=(x[0], y[0]),
        below=(x[2], y[2]),
        peak=x[1],
        delay=lapse[1] + jnp.where(exceeded, lapse[0], 0.0),
        period=period,
        duration=lapse[1] + lapse[2],
        exceeded=exceeded,
        steps=steps + jnp.sum(taken),
        cycles=cycles,
        settled=settled,
        creeps=creeps,
    )


def _legs(
    flow: SliderFlow, start: Unknowns, kinds: Int[Array, " leg"], rtol: ScalarLike
) -> tuple[Unknowns, tuple[Float[Array, " leg"], ...], Count]:
    """Pass rises and falls of V through Vpl, in the order of `kinds`."""

    def leg(here: Unknowns, kind: Count) -> tuple[Unknowns, tuple]:
        mark = Mark(kind, jnp.zeros_like(here[0]))
        here, steps, _ = advance(flow, _restarted(here), mark, rtol)
        return here, (here, steps)

    end, (marks, steps) = jax.lax.scan(leg, start, kinds)
    return end, marks, jnp.sum(steps)


def _restarted(unknowns: Unknowns) -> Unknowns:
    """Return the unknowns with their time set to zero, so that it keeps its digits."""
    return (unknowns[0], unknowns[1], jnp.zeros_like(unknowns[2]))
