"""Proper scores of probability forecasts; smaller is better in all of them.

A score is proper when nobody can improve it by forecasting something else than what
they believe. All functions take NumPy or JAX arrays and answer in kind, element by
element and without averaging; NaN in, NaN out. How a collection of forecasts behaves
(coverage, rank histograms, spread against error) is in `calibration`.

References:
    Gneiting & Raftery (2007), doi:10.1198/016214506000001437.
    Ferro (2014), doi:10.1002/qj.2270 (fair scores of finite ensembles).
"""

import numpy as np

from slipstate.assimilate.mixtures import (
    Arrays,
    Values,
    array_library,
    mixture_log_density,
    normal_density,
    normal_distribution,
)
from slipstate.ground.errors import InputError

_HALF_LOG_2PI = float(0.5 * np.log(2.0 * np.pi))
_INVERSE_SQRT_PI = float(1.0 / np.sqrt(np.pi))


def crps_gaussian(y: Values, mean: Values, sd: Values) -> Values:
    """Return the continuous ranked probability score of a Gaussian forecast.

    CRPS = s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)),  z = (y - m) / s.

    Args:
        y: Observation.
        mean: Forecast mean m, in the unit of y.
        sd: Forecast standard deviation s; zero is a forecast of certainty, |y - m|.

    Returns:
        The score, in the unit of y.

    References:
        Gneiting et al. (2005), doi:10.1175/MWR2904.1, eq. 5.
    """
    return _mean_distance(y - mean, sd) - _INVERSE_SQRT_PI * sd


def crps_mixture(y: Values, weights: Arrays, means: Arrays, sds: Arrays) -> Values:
    """Return the CRPS of a Gaussian mixture, in closed form.

    With A(d, s) = E|d + s w|, w standard normal,
    CRPS = sum_i w_i A(y - m_i, s_i)
           - 1/2 sum_ij w_i w_j A(m_i - m_j, sqrt(s_i^2 + s_j^2)).

    Args:
        y: Observation; one axis less than `means`.
        weights: w, components along the last axis, summing to one.
        means: m_i, in the unit of y.
        sds: s_i, in the unit of y.

    Returns:
        The score, in the unit of y.

    References:
        Grimit et al. (2006), doi:10.1256/qj.05.235.
    """
    library = array_library(y, weights, means, sds)
    weights = library.broadcast_to(weights, means.shape)
    distance = library.asarray(y)[..., None] - means
    score = (weights * _mean_distance(distance, sds)).sum(-1)
    score = score - _INVERSE_SQRT_PI * (weights * weights * sds).sum(-1)
    # the pairs i < j, one row of components at a time, to keep memory small
    for i in range(means.shape[-1] - 1):
        rest, one = slice(i + 1, None), slice(i, i + 1)
        both = library.sqrt(sds[..., one] ** 2 + sds[..., rest] ** 2)
        pair = _mean_distance(means[..., one] - means[..., rest], both)
        score = score - (weights[..., one] * weights[..., rest] * pair).sum(-1)
    return score


def crps_ensemble(y: Values, members: Arrays, *, axis: int = -1) -> Values:
    """Return the CRPS of the ensemble taken as a sum of M equal point masses.

    CRPS = 1/M sum |x_i - y| - 1/(2 M^2) sum_ij |x_i - x_j|.

    Args:
        y: Observation; the shape of `members` without `axis`.
        members: Ensemble, in the unit of y.
        axis: Axis of the members.

    Returns:
        The score, in the unit of y. It penalises small ensembles: see `fair_crps`.
    """
    count = members.shape[axis]
    return _ensemble_score(y, members, axis, float(count * count))


def fair_crps(y: Values, members: Arrays, *, axis: int = -1) -> Values:
    """Return the CRPS of the distribution that M members were drawn from.

    CRPS = 1/M sum |x_i - y| - 1/(2 M (M - 1)) sum_ij |x_i - x_j|,
    whose expectation does not depend on M.

    Args:
        y: Observation; the shape of `members` without `axis`.
        members: Ensemble of at least two, in the unit of y.
        axis: Axis of the members.

    Returns:
        The score, in the unit of y; single values may be negative.

    Raises:
        InputError: Fewer than two members.
    """
    count = _at_least_two(members.shape[axis])
    return _ensemble_score(y, members, axis, float(count * (count - 1)))


def energy_score(y: Arrays, members: Arrays, *, fair: bool = True) -> Values:
    """Return the energy score, the CRPS of vectors, of an ensemble.

    ES = 1/M sum |x_i - y| - 1/(2 M (M - 1)) sum_ij |x_i - x_j|, Euclidean norms; bring
    the components to one scale before.

    Args:
        y: Observation (..., state).
        members: Ensemble (..., ens, state).
        fair: Divide by M (M - 1) as written; else by M^2.

    Returns:
        The score (...), in the unit of y.

    Raises:
        InputError: Fewer than two members.
    """
    library = array_library(y, members)
    count = _at_least_two(members.shape[-2])
    score = _norm(members - library.asarray(y)[..., None, :]).mean(-1)
    pairs = 0.0
    for shift in range(1, count):  # each unordered pair comes up twice
        pairs = pairs + _norm(members - library.roll(members, shift, -2)).sum(-1)
    return score - pairs / (2.0 * count * (count - 1 if fair else count))


def log_score_gaussian(y: Values, mean: Values, sd: Values) -> Values:
    """Return the logarithmic score -log N(y; m, s^2) [nats] of a Gaussian forecast.

    Args:
        y: Observation.
        mean: Forecast mean m, in the unit of y.
        sd: Forecast standard deviation s > 0.

    Returns:
        The score [nats]; it depends on the unit of y by a constant.
    """
    library = array_library(y, mean, sd)
    z = (y - mean) / sd
    return 0.5 * z * z + library.log(sd) + _HALF_LOG_2PI


def log_score_mixture(y: Values, weights: Arrays, means: Arrays, sds: Arrays) -> Values:
    """Return the logarithmic score -log sum w_i N(y; m_i, s_i^2) [nats].

    Args:
        y: Observation; one axis less than `means`.
        weights: w, components along the last axis, summing to one.
        means: m_i, in the unit of y.
        sds: s_i > 0, in the unit of y.

    Returns:
        The score [nats]; it depends on the unit of y by a constant.
    """
    return -mixture_log_density(y, weights, means, sds)


def _mean_distance(distance: Values, sd: Values) -> Values:
    """Return E|distance + sd w| with w standard normal."""
    library = array_library(distance, sd)
    spread = library.where(sd > 0, sd, 1.0)  # certainty is the limit, not an error
    z = distance / spread
    value = distance * (2.0 * normal_distribution(z) - 1.0) + (
        2.0 * spread * normal_density(z)
    )
    value = library.where(sd > 0, value, library.abs(distance))
    return library.where(library.isnan(sd), sd + value, value)


def _ensemble_score(y: Values, members: Arrays, axis: int, divisor: float) -> Values:
    """Return mean |x_i - y| - sum_{i<j} |x_i - x_j| / divisor, by sorting."""
    library = array_library(y, members)
    ordered = library.sort(library.moveaxis(members, axis, -1), axis=-1)
    count = ordered.shape[-1]
    error = library.abs(ordered - library.asarray(y)[..., None]).mean(-1)
    # in the sorted ensemble member k stands above k others and below count - 1 - k
    balance = library.asarray(2.0 * np.arange(count) - (count - 1.0), ordered.dtype)
    return error - library.matmul(ordered, balance) / divisor


def _norm(vectors: Arrays) -> Values:
    return array_library(vectors).sqrt((vectors * vectors).sum(-1))


def _at_least_two(count: int) -> int:
    if count < 2:
        raise InputError(
            f"`members` must hold at least 2 members; got {count}. "
            "A single forecast has no spread: score it by its absolute error."
        )
    return count
