"""Calibration measures against simulation, SciPy and counting by hand."""

import numpy as np
import pytest
import scipy.stats

from slipstate.assimilate.calibration import (
    central_interval,
    coverage,
    coverage_target,
    pit_gaussian,
    pit_uniformity,
    rank_histogram,
    rank_uniformity,
    spread_skill,
)
from slipstate.ground.errors import InputError


def test_pit_of_a_calibrated_forecast_is_uniform_and_of_a_biased_one_is_not():
    rng = np.random.default_rng(0)
    mean, sd = rng.standard_normal(2000), rng.uniform(0.5, 2.0, 2000)
    y = mean + sd * rng.standard_normal(2000)
    assert pit_uniformity(pit_gaussian(y, mean, sd)).p_value > 0.01
    assert pit_uniformity(pit_gaussian(y, mean + 0.2 * sd, sd)).p_value < 1e-3
    assert pit_uniformity(pit_gaussian(y, mean, 2 * sd)).p_value < 1e-3


@pytest.mark.parametrize("size", [12, 100, 3000])
def test_uniformity_agrees_with_scipy(size):
    pit = np.random.default_rng(size).uniform(size=size) ** 1.1
    found = pit_uniformity(np.append(pit, np.nan))
    exact = scipy.stats.kstest(pit, "uniform")
    assert found.size == size
    assert found.statistic == pytest.approx(exact.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(exact.pvalue, rel=0.02)


def test_dependent_values_count_less():
    pit = np.random.default_rng(1).uniform(size=500) ** 1.2
    assert pit_uniformity(pit, effective=50.0).p_value > pit_uniformity(pit).p_value


def test_nothing_observed_has_no_uniformity():
    assert np.isnan(pit_uniformity(np.full(4, np.nan)).p_value)


def test_rank_histogram_counts():
    members = np.array([[1.0, 2.0, 3.0]] * 5)
    y = np.array([0.0, 1.5, 2.5, 9.0, np.nan])
    np.testing.assert_array_equal(rank_histogram(y, members), [1, 1, 1, 1])


def test_a_tie_is_shared_between_the_ranks_it_may_take():
    members = np.array([[0.0, 0.0, 5.0]])
    found = rank_histogram(np.array([0.0]), members)
    np.testing.assert_allclose(found, [1 / 3, 1 / 3, 1 / 3, 0.0], atol=1e-15)


def test_ranks_of_exchangeable_members_are_flat_and_of_narrow_ones_are_not():
    rng = np.random.default_rng(2)
    draws = rng.standard_normal((10, 5000))
    flat = rank_histogram(draws[0], draws[1:], axis=0)
    assert flat.sum() == pytest.approx(5000)
    assert rank_uniformity(flat).p_value > 0.01
    assert rank_uniformity(
        rank_histogram(draws[0], 0.6 * draws[1:], axis=0)
    ).p_value < (1e-6)


def test_flatness_agrees_with_scipy():
    counts = np.array([10.0, 14.0, 7.0, 9.0])
    exact = scipy.stats.chisquare(counts)
    found = rank_uniformity(counts)
    assert found.statistic == pytest.approx(exact.statistic)
    assert found.p_value == pytest.approx(exact.pvalue)


def test_coverage_counts_observed_entries_only():
    y = np.array([0.0, 1.0, 2.0, np.nan])
    assert coverage(y, np.zeros(4), np.full(4, 1.0)) == pytest.approx(2 / 3)
    assert np.isnan(coverage(y[3:], np.zeros(1), np.ones(1)))


@pytest.mark.parametrize("members", [10, 20, 50])
def test_intervals_of_an_ensemble_cover_the_finite_target(members):
    rng = np.random.default_rng(members)
    draws = rng.uniform(size=(60_000, members))
    y = rng.uniform(size=60_000)
    for level in (0.5, 0.9):
        lower, upper = central_interval(draws, level)
        target = coverage_target(level, members)
        assert coverage(y, lower, upper) == pytest.approx(target, abs=0.008)
    assert coverage_target(0.9) == 0.9


def test_spread_equals_error_where_calibrated():
    rng = np.random.default_rng(3)
    draws = rng.standard_normal((50_000, 6))
    y = rng.standard_normal(50_000)
    mean, sd = draws.mean(-1), draws.std(-1, ddof=1)
    assert spread_skill(y, mean, sd, members=6) == pytest.approx(1.0, abs=0.01)
    assert spread_skill(y, mean, sd) == pytest.approx(np.sqrt(6 / 7), abs=0.01)
    y[7] = np.nan
    assert np.isfinite(spread_skill(y, mean, sd))
    assert np.isnan(spread_skill(y[7:8], mean[7:8], sd[7:8]))


def test_a_level_outside_the_unit_interval_is_refused():
    with pytest.raises(InputError, match="`level`"):
        central_interval(np.zeros((2, 3)), 90.0)
