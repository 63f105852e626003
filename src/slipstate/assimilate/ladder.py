"""What is given up when time is short: the rungs of a ladder, and which one is taken.

The choice is made before a row is worked on, from what each rung has taken before: the
first rung that is expected to end in time, expectation and scatter both taken as they
were lately. A rung that was not taken for a while is trusted a little more with every
row, and its scatter forgotten as if it had been taken, so that one slow step, whatever
caused it, is not held against it for long.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from slipstate.assimilate.bridge.filter import BridgeFilter
from slipstate.assimilate.bridge.local import LocalBridgeFilter
from slipstate.assimilate.ensemble import EnsembleTransformKalman
from slipstate.assimilate.protocol import AbstractFilter
from slipstate.ground.errors import InputError

_FEWER = 5  # Sinkhorn's sweeps on the second rung of a localised bridge: a fifth
_SCATTERS = 4.0
_LATELY = 0.125  # weight of the latest duration, as for retransmissions in TCP
_TRUST = 0.98


class Rung(NamedTuple):
    """One way to take in a row.

    Attributes:
        name: What is done, in a few words.
        method: The filter that does it, with an ensemble as large as the first rung's;
            None to let time pass and leave the observation for `catch_up`.
    """

    name: str
    method: AbstractFilter | None


def ladder_of(method: AbstractFilter) -> tuple[Rung, ...]:
    """Return the rungs of a method, the method itself first.

    Of a bridge: itself, members drawn without Sinkhorn's coupling (a localised one: a
    fifth of its sweeps), the ensemble transform Kalman filter, the forecast alone. Of
    any other method: itself, the forecast alone.

    Args:
        method: The filter.
    """
    rungs = [Rung(type(method).__name__, method)]
    if isinstance(method, LocalBridgeFilter):
        fewer = max(1, method.sweeps // _FEWER)
        rungs.append(Rung("fewer sweeps", dataclasses.replace(method, sweeps=fewer)))
    if isinstance(method, BridgeFilter):
        drawn = dataclasses.replace(method, coupled=False)
        plain = EnsembleTransformKalman(method.members, method.inflation)
        rungs += [Rung("no coupling", drawn), Rung("ensemble Kalman", plain)]
    return (*rungs, Rung("forecast only", None))


class Cost(NamedTuple):
    """What one rung takes per row [s].

    Attributes:
        mean: Running mean.
        scatter: Running mean of the distance from it.
    """

    mean: float
    scatter: float

    @property
    def expected(self) -> float:
        """What it takes at most, all but surely."""
        return self.mean + _SCATTERS * self.scatter

    def learn(self, seconds: float) -> "Cost":
        """Return the cost after one more row that took so long."""
        error = seconds - self.mean
        scatter = self.scatter + _LATELY * (abs(error) - self.scatter)
        return Cost(self.mean + _LATELY * error, scatter)

    def forgive(self) -> "Cost":
        """Return the cost of a rung that was not taken."""
        return Cost(self.mean * _TRUST, self.scatter * (1.0 - _LATELY))


def first_cost(durations: Sequence[float]) -> Cost:
    """Return the cost of a rung tried a few times.

    Args:
        durations: How long it took [s], at least once.
    """
    mean = sum(durations) / len(durations)
    return Cost(mean, sum(abs(x - mean) for x in durations) / len(durations))


def choose_rung(
    rungs: Sequence[Rung], costs: Sequence[Cost], budget: float, rows: int
) -> int:
    """Return the first rung that is expected to end in time, else the last allowed.

    Rows that were taken in before are never given up again: where several rows are to
    be worked on, the forecast alone is not allowed.

    Args:
        rungs: The ladder.
        costs: What each takes per row.
        budget: Time left [s].
        rows: Rows to work on.
    """
    allowed = [
        k for k, rung in enumerate(rungs) if rows == 1 or rung.method is not None
    ]
    for k in allowed:
        if costs[k].expected * rows <= budget:
            return k
    return allowed[-1]


def check_ladder(rungs: Sequence[Rung]) -> None:
    """Raise unless the first rung of a ladder takes observations in.

    Args:
        rungs: The ladder.

    Raises:
        InputError: It does not, or two rungs have one name.
    """
    names = [rung.name for rung in rungs]
    if not rungs or rungs[0].method is None or len(set(names)) < len(names):
        raise InputError(
            "`rungs` must begin with a rung that has a method, each with a name of its "
            f"own; got {names}. Start from ladder_of(method)."
        )
