"""From a record to ticks: the grid, gaps, scales and the training part."""

import numpy as np
import pytest

from slipstate.ground.errors import InputError
from slipstate.watch.series import DAY, MIN_ROWS, tick_series

RNG = np.random.default_rng(51)


def noise(T=200, S=1, C=3):
    return RNG.normal(size=(T, S, C))


def test_a_missing_day_is_a_masked_tick(make_record):
    values = noise()
    record = make_record(values).isel(time=np.delete(np.arange(200), [50, 51, 120]))
    series = tick_series(record, 0.5)
    assert len(series.times) == 200
    assert np.all(np.diff(series.times) == DAY)
    np.testing.assert_array_equal(np.flatnonzero(~series.mask[:, 0, 0]), [50, 51, 120])
    np.testing.assert_array_equal(series.y[[50, 51, 120]], 0.0)
    kept = np.delete(np.arange(200), [50, 51, 120])
    np.testing.assert_array_equal(series.y[kept], values[kept])
    np.testing.assert_array_equal(np.isnan(series.values()), ~series.mask)


def test_of_two_samples_in_one_tick_the_later_counts(make_record):
    record = make_record(noise())
    time = record["time"].values.copy()
    time[100] = time[99] + np.timedelta64(2, "h")
    series = tick_series(record.assign_coords(time=time), 0.5)
    np.testing.assert_array_equal(series.y[99], record["value"].values[100])
    assert not series.mask[100].any()
    assert series.mask[101].all()


def test_ticks_follow_the_spacing_of_the_record(make_record):
    assert tick_series(make_record(noise(), spacing="10D"), 0.5).tick == 10.0
    assert tick_series(make_record(noise(), spacing="6h"), 0.5).tick == 0.25
    # leap seconds and time stamps at odd hours are still days
    record = make_record(noise())
    shaken = record["time"].values + RNG.integers(-3600, 3600, 200) * np.timedelta64(
        1, "s"
    )
    assert tick_series(record.assign_coords(time=shaken), 0.5).tick == 1.0


def test_each_station_trains_on_its_own_first_part(make_record):
    values = noise(400, 2)
    values[:200, 1] = np.nan
    series = tick_series(make_record(values), 0.5)
    seen = series.mask.any(-1)
    used = seen & series.training
    np.testing.assert_array_equal(used.sum(0), [200, 100])
    assert np.flatnonzero(used[:, 1])[-1] == 299
    assert not series.training[300:].any()


def test_formal_errors_become_factors_about_one(make_record):
    sigma = np.full((200, 1, 3), 2.0)
    sigma[10], sigma[11], sigma[12] = 4.0, 1e6, np.nan
    series = tick_series(make_record(noise(), sigma=sigma), 0.5)
    np.testing.assert_allclose(series.scale[[9, 10, 11, 12], 0, 0], [1, 2, 10, 1])
    np.testing.assert_array_equal(tick_series(make_record(noise()), 0.5).scale, 1.0)


def test_other_units_are_measured_in_their_own_scatter(make_record):
    values = 1e6 * noise(2000, 1, 1)
    series = tick_series(make_record(values, units="Pa"), 0.5)
    # the median of |differences| of white noise over 0.95 is its deviation
    np.testing.assert_allclose(series.unit, 1e6, rtol=0.06)
    np.testing.assert_allclose(series.y * series.unit, values, rtol=1e-12)
    assert tick_series(make_record(noise()), 0.5).unit.tolist() == [1.0] * 3


def test_too_short_a_record_is_refused_with_the_number_it_has(make_record):
    record = make_record(noise(MIN_ROWS - 1))
    with pytest.raises(InputError, match=f"at least {MIN_ROWS}.*got {MIN_ROWS - 1}"):
        tick_series(record, 0.5)
    tick_series(make_record(noise(MIN_ROWS)), 0.5)
    with pytest.raises(InputError, match="got 1"):
        tick_series(make_record(noise(1)), 0.5)


def test_a_record_on_no_grid_is_refused(make_record):
    record = make_record(noise(100))
    time = record["time"].values.copy()
    time[60:] += np.timedelta64(365 * 100, "D")
    with pytest.raises(InputError, match="roughly regular"):
        tick_series(record.assign_coords(time=time), 0.5)


def test_a_component_without_neighbouring_samples_has_a_unit_too(make_record):
    values = noise(200, 1, 2)
    values[::2, 0, 1] = np.nan
    series = tick_series(make_record(values, units="Pa"), 0.5)
    assert series.unit[1] == 1.0
    assert series.unit[0] > 0.5
