"""From the posterior of the switch and of the steps to a list of events.

An event is what the model is sure of once everything is seen: candidates come from the
switch's smoothed probability and from the steps the filter accepted, and each is kept
if its probability given all data (see `slipstate.watch.weigh` and `step_days`) is high.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from slipstate.watch.series import TickSeries
from slipstate.watch.step_days import StepDay

CANDIDATE, SURE = 0.3, 0.95
"""Smoothed probability that makes a candidate, and what an event must reach."""

RESOLVED = 3.0
"""Standard errors by which the offset of slow slip must differ from none."""

SIDEWAYS = 6.0
"""Standard errors by which a step must move a station sideways."""

ALARM = 0.5
"""Filtered probability at which a real-time alarm is raised."""

_JOIN_DAYS = 30.0  # fragments closer than this are one event: slip migrates


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        kind: "slow slip" or "step".
        first: First tick in which it is seen.
        last: Last tick; the first one for a step.
        onset: Median onset.
        onset_lo: Lower end of the 90 % interval of the onset.
        onset_hi: Upper end.
        duration: Duration [day]; 0 for a step.
        probability: Probability given all data.
        latency: Days from the onset until the filter's probability passed one half, NaN
            where it never did.
        stations: True for stations that take part.
    """

    kind: str
    first: int
    last: int
    onset: np.datetime64
    onset_lo: np.datetime64
    onset_hi: np.datetime64
    duration: float
    probability: float
    latency: float
    stations: Bool[np.ndarray, " station"]


def slip_candidates(
    smoothed: Float[np.ndarray, " time"], tick: float
) -> list[tuple[int, int]]:
    """Return first and last tick of every stretch that may be slow slip.

    Args:
        smoothed: Smoothed probability of slipping.
        tick: Length of a tick [day].

    Returns:
        The stretches, in order.
    """
    found: list[tuple[int, int]] = []
    for at in np.flatnonzero(smoothed > CANDIDATE):
        if found and (at - found[-1][1]) * tick <= _JOIN_DAYS:
            found[-1] = (found[-1][0], int(at))
        else:
            found.append((int(at), int(at)))
    return found


def slip_events(
    series: TickSeries,
    filtered: Float[np.ndarray, " time"],
    smoothed: Float[np.ndarray, " time"],
    pairs: Float[np.ndarray, "time mode mode"],
    probability: Callable[[int, int], float],
    progress: Callable[[int, int], None] | None = None,
) -> list[Event]:
    """Return the slow-slip events.

    Args:
        series: The observations.
        filtered: Filtered probability of slipping.
        smoothed: Smoothed probability of slipping.
        pairs: Smoothed probability of each pair of successive modes.
        probability: Weighs a candidate given its first and last tick.
        progress: Called with candidates done and all candidates.

    Returns:
        Those whose probability given all data is high.
    """
    events: list[Event] = []
    candidates = slip_candidates(smoothed, series.tick)
    for number, (first, last) in enumerate(candidates):
        chance = probability(first, last)
        before = candidates[number - 1][1] if number else 0
        if chance >= SURE:
            events.append(
                _slip_event(series, (first, last), before, filtered, pairs, chance)
            )
        if progress is not None:
            progress(number + 1, len(candidates))
    return events


def _slip_event(
    series: TickSeries,
    span: tuple[int, int],
    before: int,
    filtered: np.ndarray,
    pairs: np.ndarray,
    chance: float,
) -> Event:
    """Describe one slow-slip event that begins after tick `before`."""
    first, last = span
    # pairs[t] holds the change between t and t + 1: slip begins at t + 1
    window = np.arange(max(first - 30, before + 1, 1), last + 1)
    starts = pairs[window - 1, 0, 1]
    if starts.sum() > 0:
        shares = np.cumsum(starts) / starts.sum()
        low, middle, high = (
            int(window[np.searchsorted(shares, p)]) for p in (0.05, 0.5, 0.95)
        )
    else:  # it was under way when the record began
        low = middle = high = first
    seen = np.any(series.mask[first : last + 1], axis=(0, 2))
    times, ahead = series.times, round(60.0 / series.tick)
    alarm = np.flatnonzero(filtered[middle : last + ahead] > ALARM)
    return Event(
        kind="slow slip",
        first=first,
        last=last,
        onset=times[middle],
        onset_lo=times[low],
        onset_hi=times[high],
        duration=float((last - middle + 1) * series.tick),
        probability=chance,
        latency=float(alarm[0] * series.tick) if alarm.size else float("nan"),
        stations=seen,
    )


def is_resolved(
    offset: Float[np.ndarray, "station comp"],
    sd: Float[np.ndarray, "station comp"],
    slip_rate: Float[np.ndarray, "station comp"],
) -> bool:
    """Tell whether a slow-slip event has moved the stations the way slip does.

    A few days of common error leave no offset behind; slip does. Projected on the
    fitted slip rates, the offsets of all stations together must stand out by three
    deviations.
    An event that is not over yet has no offset and is believed.

    Args:
        offset: Offsets, NaN where unknown.
        sd: Their standard errors.
        slip_rate: Fitted drift during slip, 0 for components that do not count.

    Returns:
        True for an event worth reporting.
    """
    counts = np.isfinite(offset) & (slip_rate != 0.0)
    if not counts.any():
        return True
    rate, weight = slip_rate[counts], 1.0 / sd[counts] ** 2
    along = np.sum(weight * rate * offset[counts])
    return bool(along > RESOLVED * np.sqrt(np.sum(weight * rate**2)))


def is_rupture(
    offset: Float[np.ndarray, "station comp"],
    sd: Float[np.ndarray, "station comp"],
    stations: Bool[np.ndarray, " station"],
    components: tuple[str, ...],
) -> bool:
    """Tell whether a step is more than snow on an antenna.

    Snow, ice and leaves move the height; what breaks or is exchanged moves a station
    sideways too. Where a record has horizontal components one of them must stand out.

    Args:
        offset: Offsets, NaN where unknown.
        sd: Their standard errors.
        stations: True for the stations that step.
        components: Names of the components.

    Returns:
        True for a step worth reporting.
    """
    sideways = np.array([name in ("east", "north") for name in components])
    if not sideways.any():
        return True
    size = (np.abs(offset) / sd)[np.ix_(stations, sideways)]
    return bool(np.nanmax(size, initial=0.0) > SIDEWAYS)


def step_events(
    series: TickSeries,
    step_prob: Float[np.ndarray, "time station"],
    found: list[StepDay],
) -> list[Event]:
    """Return the steps; stations that step together make one event.

    Args:
        series: The observations.
        step_prob: Filtered probability that an open step is real.
        found: Weighed steps, by station.

    Returns:
        Those whose probability given all data is high.
    """
    events: list[Event] = []
    for step in sorted(found, key=lambda step: step.day):
        if step.probability < SURE:
            continue
        here = np.arange(len(series.stations)) == step.station
        if events and step.low <= events[-1].first <= step.high:
            last = events.pop()
            events.append(_together(last, step, here, series))
            continue
        alarm = np.flatnonzero(step_prob[step.day :, step.station] > ALARM)
        events.append(
            Event(
                kind="step",
                first=step.day,
                last=step.day,
                onset=series.times[step.day],
                onset_lo=series.times[step.low],
                onset_hi=series.times[step.high],
                duration=0.0,
                probability=step.probability,
                latency=float(alarm[0] * series.tick) if alarm.size else float("nan"),
                stations=here,
            )
        )
    return events


def _together(
    event: Event, step: StepDay, here: np.ndarray, series: TickSeries
) -> Event:
    """Return an event with one more station, timed by the sharper of the two."""
    low = max(event.onset_lo, series.times[step.low])
    high = min(event.onset_hi, series.times[step.high])
    return Event(
        kind=event.kind,
        first=event.first,
        last=event.last,
        onset=event.onset,
        onset_lo=min(low, event.onset),
        onset_hi=max(high, event.onset),
        duration=0.0,
        probability=max(event.probability, step.probability),
        latency=event.latency,
        stations=event.stations | here,
    )
