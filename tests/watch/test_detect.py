"""Candidates, intervals and what is worth reporting."""

import numpy as np
import pytest

from slipstate.watch.detect import (
    is_resolved,
    is_rupture,
    slip_candidates,
    slip_events,
    step_events,
)
from slipstate.watch.step_days import StepDay


def test_fragments_within_a_month_are_one_candidate():
    smoothed = np.zeros(300)
    smoothed[[50, 51, 52, 80, 81]] = 0.9  # 28 days apart
    smoothed[[130, 131]] = 0.4  # more than a month later
    smoothed[200] = 0.2
    assert slip_candidates(smoothed, 1.0) == [(50, 81), (130, 131)]
    assert slip_candidates(smoothed, 10.0) == [(50, 52), (80, 81), (130, 131)]
    assert slip_candidates(np.zeros(10), 1.0) == []


@pytest.fixture
def slip(make_series):
    series = make_series(np.zeros((300, 2, 1)))
    smoothed, pairs = np.zeros(300), np.zeros((300, 2, 2))
    smoothed[100:121] = 0.9
    # slip begins on tick 98..102, most probably on 100
    pairs[97:102, 0, 1] = [0.02, 0.18, 0.5, 0.25, 0.05]
    filtered = np.zeros(300)
    filtered[107:125] = 0.8
    return series, filtered, smoothed, pairs


def events_of(slip, weigh):
    series, filtered, smoothed, pairs = slip
    return slip_events(series, filtered, smoothed, pairs, weigh)


def test_the_onset_is_the_median_of_its_posterior(slip):
    (event,) = events_of(slip, lambda first, last: 0.99)
    day = lambda k: slip[0].times[k]
    assert (event.first, event.last, event.kind) == (100, 120, "slow slip")
    assert event.onset == day(100)
    assert (event.onset_lo, event.onset_hi) == (day(99), day(101))
    assert event.duration == 21.0
    assert event.latency == 7.0
    assert event.probability == 0.99
    assert event.stations.all()


def test_what_is_not_probable_is_no_event(slip):
    seen = []

    def weigh(first, last):
        seen.append((first, last))
        return 0.9

    assert events_of(slip, weigh) == []
    assert seen == [(100, 120)]


def test_an_alarm_that_never_came_has_no_latency(slip):
    series, filtered, smoothed, pairs = slip
    (event,) = slip_events(series, 0 * filtered, smoothed, pairs, lambda a, b: 1.0)
    assert np.isnan(event.latency)


@pytest.mark.parametrize("last", [0, 4])
def test_slip_that_was_under_way_on_the_first_day_has_an_onset(make_series, last):
    series = make_series(np.zeros((300, 1, 1)))
    smoothed = np.zeros(300)
    smoothed[: last + 1] = 0.9
    (event,) = slip_events(
        series, smoothed, smoothed, np.zeros((300, 2, 2)), lambda a, b: 1.0
    )
    assert series.times[0] <= event.onset_lo <= event.onset <= event.onset_hi
    assert event.onset_hi <= series.times[last]


def steps_of(series, *found, prob=None):
    prob = np.zeros(series.training.shape) if prob is None else prob
    return step_events(series, prob, list(found))


@pytest.mark.parametrize("order", [1, -1])
def test_stations_that_step_together_are_one_event(make_series, order):
    series = make_series(np.zeros((100, 3, 1)))
    prob = np.zeros((100, 3))
    prob[42:, 0] = 0.9
    found = [StepDay(0, 40, 39, 40, 0.99), StepDay(2, 40, 37, 42, 0.97)][::order]
    found.append(StepDay(1, 70, 69, 70, 1.0))
    found.append(StepDay(1, 80, 79, 80, 0.5))
    first, second = steps_of(series, *found, prob=prob)
    assert first.stations.tolist() == [True, False, True]
    assert (first.first, first.probability) == (40, 0.99)
    assert (first.onset_lo, first.onset_hi) == (series.times[39], series.times[40])
    assert second.stations.tolist() == [False, True, False]
    if order == 1:
        assert first.latency == 2.0
    assert np.isnan(second.latency)


def test_slip_counts_where_it_goes_the_way_slip_goes():
    rate = np.array([[-0.25, 0.0], [-0.2, 0.0]])
    sd = np.ones((2, 2))
    assert is_resolved(np.array([[-4.0, 9.0], [-3.0, 0.0]]), sd, rate)
    assert not is_resolved(np.array([[4.0, 9.0], [3.0, 0.0]]), sd, rate)
    assert not is_resolved(np.array([[-1.0, 9.0], [-1.0, 0.0]]), sd, rate)
    # many weak stations are as good as a strong one
    weak = np.full((9, 1), -1.5)
    assert is_resolved(weak, np.ones((9, 1)), np.full((9, 1), -0.2))
    assert is_resolved(np.full((2, 2), np.nan), sd, rate)


def test_snow_is_no_rupture():
    names = ("east", "north", "up")
    sd, here = np.ones((2, 3)), np.array([True, False])
    assert not is_rupture(np.array([[1.0, 2.0, 90.0], [50.0, 0, 0]]), sd, here, names)
    assert is_rupture(np.array([[1.0, -7.0, 0.0], [np.nan] * 3]), sd, here, names)
    assert is_rupture(np.array([[0.1], [0.1]]), np.ones((2, 1)), here, ("tau",))
    assert not is_rupture(np.full((2, 3), np.nan), sd, here, names)
