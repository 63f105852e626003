"""Numbers to instants: exact where the numbers are, refused where time ends."""

import datetime

import numpy as np
import pytest
from hypothesis import given, strategies as st

from slipstate.ground.errors import RecordError
from slipstate.records.clock import decimal_years, elapsed


def blame(index, expected, found, remedy):
    return RecordError("x.csv", expected, found, remedy, line=index + 1)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20, unique=True))
def test_whole_seconds_are_exact(seconds):
    times = np.sort(np.asarray(seconds))
    found = elapsed(blame, times.astype(np.float64), 1.0)
    np.testing.assert_array_equal(found.astype(np.int64), times * 10**9)


@given(st.integers(0, 5 * 10**12), st.integers(1, 10**6))
def test_steps_of_20_microseconds_stay_apart(start, count):
    steps = np.arange(start, start + min(count, 50))
    seconds = steps / 50_000  # rounded once; 2e-5 is not a number of the machine
    found = elapsed(blame, seconds, 1.0).astype(np.int64)
    # exact to the resolution of the float64 seconds that came in
    slack = 1 + np.spacing(seconds[-1]) * 1e9
    assert np.abs(found - steps * 20_000).max() <= slack


def slow_decimal_year(year):
    first = datetime.datetime(int(year), 1, 1)
    length = datetime.datetime(int(year) + 1, 1, 1) - first
    return first + datetime.timedelta(seconds=length.total_seconds() * (year % 1))


@given(st.lists(st.floats(1700.0, 2250.0), min_size=1, max_size=10))
def test_decimal_years_agree_with_the_calendar(years):
    years = np.sort(np.asarray(years))
    apart = np.concatenate([[True], np.diff(years) > 1e-9])
    for year, found in zip(years[apart], decimal_years(blame, years[apart])):
        expected = np.datetime64(slow_decimal_year(float(year)), "ns")
        assert abs(found - expected) <= np.timedelta64(1, "ms")


def days(blame, times):
    return elapsed(blame, times, 86_400.0)


@pytest.mark.parametrize(
    ("road", "times"),
    [
        (decimal_years, [2000.0, 1600.0]),
        (decimal_years, [2000.0, 2262.5]),
        (decimal_years, [2000.0, np.nan]),
        (days, [0.0, 2e5]),
        (days, [0.0, -2e5]),
        (days, [0.0, np.inf]),
        (days, [0.0, np.nan]),
        (days, [0.0, 0.0]),
    ],
)
def test_times_out_of_range_or_order_are_blamed(road, times):
    with pytest.raises(RecordError) as caught:
        road(blame, np.asarray(times))
    assert caught.value.line == 2
