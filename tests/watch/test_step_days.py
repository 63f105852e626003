"""The day of a step, and the probability that there was one."""

import jax.numpy as jnp
import numpy as np

from slipstate.earth.trajectory import NetworkParameters, NetworkPrior
from slipstate.watch.step_days import accepted_days, weigh_steps

ONE = jnp.ones((1, 2))
PARAMETERS = NetworkParameters(
    1.2 * ONE, 0.1 * ONE, 0.5 * ONE, 8.0 * ONE, -0.25 * ONE,
    jnp.asarray(1 / 430.0), jnp.asarray(1 / 18.0), jnp.zeros(2), jnp.full(2, 5.0),
)  # fmt: skip
PRIOR = NetworkPrior(0.0 * ONE, 0.0 * ONE)


def weigh(series, *days):
    flags = np.zeros(series.training.shape, bool)
    flags[list(days), 0] = True
    return weigh_steps(
        series, PARAMETERS, PRIOR, flags, np.zeros((len(series.times), 0))
    )


def stepped(size, day=300, T=600, seed=71):
    y = 1.2 * np.random.default_rng(seed).standard_t(4, size=(T, 1, 2))
    y[day:] += size
    return y


def test_an_acceptance_is_counted_back_over_observed_ticks():
    seen = np.ones((30, 2), bool)
    seen[11:14, 0] = False
    accepted, age = np.zeros((30, 2), bool), np.zeros((30, 2), int)
    accepted[20, 0], age[20, 0] = True, 10
    accepted[25, 1], age[25, 1] = True, 1
    days = accepted_days(accepted, age, seen)
    # ten observations end on tick 20: 20..14 are seven, then 10, 9, 8
    assert np.argwhere(days).tolist() == [[8, 0], [25, 1]]


def test_a_clear_step_is_dated_to_the_day(make_series):
    (step,) = weigh(make_series(stepped(40.0)), 302)
    assert (step.day, step.low, step.high) == (300, 299, 300)
    assert step.probability > 0.999


def test_a_step_in_a_gap_can_have_been_on_any_of_its_days(make_series):
    y = stepped(40.0)
    y[290:300] = np.nan
    (step,) = weigh(make_series(y), 300)
    assert (step.day, step.low, step.high) == (300, 289, 300)


def test_a_small_step_has_a_wide_interval_that_holds_it(make_series):
    hits = 0
    for seed in range(12):
        (step,) = weigh(make_series(stepped(3.0, seed=seed)), 300)
        hits += step.low < 300 <= step.high
        assert step.low < step.day <= step.high
    assert hits >= 9


def test_where_nothing_stepped_the_probability_is_small(make_series):
    (step,) = weigh(make_series(stepped(0.0)), 300)
    assert step.probability < 0.05


def test_a_neighbouring_step_is_not_counted_twice(make_series):
    y = stepped(40.0)
    y[320:] -= 40.0
    first, second = weigh(make_series(y), 300, 320)
    assert (first.day, second.day) == (300, 320)
    assert min(first.probability, second.probability) > 0.999
    # with the first one known, nothing is left for a third
    *_, third = weigh(make_series(y), 300, 320, 450)
    assert third.probability < 0.05
