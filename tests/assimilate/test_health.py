"""Alarms: each sounds for its own reason and for no other."""

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import Alarm, Health
from slipstate.assimilate.health import Condition, Signs, innovation_square
from slipstate.ground.errors import InputError

WELL = Signs(True, 2.0, 2, 5.0, 20.0)
HEALTH = Health()


def follow(rows, health=HEALTH):
    now, found = Condition(), []
    for signs in rows:
        now, alarms = health.judge(now, signs)
        found.append(set(alarms))
    return now, found


def test_a_filter_on_track_sounds_nothing():
    rng = np.random.default_rng(0)
    rows = [WELL._replace(square=float(x)) for x in rng.chisquare(2, size=20_000)]
    assert not any(follow(rows)[1])


def test_each_alarm_has_its_reason():
    _, found = follow([WELL._replace(finite=False)])
    assert found == [{Alarm.diverged}]
    # chi-squared beyond 1 in 1000: the third in a row
    _, found = follow([WELL._replace(square=14.0)] * 4)
    assert [Alarm.surprised in alarms for alarms in found] == [False] * 2 + [True] * 2
    _, found = follow([WELL._replace(square=14.0)] * 2 + [WELL] + [WELL] * 2)
    assert not any(found)
    _, found = follow([WELL._replace(effective=1.2)] * 3)
    assert found[-1] == {Alarm.degenerate}
    # innovations 2.1 times too large on average: no single one is a surprise
    _, found = follow([WELL._replace(square=2.0 * 2.1**2)] * 200)
    assert found[-1] == {Alarm.narrow}
    assert found[10] == set()


def test_the_climatology_takes_over_where_it_predicts_better():
    """The running sum of log-likelihood ratios, by the definition."""
    leads = np.array([-3.0, -4.0, 20.0, -4.0, -5.0, -2.0, 1.0])
    _, found = follow([WELL._replace(lead=float(x)) for x in leads])
    total, want = 0.0, []
    for lead in leads:
        total = max(0.0, total - lead)
        want.append(total > HEALTH.behind)
    assert [Alarm.lost in alarms for alarms in found] == want
    assert want == [False] * 5 + [True, False]


def test_rows_without_observations_change_nothing():
    now, _ = follow([WELL._replace(square=14.0, lead=-2.0, effective=1.0)] * 2)
    assert HEALTH.judge(now, Signs(True, 0.0, 0, -9.0, 1.0)) == (now, ())


def test_what_calls_for_recovery():
    assert HEALTH.recovers((Alarm.surprised, Alarm.lost))
    assert not HEALTH.recovers((Alarm.surprised, Alarm.narrow, Alarm.degenerate))
    with pytest.raises(InputError, match="`tail`"):
        Health(tail=0.0)


def test_the_square_is_that_of_the_inverse():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(4, 4))
    S, v = root @ root.T + np.eye(4), rng.normal(size=4)
    mask = np.array([True, False, True, True])
    filled = np.where(mask, v, 1e9)
    got = innovation_square(jnp.array(filled), jnp.array(S), jnp.array(mask))
    part = np.ix_(mask, mask)
    np.testing.assert_allclose(got, v[mask] @ np.linalg.solve(S[part], v[mask]))
    none = innovation_square(jnp.array(v), jnp.array(S), jnp.zeros(4, bool))
    assert none == 0.0
