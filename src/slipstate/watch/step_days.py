"""On which day a station stepped, and how sure that is once everything is seen.

The filter accepts a step after some days of patience and dates it by the day it opened
the hypothesis. Afterwards the question has an exact answer under the noise model: for
each candidate day, the evidence of a jump with its relaxations against none,

    log BF = 1/2 (chi2_0 - chi2_1) + 1/2 log(det V / det K),

with V the covariance of the estimated jump and K that of the prior, summed over the
components. The posterior over days gives the interval of the onset; their sum times
the rate of steps gives the probability that there was one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from slipstate.earth.trajectory import NetworkParameters, NetworkPrior
from slipstate.watch.offsets import RELAXES, step_shape
from slipstate.watch.series import TickSeries
from slipstate.watch.whiten import WhiteSeries, trajectory_columns, whiten_station

_REACH = 7  # observed ticks searched on both sides


@dataclass(frozen=True)
class StepDay:
    """A step of one station.

    Attributes:
        station: Index of the station.
        day: Most probable first tick after the step.
        low: Last tick the step can hardly precede (5 %), an observed one.
        high: Last tick it can hardly follow (95 %).
        probability: Probability that the station stepped around that day.
    """

    station: int
    day: int
    low: int
    high: int
    probability: float


def accepted_days(
    accepted: Bool[np.ndarray, "time station"],
    age: np.ndarray,
    seen: Bool[np.ndarray, "time station"],
) -> Bool[np.ndarray, "time station"]:
    """Turn the ticks at which steps were accepted into the ticks of the steps.

    Args:
        accepted: True where an open step was accepted.
        age: Observed ticks since that step, the step's own included.
        seen: True where the station was observed.

    Returns:
        True at the first observation after each step.
    """
    days = np.zeros_like(accepted)
    for at, station in np.argwhere(accepted):
        observed = np.flatnonzero(seen[: at + 1, station])
        days[observed[-age[at, station]], station] = True
    return days


def weigh_steps(
    series: TickSeries,
    parameters: NetworkParameters,
    prior: NetworkPrior,
    days: Bool[np.ndarray, "time station"],
    slip_columns: Float[np.ndarray, "time column"],
) -> list[StepDay]:
    """Date and weigh every step the filter accepted.

    Args:
        series: The observations.
        parameters: The fitted noise.
        prior: How large and how frequent steps are.
        days: True at the first tick after each step.
        slip_columns: Ramps of the slow slip that moves all stations.

    Returns:
        One entry per step.
    """
    steps = []
    for station in np.flatnonzero(days.any(0)):
        at = np.flatnonzero(days[:, station])
        for day in at:
            others = [int(other) for other in at if other != day]
            steps.append(
                _weigh(
                    series,
                    parameters,
                    prior,
                    int(station),
                    int(day),
                    others,
                    slip_columns,
                )
            )
    return steps


def _weigh(
    series: TickSeries,
    parameters: NetworkParameters,
    prior: NetworkPrior,
    station: int,
    day: int,
    others: Sequence[int],
    slip_columns: np.ndarray,
) -> StepDay:
    """Weigh one step against every day around it and against none."""
    seen = np.flatnonzero(series.mask[:, station].any(-1))
    middle = int(np.searchsorted(seen, day))
    near = seen[max(middle - _REACH, 1) : middle + _REACH + 1]
    S, T = len(series.stations), len(series.times)
    base = [trajectory_columns(T, series.tick), slip_columns]
    base += [step_shape(d, station, S, T, series.tick).columns for d in others]
    shapes = [step_shape(int(d), station, S, T, series.tick).columns for d in near]
    start = sum(part.shape[1] for part in base)
    X = np.concatenate([*base, *shapes], 1)
    width = shapes[0].shape[1]
    always = list(range(start))
    columns = [
        list(range(start + k * width, start + (k + 1) * width))
        for k in range(len(near))
    ]
    mine = columns[int(np.searchsorted(near, day))]
    white = whiten_station(series, parameters, station, X, always + mine)
    relax = np.array([1.0] + [RELAXES] * (width - 1))
    kick = (float(np.asarray(prior.kick_sd)) * relax) ** 2
    without = white.misfit(always)
    log_odds = np.array(
        [_log_bayes_factor(white, always, c, kick, without) for c in columns]
    ) + np.log(float(np.asarray(prior.kick_rate)) * series.tick)
    total = np.logaddexp.reduce(log_odds)
    shares = np.cumsum(np.exp(log_odds - total))
    low, high = (
        near[min(np.searchsorted(shares, p), len(near) - 1)] for p in (0.05, 0.95)
    )
    before = seen[max(int(np.searchsorted(seen, low)) - 1, 0)]
    return StepDay(
        station=station,
        day=int(near[np.argmax(log_odds)]),
        low=int(before),
        high=int(high),
        probability=float(1.0 / (1.0 + np.exp(-np.clip(total, -500.0, 500.0)))),
    )


def _log_bayes_factor(
    white: WhiteSeries,
    always: list[int],
    columns: list[int],
    kick: Float[np.ndarray, " column"],
    without: Float[np.ndarray, " comp"],
) -> float:
    """Return the log evidence of a step over none, all components together."""
    beta, cov = white.solve(always + columns)
    part = slice(len(always), None)
    total = 0.0
    for c, chi2 in enumerate(white.misfit(always + columns)):
        V, b = cov[part, part, c], beta[part, c]
        # the prior pulls the estimate towards zero: N(b; 0, V + K) against N(b; 0, V)
        both = V + np.diag(kick)
        gain = without[c] - chi2
        pull = b @ np.linalg.solve(both, b)
        _, log_v = np.linalg.slogdet(V)
        _, log_both = np.linalg.slogdet(both)
        total += 0.5 * (gain - pull + log_v - log_both)
    return float(total)
