"""Offsets in coloured noise: the filter's road against dense least squares."""

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.earth.trajectory import NetworkParameters
from slipstate.watch.offsets import event_offsets, slip_shape, step_shape
from slipstate.watch.whiten import (
    WhiteSeries,
    trajectory_columns,
    whiten,
    whiten_station,
)

T = 200
WALK, SD, PHI = np.array([0.09, 0.01]), np.array([1.5, 0.7]), np.array([0.9, 0.6])


def parameters(S=1, C=2, scale=1.2, walk=0.1, sd=1.0, time=8.0):
    full = lambda x: jnp.full((S, C), x)
    return NetworkParameters(
        full(scale), full(walk), full(sd), full(time), full(-0.25),
        jnp.asarray(1 / 430.0), jnp.asarray(1 / 18.0), jnp.zeros(C), jnp.full(C, 5.0),
    )  # fmt: skip


def dense_covariance(c, noise):
    t = np.arange(1, T + 1)
    walk = WALK[c] * np.minimum(t[:, None], t)
    coloured = SD[c] ** 2 * PHI[c] ** np.abs(t[:, None] - t)
    return walk + coloured + np.diag(noise)


@pytest.fixture
def whitened():
    rng = np.random.default_rng(61)
    X = np.concatenate(
        [trajectory_columns(T, 1.0)[:, :2], step_shape(90, 0, 1, T, 1.0).columns], 1
    )
    y = 3.0 * rng.normal(size=(T, 2))
    mask = rng.uniform(size=(T, 2)) > 0.2
    noise = rng.uniform(0.5, 2.0, size=(T, 2))
    gram, _, _ = whiten(y, X, mask, noise, WALK, SD, PHI)
    return WhiteSeries(np.asarray(gram)), X, y, mask, noise


def test_it_is_generalised_least_squares(whitened):
    found, X, y, mask, noise = whitened
    beta, cov = found.solve(range(X.shape[1]))
    chi2 = found.misfit(range(X.shape[1]))
    for c in range(2):
        seen = mask[:, c]
        V = dense_covariance(c, noise[:, c])[np.ix_(seen, seen)]
        A, b = X[seen], y[seen, c]
        truth = np.linalg.inv(A.T @ np.linalg.solve(V, A))
        estimate = truth @ A.T @ np.linalg.solve(V, b)
        np.testing.assert_allclose(beta[:, c], estimate, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(cov[..., c], truth, rtol=1e-8, atol=1e-8)
        left = b - A @ estimate
        np.testing.assert_allclose(chi2[c], left @ np.linalg.solve(V, left), rtol=1e-8)


def test_a_prior_is_one_more_observation_of_zero(whitened):
    found, X, y, mask, noise = whitened
    K = X.shape[1]
    sd = np.full((K, 2), np.inf)
    sd[3:] = 0.5
    beta, cov = found.solve(range(K), sd)
    seen = mask[:, 0]
    V = dense_covariance(0, noise[:, 0])[np.ix_(seen, seen)]
    precision = np.diag([0.0] * 3 + [4.0] * (K - 3))
    truth = np.linalg.inv(X[seen].T @ np.linalg.solve(V, X[seen]) + precision)
    estimate = truth @ X[seen].T @ np.linalg.solve(V, y[seen, 0])
    np.testing.assert_allclose(beta[:, 0], estimate, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(cov[..., 0], truth, rtol=1e-8, atol=1e-8)


def test_columns_that_say_the_same_share_and_do_not_break(whitened):
    found, X, *_ = whitened
    twice = [*range(X.shape[1]), X.shape[1] - 1]
    beta, _ = found.solve(twice)
    single, _ = found.solve(range(X.shape[1]))
    assert np.isfinite(beta).all()
    np.testing.assert_allclose(
        found.misfit(twice), found.misfit(range(X.shape[1])), rtol=1e-6
    )
    np.testing.assert_allclose(beta[-2:].sum(0), single[-1], rtol=1e-4)


def test_outliers_are_spared(make_series):
    rng = np.random.default_rng(62)
    y = rng.normal(size=(400, 1, 2))
    X = trajectory_columns(400, 1.0)[:, :2]
    wild = y.copy()
    wild[[50, 200, 330]] += 80.0
    betas = [
        whiten_station(make_series(v), parameters(), 0, X, range(2)).solve(range(2))[0]
        for v in (y, wild)
    ]
    plain = [np.linalg.lstsq(X, v[:, 0], rcond=None)[0] for v in (y, wild)]
    assert np.abs(betas[1] - betas[0]).max() < 0.5
    assert np.abs(plain[1] - plain[0]).max() > 0.55


def test_offsets_of_a_step_and_of_slow_slip(make_series):
    rng = np.random.default_rng(63)
    days = np.arange(1500)
    y = 1.2 * rng.standard_t(4, size=(1500, 2, 2))
    slipping = ((days >= 400) & (days < 420)).astype(float)
    y[..., 0] += -6.0 * np.clip((days - 399) / 20.0, 0, 1)[:, None]
    y[1000:, 1] += np.array([50.0, -20.0])
    shapes = [slip_shape(400, 419, slipping, 2), step_shape(1000, 1, 2, 1500, 1.0)]
    p = parameters(2)
    found, sd = event_offsets(make_series(y), p, shapes)
    assert np.isnan(found[1, 0]).all()
    truth = np.array([[[-6.0, 0.0]] * 2, [[np.nan] * 2, [50.0, -20.0]]])
    z = (found - truth) / sd
    assert np.nanmax(np.abs(z)) < 3.5
    assert np.nanmax(sd) < 3.0
    # another model unit changes the numbers of the model, not those of the record
    same, same_sd = event_offsets(make_series(y / 2.0, unit=2.0), parameters(
        2, scale=0.6, walk=0.05, sd=0.5
    ), shapes)  # fmt: skip
    np.testing.assert_allclose(same[0], found[0], rtol=1e-2)
    np.testing.assert_allclose(same_sd[0], sd[0], rtol=1e-2)


def test_without_data_on_both_sides_there_is_no_offset(make_series):
    y = np.random.default_rng(64).normal(size=(300, 1, 2))
    shapes = [step_shape(day, 0, 1, 300, 1.0) for day in (3, 298)]
    found, sd = event_offsets(make_series(y), parameters(), shapes)
    assert np.isnan(found).all()
    assert np.isnan(sd).all()


def test_shapes_are_zero_before_and_grow_to_one():
    step = step_shape(10, 1, 3, 100, 0.5)
    assert step.stations.tolist() == [False, True, False]
    np.testing.assert_array_equal(step.columns[:10], 0.0)
    np.testing.assert_array_equal(step.columns[10:, 0], 1.0)
    np.testing.assert_allclose(
        step.columns[12, 1:], 1 - np.exp(-1 / np.array([1, 7, 90]))
    )
    slip = slip_shape(2, 5, np.array([0.9, 0.9, 0.1, 0.3, 0.5, 0.1, 0.9]), 2)
    np.testing.assert_allclose(slip.columns[:, 0], [0, 0, 0.1, 0.4, 0.9, 1, 1])
