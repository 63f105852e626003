"""Forecasts of modes with a memory against all paths the mode may take."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import ForwardBackward, Observations, filter_series, forecast
from slipstate.systems import AutoregressiveEmission, HiddenMarkov

METHOD = ForwardBackward()
MATRIX = np.array([[0.9, 0.1], [0.3, 0.7]])


def by_all_paths(model, probs, last, steps):
    """Return mean and covariance of each row to come, path by path."""
    A, b, C = (
        np.asarray(x)
        for x in (model.emission.coefs, model.emission.offsets, model.emission.covs)
    )
    order, obs = A.shape[1], b.shape[1]
    found = []
    for path in itertools.product(range(2), repeat=steps + 1):
        weight = probs[path[0]]
        mean, cov = np.concatenate(last), np.zeros((order * obs, order * obs))
        rows = []
        for before, mode in itertools.pairwise(path):
            weight *= MATRIX[before, mode]
            F = np.eye(order * obs, k=-obs)
            F[:obs] = np.concatenate(list(A[mode]), axis=1)
            mean, cov = F @ mean, F @ cov @ F.T
            mean[:obs] += b[mode]
            cov[:obs, :obs] += C[mode]
            rows.append((mean[:obs].copy(), cov[:obs, :obs].copy()))
        found.append((weight, rows))
    out = []
    for k in range(steps):
        mean = sum(w * rows[k][0] for w, rows in found)
        second = sum(
            w * (rows[k][1] + np.outer(rows[k][0], rows[k][0])) for w, rows in found
        )
        out.append((mean, second - np.outer(mean, mean)))
    return out


@pytest.mark.parametrize("far", [0.0, 1e4])
def test_rows_to_come_are_those_of_all_paths(far):
    rng = np.random.default_rng(5)
    A = 0.4 * rng.normal(size=(2, 2, 2, 2))
    b, C = rng.normal(size=(2, 2)), np.stack([np.eye(2), 0.2 * np.eye(2) + 0.1])
    b = b + far * (np.ones(2) - np.einsum("jlde->jd", A))  # moves rows by `far`
    model = HiddenMarkov([0.5, 0.5], MATRIX, AutoregressiveEmission(A, b, C))
    y = far + rng.normal(size=(9, 2))
    result = filter_series(model, Observations(y), METHOD)
    ahead = forecast(model, result, steps=5)
    expected = by_all_paths(model, np.asarray(result.probs[-1]), y[[-1, -2]], 5)
    for k, (mean, cov) in enumerate(expected):
        np.testing.assert_allclose(ahead.observation_means[k], mean, rtol=1e-11)
        np.testing.assert_allclose(
            ahead.observation_covs[k], cov, rtol=1e-9 if far == 0 else 1e-5, atol=1e-7
        )
    odds = np.asarray(result.probs[-1])
    for k in range(5):
        odds = odds @ MATRIX
        np.testing.assert_allclose(ahead.probs[k], odds, rtol=1e-12)


def test_one_step_ahead_is_what_the_filter_expects_next():
    rng = np.random.default_rng(6)
    emission = AutoregressiveEmission(
        [[[[0.9]]], [[[-0.5]]]], [[0.1], [2.0]], [[[0.3]], [[1.0]]]
    )
    model = HiddenMarkov([0.5, 0.5], MATRIX, emission)
    y = rng.normal(size=(8, 1))
    result = filter_series(model, Observations(y[:-1]), METHOD)
    ahead = forecast(model, result, steps=1)
    after = filter_series(
        model, Observations(y[-1:], t=[7.0]), METHOD, running=result.final
    )
    np.testing.assert_allclose(
        y[-1] - ahead.observation_means[0], after.innovations[0], rtol=1e-12
    )
    np.testing.assert_allclose(
        ahead.observation_covs[0], after.innovation_covs[0], rtol=1e-12
    )


def test_after_a_missing_row_nothing_is_known():
    emission = AutoregressiveEmission([[[[0.9]]]], [[0.1]], [[[0.3]]])
    model = HiddenMarkov([1.0], [[1.0]], emission)
    y = jnp.array([[1.0], [2.0], [jnp.nan]])
    result = filter_series(model, Observations(y), METHOD)
    ahead = forecast(model, result, steps=3)
    assert np.isinf(np.asarray(ahead.observation_covs)).all()
    assert np.isfinite(np.asarray(ahead.observation_means)).all()
