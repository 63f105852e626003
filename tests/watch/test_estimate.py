"""What is assumed before a fit, from robust statistics of the training part."""

import jax.numpy as jnp
import numpy as np

from slipstate.watch.estimate import network_prior, parameter_prior, primary_component


def test_level_and_rate_are_spared_by_steps_and_seasons(make_series):
    rng = np.random.default_rng(101)
    days = np.arange(4000)
    y = 5.0 + 0.02 * days + 3.0 * np.sin(2 * np.pi * days / 365.25)
    y = np.stack([y, -0.5 * y], 1)[:, None] + rng.normal(size=(4000, 1, 2))
    y[1000:] += 100.0
    y[2500:] += 1e4  # not in the training part
    prior = network_prior(make_series(y))
    np.testing.assert_allclose(prior.rate, [[0.02, -0.01]], atol=0.002)
    np.testing.assert_allclose(prior.level, [[5.0, -2.5]], atol=1.5)


def test_what_was_never_seen_in_training_does_not_stop_the_watch(make_series):
    y = np.random.default_rng(102).normal(size=(400, 2, 2))
    y[:250, 0, 1] = np.nan
    y[:, 1, 1] = np.nan
    series = make_series(y)
    prior = network_prior(series)
    np.testing.assert_array_equal(np.asarray(prior.rate)[:, 1], 0.0)
    mean, sd = parameter_prior(series, np.array([[True, False]] * 2))
    assert np.isfinite(mean).all()
    assert (sd[:, 1, 4:] == 0.0).all()


def test_a_station_sampled_every_week_has_a_scatter(make_series):
    y = 3.0 * np.random.default_rng(103).normal(size=(2000, 2, 1))
    y[np.arange(2000) % 7 > 0, 1] = np.nan
    mean, _ = parameter_prior(make_series(y), np.ones((2, 1), bool))
    np.testing.assert_allclose(np.exp(mean[..., 0]), 0.8 * 3.0, rtol=0.25)


def test_the_switch_listens_to_the_horizontal_component_that_moves_most():
    rate = jnp.array([[0.01, -0.03, 0.5], [0.02, 0.01, -0.9]])
    names = ("east", "north", "up")
    assert primary_component(rate, names).tolist() == [1, 0]
    assert primary_component(rate, ("a", "b", "c")).tolist() == [2, 2]
