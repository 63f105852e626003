"""Following a long series in pieces of equal length.

One compiled program serves the fit, the watch and the weighing of events, whatever the
length of the record; the state between two pieces is what a checkpoint keeps.
"""

import jax
import numpy as np
from jaxtyping import Bool

from slipstate.assimilate.network import NetworkFilter, run_network
from slipstate.assimilate.network_records import NetworkRow, NetworkState, NetworkTick
from slipstate.systems.network import ForecastRows, NetworkModel, forecast_rows
from slipstate.watch.series import TickSeries

PIECE = 512
"""Ticks in a piece."""


def network_rows(
    series: TickSeries, start: int, quiet: Bool[np.ndarray, " time"] | None = None
) -> NetworkRow:
    """Return the piece that begins at a tick, padded with masked rows at the end.

    Args:
        series: The observations.
        start: First tick.
        quiet: True where slip is forbidden; None for nowhere.

    Returns:
        Rows with a leading time axis of `PIECE`.
    """

    def piece(x: np.ndarray, fill: float = 0.0) -> jax.Array:
        part = x[start : start + PIECE]
        width = [(0, PIECE - len(part))] + [(0, 0)] * (x.ndim - 1)
        return jax.device_put(np.pad(part, width, constant_values=fill))

    nowhere = np.zeros(len(series.times), bool)
    return NetworkRow(
        piece(series.y),
        piece(series.mask),
        piece(series.scale, 1.0),
        piece(nowhere if quiet is None else quiet),
    )


def run_piece(
    method: NetworkFilter,
    model: NetworkModel,
    rows: ForecastRows,
    state: NetworkState,
    series: TickSeries,
    start: int,
    quiet: Bool[np.ndarray, " time"] | None = None,
) -> tuple[NetworkState, NetworkTick]:
    """Follow one piece.

    Args:
        method: The filter.
        model: The network.
        rows: Horizons to forecast.
        state: State before the piece.
        series: The observations.
        start: First tick of the piece.
        quiet: True where slip is forbidden.

    Returns:
        The state after the piece, and what the filter said, as NumPy arrays without
        the padding.
    """
    state, ticks = run_network(
        method, model, rows, state, network_rows(series, start, quiet)
    )
    length = min(PIECE, len(series.times) - start)
    return state, jax.tree.map(lambda x: np.asarray(x)[:length], ticks)


def run_pieces(
    method: NetworkFilter,
    model: NetworkModel,
    series: TickSeries,
    end: int,
    horizons: tuple[int, ...] = (1, 10, 30),
) -> NetworkTick:
    """Follow the first `end` ticks and return what the filter said.

    Args:
        method: The filter.
        model: The network.
        series: The observations.
        end: Number of ticks.
        horizons: Horizons to forecast.

    Returns:
        Ticks with a leading time axis of `end`.
    """
    rows = forecast_rows(model, horizons)
    state = method.init(model)
    parts = []
    for start in range(0, end, PIECE):
        state, ticks = run_piece(method, model, rows, state, series, start)
        parts.append(ticks)
    return jax.tree.map(lambda *xs: np.concatenate(xs)[:end], *parts)
