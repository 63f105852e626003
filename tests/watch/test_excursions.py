"""What goes and comes back is no rupture."""

import numpy as np
import pytest

from slipstate.watch.excursions import came_back, excursions


def test_steps_that_undo_each_other_are_an_excursion():
    days = np.array([10.0, 40.0, 300.0, 10.0, 40.0])
    station = np.array([0, 0, 0, 1, 1])
    offset = np.array([[50.0], [-45.0], [30.0], [50.0], [40.0]])
    drop = excursions(days, station, offset, np.ones((5, 1)))
    assert drop.tolist() == [True, True, False, False, False]
    assert excursions(days[:0], station[:0], offset[:0], offset[:0]).tolist() == []


STEP = 200


def follow(drift, after, rate=0.0, gap=()):
    """Return 400 days that drift to `drift` in the 9 days before a jump to `after`."""
    rng = np.random.default_rng(9)
    t = np.arange(400.0)
    y = rate * t + np.where((t >= STEP - 9) & (t < STEP), drift, 0.0)
    y = y + np.where(t >= STEP, after, 0.0) + 0.5 * rng.normal(size=400)
    y[list(gap)] = np.nan
    return np.stack([y, np.zeros(400)], 1)


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize(
    ("drift", "after", "back"),
    [(-30.0, 0.0, True), (-30.0, 3.0, True), (0.0, 30.0, False), (20.0, 40.0, False)],
)
def test_an_excursion_that_drifted_in_ends_where_it_began(drift, after, back, rate):
    y = follow(drift, after, rate)
    offset = np.array([after - drift, 0.0])
    slope = np.array([rate, 0.0])
    assert came_back(y, STEP, slope, offset, np.ones(2), 1.0) is back


def test_nothing_is_dropped_where_too_little_is_known():
    y = follow(-30.0, 0.0, gap=range(STEP - 15))
    offset = np.array([30.0, np.nan])
    assert not came_back(y, STEP, np.zeros(2), offset, np.ones(2), 1.0)
