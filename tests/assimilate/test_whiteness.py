"""Ljung-Box's statistic of innovations with gaps, against its definition."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.diagnostic import acorr_ljungbox

from slipstate.assimilate.calibration import innovation_whiteness

RNG = np.random.default_rng(12)


def test_the_statistic_is_its_sum():
    z = RNG.normal(size=(60, 2))
    z[RNG.uniform(size=z.shape) < 0.2] = np.nan
    got = innovation_whiteness(z, lags=4)
    want, lag_one, sizes = 0.0, [], []
    for column in z.T:
        seen = np.isfinite(column)
        n, power = int(seen.sum()), float(np.nansum(column**2))
        for lag in range(1, 5):
            total = 0.0
            for k in range(lag, len(column)):
                if seen[k] and seen[k - lag]:
                    total += column[k] * column[k - lag]
            want += n * (n + 2.0) * (total / power) ** 2 / (n - lag)
            if lag == 1:
                lag_one.append(total / power)
        sizes.append(n)
    assert got.statistic == pytest.approx(want, rel=1e-12)
    assert got.correlation == pytest.approx(np.average(lag_one, weights=sizes))
    assert got.p_value == pytest.approx(scipy.stats.chi2.sf(want, 8), rel=1e-9)


def test_a_complete_series_is_that_of_statsmodels():
    z = RNG.normal(size=400)
    z -= z.mean()
    want = acorr_ljungbox(z, lags=[10])
    got = innovation_whiteness(z[:, None])
    assert got.statistic == pytest.approx(float(want["lb_stat"].iloc[0]), rel=1e-9)
    assert got.p_value == pytest.approx(float(want["lb_pvalue"].iloc[0]), rel=1e-9)


def test_memory_is_found_and_white_noise_passes():
    white = RNG.normal(size=(1000, 2))
    assert innovation_whiteness(white).p_value > 1e-3
    kept = white.copy()
    kept[1:] += 0.3 * white[:-1]
    told = innovation_whiteness(kept)
    assert told.p_value < 1e-6
    assert told.correlation == pytest.approx(0.3 / 1.09, abs=0.06)


def test_too_few_have_no_whiteness():
    assert np.isnan(innovation_whiteness(np.full((50, 1), np.nan)).p_value)
