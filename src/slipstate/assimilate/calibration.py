"""Whether forecasts mean what they say: PIT, coverage, ranks, spread against error.

A calibrated forecast leaves uniform probability integral transforms, flat rank
histograms, intervals that cover as often as they promise, and a spread equal to its
root-mean-square error. NaN marks what was not observed and is left out everywhere.
"""

from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float

from slipstate.assimilate.mixtures import Values, normal_distribution
from slipstate.ground.errors import InputError

Sample = Float[np.ndarray, "..."]


class Uniformity(NamedTuple):
    """How far a sample lies from uniform.

    Attributes:
        statistic: Kolmogorov-Smirnov distance, or chi-squared.
        p_value: Probability of at least this value if the sample were uniform.
        size: Number of values in the sample.
    """

    statistic: float
    p_value: float
    size: int


class Whiteness(NamedTuple):
    """Whether innovations know of one another.

    Attributes:
        correlation: Correlation with the value one step before, over all components.
        statistic: Ljung-Box statistic of the first lags, summed over components.
        p_value: Probability of at least this value if they were white.
        lags: Number of lags.
    """

    correlation: float
    statistic: float
    p_value: float
    lags: int


def innovation_whiteness(
    z: Float[np.ndarray, "time obs"], *, lags: int = 10
) -> Whiteness:
    """Test standardised innovations for correlation with their past.

    Q = n (n + 2) sum_l r_l^2 / (n - l) for each component, chi-squared with as many
    degrees of freedom as lags; summed over components, which are taken as independent.
    NaN is left out, and counts as zero in the products.

    Args:
        z: Standardised innovations, of mean zero.
        lags: Number of lags.

    Returns:
        Correlation at lag one, statistic and p-value; NaN where there are too few.

    References:
        Ljung & Box (1978), doi:10.1093/biomet/65.2.297.
    """
    seen = np.isfinite(z)
    count = seen.sum(axis=0)
    used = count > lags + 2
    if not used.any():
        return Whiteness(np.nan, np.nan, np.nan, lags)
    filled = np.where(seen, z, 0.0)[:, used]
    n, power = count[used], (filled**2).sum(axis=0)
    power = np.where(power > 0, power, 1.0)
    r = np.array(
        [(filled[k:] * filled[:-k]).sum(0) / power for k in range(1, lags + 1)]
    )
    weights = 1.0 / (n[None, :] - np.arange(1, lags + 1)[:, None])
    statistic = float((n * (n + 2.0) * (r**2 * weights).sum(axis=0)).sum())
    p_value = float(scipy.special.chdtrc(lags * int(used.sum()), statistic))
    return Whiteness(float(np.average(r[0], weights=n)), statistic, p_value, lags)


def pit_gaussian(y: Values, mean: Values, sd: Values) -> Values:
    """Return the probability integral transform Phi((y - m) / s).

    Args:
        y: Observation.
        mean: Forecast mean m, in the unit of y.
        sd: Forecast standard deviation s > 0.

    Returns:
        Uniform on (0, 1) where the forecast is calibrated.
    """
    return normal_distribution((y - mean) / sd)


def pit_uniformity(pit: Sample, *, effective: float | None = None) -> Uniformity:
    """Test PIT values for uniformity by the Kolmogorov-Smirnov distance.

    Forecasts h steps ahead share h - 1 steps, so their PIT values come in runs; give
    the effective number of independent ones (about the count over h).

    Args:
        pit: Values in [0, 1]; NaN is left out.
        effective: Number of independent values; None: all are.

    Returns:
        Distance, p-value with the small-sample correction of Stephens, and count;
        NaN where nothing was observed.

    References:
        Stephens (1970), doi:10.1111/j.2517-6161.1970.tb00821.x.
    """
    values = np.sort(pit[np.isfinite(pit)])
    count = values.size
    if count == 0:
        return Uniformity(np.nan, np.nan, 0)
    above = np.arange(1, count + 1) / count - values
    below = values - np.arange(count) / count
    distance = float(max(above.max(), below.max()))
    root = np.sqrt(count if effective is None else effective)
    scaled = distance * (root + 0.12 + 0.11 / root)
    return Uniformity(distance, float(scipy.special.kolmogorov(scaled)), count)


def rank_histogram(
    y: Sample, members: Sample, *, axis: int = -1
) -> Float[np.ndarray, " rank"]:
    """Count where observations fall among M members: M + 1 ranks.

    Add observation noise to the members before when they are noise-free. An
    observation that ties with k members counts 1 / (k + 1) in each rank it may take, so
    the answer needs no random numbers.

    Args:
        y: Observations; the shape of `members` without `axis`; NaN is left out.
        members: Ensembles.
        axis: Axis of the members.

    Returns:
        Counts that sum to the number of observations; flat where calibrated.
    """
    ensemble = np.moveaxis(np.asarray(members), axis, -1)
    count = ensemble.shape[-1]
    seen = np.isfinite(y) & np.isfinite(ensemble).all(-1)
    below = (ensemble[seen] < y[seen][:, None]).sum(-1)
    ties = (ensemble[seen] == y[seen][:, None]).sum(-1)
    share = 1.0 / (ties + 1.0)
    # each observation adds a box of height `share`; differences, then a running sum
    edges = np.zeros(count + 2)
    np.add.at(edges, below, share)
    np.add.at(edges, below + ties + 1, -share)
    return np.cumsum(edges)[:-1]


def rank_uniformity(counts: Float[np.ndarray, " rank"]) -> Uniformity:
    """Test a rank histogram for flatness by chi-squared.

    Args:
        counts: What `rank_histogram` returned, for independent observations.

    Returns:
        Chi-squared with one degree of freedom less than ranks, its p-value, the count.
    """
    total = float(counts.sum())
    expected = total / counts.size
    statistic = float(((counts - expected) ** 2).sum() / expected)
    p_value = float(scipy.special.chdtrc(counts.size - 1, statistic))
    return Uniformity(statistic, p_value, round(total))


def coverage(y: Sample, lower: Sample, upper: Sample) -> float:
    """Return the fraction of observations inside their intervals, ends included.

    Args:
        y: Observations; NaN is left out.
        lower: Lower ends.
        upper: Upper ends.

    Returns:
        The fraction; NaN where nothing was observed.
    """
    seen = np.isfinite(y) & np.isfinite(lower + upper)
    if not seen.any():
        return np.nan
    return float(((lower <= y) & (y <= upper))[seen].mean())


def central_interval(
    members: Sample, level: float, *, axis: int = -1
) -> tuple[Sample, Sample]:
    """Return the central interval of an ensemble by linearly interpolated quantiles.

    Args:
        members: Ensembles.
        level: Probability inside, e.g. 0.9.
        axis: Axis of the members.

    Returns:
        Lower and upper end, `axis` gone.

    Raises:
        InputError: A level outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise InputError(f"`level` must lie in (0, 1); got {level}. Pass 0.9 for 90 %.")
    tail = 0.5 * (1.0 - level)
    lower, upper = np.quantile(members, [tail, 1.0 - tail], axis=axis)
    return lower, upper


def coverage_target(level: float, members: int | None = None) -> float:
    """Return how often a calibrated forecast's central interval covers.

    An interval between linearly interpolated quantiles of M members is narrower than
    the one of their distribution: it covers level (M - 1) / (M + 1) on average.

    Args:
        level: Nominal probability inside.
        members: Number of members M; None for a forecast by a distribution.

    Returns:
        The coverage to expect.
    """
    if members is None:
        return level
    return level * (members - 1) / (members + 1)


def spread_skill(
    y: Sample, mean: Sample, sd: Sample, *, members: int | None = None
) -> float:
    """Return root-mean-square spread over root-mean-square error; 1 is calibrated.

    Args:
        y: Observations; NaN is left out.
        mean: Forecast means.
        sd: Forecast standard deviations, observation noise included; for an ensemble
            with the unbiased divisor M - 1.
        members: Number of members M: the error of a mean of M members exceeds the
            spread by sqrt((M + 1) / M), which is put right. None for a distribution.

    Returns:
        The ratio: below 1 overconfident, above 1 timid; NaN where nothing was observed.
    """
    seen = np.isfinite(y) & np.isfinite(mean) & np.isfinite(sd)
    if not seen.any():
        return np.nan
    factor = 1.0 if members is None else np.sqrt((members + 1) / members)
    spread = np.sqrt(np.mean(np.square(sd[seen])))
    error = np.sqrt(np.mean(np.square((y - mean)[seen])))
    return float(factor * spread / error) if error > 0 else np.inf
