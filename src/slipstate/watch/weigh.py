"""How probable an event is, given everything that came before and after it.

The switching filter has to merge its past at every tick, so three days of common error
that later return can leave its mode probability high for good. The exact question is
answered by the evidence instead: follow the series once more with slip forbidden
around the candidate, and compare how probable the data were with and without it:

    P(no slip in the window | all data) = p(data, no slip in the window) / p(data).

Only the pieces around the candidate need to be followed, from the state before them.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from slipstate.assimilate.network import NetworkFilter
from slipstate.assimilate.network_records import NetworkState
from slipstate.systems.network import ForecastRows, NetworkModel
from slipstate.watch.pieces import PIECE, run_piece
from slipstate.watch.series import TickSeries

BEFORE, AFTER = 20, 120
"""Ticks forbidden on both sides of a candidate, and ticks that judge it afterwards."""

_CERTAIN = -50.0  # log probabilities below this are all the same certainty


def slip_probability(
    first: int,
    last: int,
    method: NetworkFilter,
    model: NetworkModel,
    rows: ForecastRows,
    state_before: Callable[[int], NetworkState],
    series: TickSeries,
    log_likelihood: Float[np.ndarray, " time"],
) -> float:
    """Return the probability that there was slip around a candidate event.

    Args:
        first: First tick of the candidate.
        last: Its last tick.
        method: The filter.
        model: The network.
        rows: Horizons (not used, but part of the compiled program).
        state_before: Returns the filter's state before the piece that begins at a tick.
        series: The observations.
        log_likelihood: Log-likelihood terms of the free run [nats].

    Returns:
        1 - P(no slip between `first` - 20 and `last` + 20 | all data).
    """
    T = len(series.times)
    quiet = np.zeros(T, bool)
    quiet[max(first - BEFORE, 0) : last + BEFORE + 1] = True
    start = max(first - BEFORE, 0) // PIECE * PIECE
    stop = min(last + AFTER, T)
    state = state_before(start)
    odds = 0.0
    for piece in range(start, stop, PIECE):
        state, ticks = run_piece(method, model, rows, state, series, piece, quiet)
        end = min(piece + PIECE, stop)
        forced = ticks.log_likelihood[: end - piece]
        odds += float(np.sum(forced - log_likelihood[piece:end]))
    return float(-np.expm1(np.clip(odds, _CERTAIN, 0.0)))
