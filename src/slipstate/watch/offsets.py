"""How large events were: generalised least squares in the noise of the series.

With the times of the events known, their offsets are regression coefficients: a step is
a jump with its two relaxations, slow slip a ramp with the shape of its own posterior
(the cumulative probability of slipping). Series and regressors go through one Kalman
filter of the noise (white, random walk, Gauss-Markov), which makes the residuals white;
ordinary least squares on the result is generalised least squares on the data, with
honest standard errors under coloured noise.

References:
    de Jong, Biometrika 75, 165 (1988); Harvey, Forecasting, Structural Time Series
    Models and the Kalman Filter (1989), section 3.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from slipstate.earth.trajectory import FAST_TIME, SLOW_TIME, YEAR, NetworkParameters
from slipstate.watch.series import TickSeries

_DOF = 4.0
_ROUNDS = 3  # of reweighting; outliers have found their weight by then


@dataclass(frozen=True)
class EventShape:
    """Shape of one event in time.

    Attributes:
        columns: Regressors; the first carries the offset.
        stations: Stations that take part.
    """

    columns: Float[np.ndarray, "time column"]
    stations: Bool[np.ndarray, " station"]


def step_shape(
    first: int, station: int, stations: int, ticks: int, tick: float
) -> EventShape:
    """Return a jump at a tick with its fast and slow relaxation.

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
    columns += [after * -np.expm1(-since / time) for time in (FAST_TIME, SLOW_TIME)]
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
    base = _trajectory_columns(len(series.times), series.tick)
    for s in range(S):
        mine = [k for k, shape in enumerate(shapes) if shape.stations[s]]
        seen = series.mask[:, s].any(-1)
        mine = [k for k in mine if _is_covered(shapes[k], seen)]
        if not mine:
            continue
        X = np.concatenate([base, *(shapes[k].columns for k in mine)], 1)
        at = base.shape[1] + np.cumsum([0, *(shapes[k].columns.shape[1] for k in mine)])
        beta, sd = _least_squares(series, parameters, s, X)
        offsets[mine, s] = beta[at[:-1]] * series.unit
        errors[mine, s] = sd[at[:-1]] * series.unit
    return offsets, errors


def _trajectory_columns(count: int, tick: float) -> Float[np.ndarray, "time column"]:
    """Return constant, rate and two seasons."""
    years = np.arange(count) * tick / YEAR
    angles = 2.0 * np.pi * np.stack([years, 2.0 * years], 1)
    columns = [np.ones((count, 1)), years[:, None], np.cos(angles), np.sin(angles)]
    return np.concatenate(columns, 1)


def _is_covered(shape: EventShape, seen: Bool[np.ndarray, " time"]) -> bool:
    """Tell whether a station has data before and after an event."""
    ramp = shape.columns[:, 0]
    return bool(np.sum(seen & (ramp <= 0)) > 5 and np.sum(seen & (ramp >= 1)) > 5)


def _least_squares(
    series: TickSeries,
    p: NetworkParameters,
    s: int,
    X: Float[np.ndarray, "time column"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and standard errors (column, comp) of one station."""
    C = series.y.shape[2]
    scale, walk, sd, time = (
        np.asarray(x)[s] for x in (p.noise_scale, p.walk, p.markov_sd, p.markov_time)
    )
    sd = np.sqrt(sd**2 + np.asarray(p.common_sd) ** 2)
    phi = np.exp(-series.tick / time)
    noise = (scale * series.scale[:, s]) ** 2
    weight = np.ones_like(noise)
    data = np.concatenate([series.y[:, s, :, None], np.repeat(X[:, None], C, 1)], 2)
    beta = np.zeros((X.shape[1], C))
    cov = np.zeros((C, X.shape[1], X.shape[1]))
    for _ in range(_ROUNDS):
        white, q = _whiten(
            data, series.mask[:, s], noise / weight, walk**2 * series.tick, sd, phi
        )
        for c in range(C):
            seen = series.mask[:, s, c]
            root = np.sqrt(q[seen, c])
            A, b = white[seen, c, 1:] / root[:, None], white[seen, c, 0] / root
            information = A.T @ A
            cov[c] = np.linalg.pinv(information, hermitian=True)
            beta[:, c] = cov[c] @ (A.T @ b)
        error = np.where(
            series.mask[:, s],
            white[..., 0] - np.einsum("tck,kc->tc", white[..., 1:], beta),
            0.0,
        )
        weight = (_DOF + 1.0) / (_DOF + error**2 / q)
    return beta, np.sqrt(np.einsum("ckk->kc", cov))


def _whiten(
    data: Float[np.ndarray, "time comp column"],
    mask: Bool[np.ndarray, "time comp"],
    noise: Float[np.ndarray, "time comp"],
    walk: Float[np.ndarray, " comp"],
    sd: Float[np.ndarray, " comp"],
    phi: Float[np.ndarray, " comp"],
) -> tuple[np.ndarray, np.ndarray]:
    """Return innovations of every column under the noise model, and their variances.

    The state is a random walk (known at the start: the constant is a regressor) plus a
    stationary Gauss-Markov process; the three numbers of its covariance are carried as
    arrays over components, and the two states as arrays over components and columns.
    """
    T, C, K = data.shape
    walker, markov = np.zeros((C, K)), np.zeros((C, K))
    aa, ab, bb = np.zeros(C), np.zeros(C), sd**2
    renewed = sd**2 * (1.0 - phi**2)
    white, variance = np.empty_like(data), np.empty((T, C))
    for t in range(T):
        markov = phi[:, None] * markov
        aa, ab, bb = aa + walk, phi * ab, phi**2 * bb + renewed
        ga, gb = aa + ab, ab + bb
        q = ga + gb + noise[t]
        error = data[t] - walker - markov
        white[t], variance[t] = error, q
        ka, kb = np.where(mask[t], ga / q, 0.0), np.where(mask[t], gb / q, 0.0)
        walker = walker + ka[:, None] * error
        markov = markov + kb[:, None] * error
        aa, ab, bb = aa - ka * ga, ab - ka * gb, bb - kb * gb
    return white, variance
