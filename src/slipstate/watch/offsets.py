"""How large events were: generalised least squares in the noise of the series.

With the times of the events known, their offsets are regression coefficients: a step is
a jump with its two relaxations, slow slip a ramp with the shape of its own posterior
(the cumulative probability of slipping). A jump is what happens between the solutions
on its two sides; what follows in the next day, week and quarter is relaxation and is
kept apart, with amplitudes expected to be a fifth of the jump.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from slipstate.earth.trajectory import FAST_TIME, SLOW_TIME, NetworkParameters
from slipstate.watch.series import TickSeries
from slipstate.watch.whiten import trajectory_columns, whiten_station

DAY_TIME = 1.0
"""Time of the first relaxation [day]: it parts the jump from the day after."""

RELAXES = 0.2
"""Size of a relaxation relative to its jump, as the filter's steps have it."""

_FIRST_GUESS, _LEAST = 10.0, 0.3  # of a relaxation [mm], before and besides the jump


@dataclass(frozen=True)
class EventShape:
    """Shape of one event in time.

    Attributes:
        columns: Regressors; the first carries the offset, the others what follows it.
        stations: Stations that take part.
    """

    columns: Float[np.ndarray, "time column"]
    stations: Bool[np.ndarray, " station"]


def step_shape(
    first: int, station: int, stations: int, ticks: int, tick: float
) -> EventShape:
    """Return a jump at a tick with the relaxation after it.

    Args:
        first: First tick after the step.
        station: Index of the station that steps.
        stations: Number of stations.
        ticks: Number of ticks.
        tick: Length of a tick [day].

    Returns:
        The shape.
    """
    days = (np.arange(ticks) - first) * tick
    after = days >= 0
    since = np.where(after, days, 0.0)
    columns = [after * np.ones(ticks)]
    columns += [
        after * -np.expm1(-since / time) for time in (DAY_TIME, FAST_TIME, SLOW_TIME)
    ]
    return EventShape(np.stack(columns, 1), np.arange(stations) == station)


def slip_shape(
    first: int, last: int, slipping: Float[np.ndarray, " time"], stations: int
) -> EventShape:
    """Return a ramp that grows with the probability of slipping.

    Args:
        first: First tick of the event.
        last: Its last tick.
        slipping: Smoothed probability of slipping.
        stations: Number of stations.

    Returns:
        The shape, 0 before the event and 1 after it.
    """
    share = np.zeros_like(slipping)
    share[first : last + 1] = slipping[first : last + 1]
    ramp = np.cumsum(share) / share.sum()
    return EventShape(ramp[:, None], np.ones(stations, bool))


def event_offsets(
    series: TickSeries, parameters: NetworkParameters, shapes: Sequence[EventShape]
) -> tuple[
    Float[np.ndarray, "event station comp"], Float[np.ndarray, "event station comp"]
]:
    """Estimate all offsets of all stations together.

    Args:
        series: The observations.
        parameters: The fitted noise.
        shapes: One per event.

    Returns:
        Offsets and standard errors in units of the record; NaN where a station takes no
        part or has no data around the event.
    """
    S, C = series.y.shape[1:]
    offsets = np.full((len(shapes), S, C), np.nan)
    errors = offsets.copy()
    base = trajectory_columns(len(series.times), series.tick)
    for s in range(S):
        mine = [k for k, shape in enumerate(shapes) if shape.stations[s]]
        seen = np.any(series.mask[:, s], axis=-1)
        mine = [k for k in mine if _is_covered(shapes[k], seen)]
        if not mine:
            continue
        X = np.concatenate([base, *(shapes[k].columns for k in mine)], 1)
        at = base.shape[1] + np.cumsum([0, *(shapes[k].columns.shape[1] for k in mine)])
        columns = range(X.shape[1])
        follows = np.ones(X.shape[1], bool)
        follows[: base.shape[1]] = follows[at[:-1]] = False
        white = whiten_station(series, parameters, s, X, columns)
        sd = np.where(follows[:, None], _FIRST_GUESS, np.inf) * np.ones(C)
        beta, cov = white.solve(columns, sd)
        for k in range(len(mine)):
            part = slice(at[k] + 1, at[k + 1])
            sd[part] = RELAXES * np.abs(beta[at[k]]) + _LEAST
        beta, cov = white.solve(columns, sd)
        offsets[mine, s] = beta[at[:-1]] * series.unit
        errors[mine, s] = np.sqrt(np.einsum("kkc->kc", cov))[at[:-1]] * series.unit
    return offsets, errors


def _is_covered(shape: EventShape, seen: Bool[np.ndarray, " time"]) -> bool:
    """Tell whether a station has data before and after an event."""
    ramp = shape.columns[:, 0]
    return bool(
        np.sum(seen & (ramp <= 0)) > 5 and np.sum(seen & (ramp > 1.0 - 1e-9)) > 5
    )
