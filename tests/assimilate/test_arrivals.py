"""Where observations belong: every case by hand, and orders at random."""

import numpy as np
import pytest

from slipstate.assimilate import Arrival
from slipstate.assimilate.arrivals import find_place, read_row
from slipstate.ground.errors import InputError

NAN = np.nan


def row(t, *y):
    return read_row(len(y), y, t, None, None)


KEPT = [row(1.0, 1.0, NAN), row(2.0, 2.0, 2.5), row(4.0, NAN, NAN)]


@pytest.mark.parametrize(
    ("given", "arrival", "index"),
    [
        (row(5.0, 1.0, 1.0), Arrival.new, 3),
        (row(3.0, 1.0, 1.0), Arrival.late, 2),
        (row(0.5, 1.0, 1.0), Arrival.late, 0),
        (row(0.2, 1.0, 1.0), Arrival.too_late, 0),
        (row(0.0, 1.0, 1.0), Arrival.too_late, 0),
        (row(1.0, 1.0, NAN), Arrival.duplicate, 0),
        (row(1.0, NAN, NAN), Arrival.duplicate, 0),
        (row(1.0, NAN, 3.0), Arrival.part, 0),
        (row(2.0, 2.0, 9.0), Arrival.revised, 1),
        (row(4.0, 7.0, NAN), Arrival.part, 2),
    ],
)
def test_every_case_by_hand(given, arrival, index):
    place = find_place(KEPT, 0.2, given)
    assert place[:2] == (arrival, index)


def test_parts_are_joined_and_the_later_value_stands():
    part = find_place(KEPT, 0.0, row(1.0, NAN, 3.0)).row
    np.testing.assert_array_equal(part.y, [1.0, 3.0])
    assert part.mask.all()
    other = find_place(KEPT, 0.0, row(2.0, 5.0, NAN)).row
    np.testing.assert_array_equal(other.y, [5.0, 2.5])


def test_an_empty_run_takes_what_comes_after_its_start():
    assert find_place([], -np.inf, row(-7.0, 1.0)).arrival is Arrival.new
    assert find_place([], 0.0, row(0.0, 1.0)).arrival is Arrival.too_late


def test_wrong_rows_are_refused():
    with pytest.raises(InputError, match="2 components"):
        read_row(2, np.zeros(3), 0.0, None, None)
    with pytest.raises(InputError, match="must be bool"):
        read_row(2, np.zeros(2), 0.0, np.ones(2), None)
    with pytest.raises(InputError, match="finite wherever"):
        read_row(2, np.array([np.inf, 0.0]), 0.0, None, None)
    with pytest.raises(InputError, match="`t` must be finite"):
        read_row(2, np.zeros(2), np.nan, None, None)
    given = read_row(2, [np.inf, 1.0], 3, np.array([False, True]), [9.0]).given()
    np.testing.assert_array_equal(given, [3.0, 0.0, 1.0, 0.0, 1.0, 9.0])
