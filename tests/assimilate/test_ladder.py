"""The ladder: which rung is taken, and what is learnt from it."""

import pytest

from slipstate.assimilate import BridgeFilter, Kalman, ParticleFilter, Rung, ladder_of
from slipstate.assimilate.ladder import Cost, check_ladder, choose_rung, first_cost
from slipstate.ground.errors import InputError

RUNGS = ladder_of(BridgeFilter(members=10))
COSTS = [Cost(m, s) for m, s in ((8.0, 1.0), (4.0, 0.5), (2.0, 0.0), (0.5, 0.0))]


def test_the_rungs_of_a_bridge():
    names = [rung.name for rung in RUNGS]
    assert names == ["BridgeFilter", "no coupling", "ensemble Kalman", "forecast only"]
    methods = [rung.method for rung in RUNGS[:2]]
    full = BridgeFilter(members=10)
    assert methods == [full, BridgeFilter(members=10, coupled=False)]
    assert [rung.method is None for rung in RUNGS] == [False, False, False, True]
    assert [r.name for r in ladder_of(ParticleFilter(10))][-1] == "forecast only"
    assert len(ladder_of(Kalman())) == 2


@pytest.mark.parametrize(
    ("budget", "rows", "rung"),
    [
        (13.0, 1, 0),
        (12.0, 1, 0),
        (11.9, 1, 1),
        (5.9, 1, 2),
        (1.9, 1, 3),
        (-1.0, 1, 3),
        (36.0, 3, 0),
        (18.0, 3, 1),
        (6.0, 3, 2),
        (0.0, 3, 2),  # rows that were taken in before are never given up
    ],
)
def test_the_first_rung_that_ends_in_time(budget, rows, rung):
    assert choose_rung(RUNGS, COSTS, budget, rows) == rung


def test_costs_follow_and_forgive():
    cost = first_cost([1.0, 1.0, 1.0])
    assert cost == Cost(1.0, 0.0)
    slow = cost.learn(9.0)
    assert slow == Cost(2.0, 1.0)
    assert slow.expected == 6.0
    for _ in range(200):
        slow = slow.learn(1.0)
    assert abs(slow.expected - 1.0) < 1e-6
    held = cost.learn(1e3)
    rows = 0
    while held.expected > 2.0:  # one hiccup of a thousand steps is forgotten
        held, rows = held.forgive(), rows + 1
    assert 100 < rows < 500
    # one step of five times the usual keeps a rung with room to spare out for a few
    held, rows = Cost(1.0, 0.05).learn(5.0), 0
    while held.expected > 2.5:
        held, rows = held.forgive(), rows + 1
    assert 1 <= rows <= 6


def test_a_ladder_begins_with_a_method():
    for rungs in ((), (Rung("forecast only", None),), (RUNGS[0], RUNGS[0])):
        with pytest.raises(InputError, match="`rungs` must begin"):
            check_ladder(rungs)
