"""Drawn paths against the dense posterior of a short series."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    Observations,
    filter_series,
    sample_posterior,
    smooth_series,
)
from slipstate.assimilate.simulation import _steps, paths
from slipstate.ground.errors import InputError
from slipstate.systems import LinearGaussian

ROWS, STATE = 6, 3


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(4)
    F = 0.9 * np.linalg.qr(rng.normal(size=(STATE, STATE)))[0]
    H, Q = rng.normal(size=(2, STATE)), np.diag([0.5, 0.0, 0.2])
    P0 = np.diag([1.0, 2.0, 0.0])
    matrices = (rng.normal(size=STATE), P0, F, Q, H, 0.3 * np.eye(2))
    y = rng.normal(size=(ROWS, 2))
    y[2, 0] = y[4] = np.nan
    return matrices, y


def dense(matrices, y):
    """All states as one Gaussian vector, conditioned once; noise may be singular."""
    m0, P0, F, Q, H, R = matrices
    move = np.eye(ROWS * STATE)
    for k in range(1, ROWS):
        rows = slice(k * STATE, (k + 1) * STATE)
        move[rows] += F @ move[(k - 1) * STATE : k * STATE]
    noise = np.kron(np.eye(ROWS), Q)
    noise[:STATE, :STATE] = P0
    cov = move @ noise @ move.T
    mean = move[:, :STATE] @ m0
    seen = ~np.isnan(y).ravel()
    G = np.kron(np.eye(ROWS), H)[seen]
    S = G @ cov @ G.T + np.kron(np.eye(ROWS), R)[np.ix_(seen, seen)]
    gain = np.linalg.solve(S, G @ cov).T
    return mean + gain @ (y.ravel()[seen] - G @ mean), cov - gain @ G @ cov


def test_a_path_is_the_exact_affine_map_of_its_noise(problem):
    """Fed with zeros and unit vectors it gives the posterior's mean and covariance."""
    matrices, y = problem
    model, data = LinearGaussian(*matrices), Observations(y)
    done = filter_series(model, data)
    steps = _steps(model, data, done.predicted, done.filtered)
    size = ROWS * STATE
    units = jnp.concatenate([jnp.zeros((size, 1)), jnp.eye(size)], axis=1)
    made = paths(steps, units.reshape(ROWS, STATE, size + 1)).reshape(size, -1)
    mean, cov = dense(matrices, y)
    np.testing.assert_allclose(made[:, 0], mean, atol=1e-12)
    root = np.asarray(made[:, 1:] - made[:, :1])
    np.testing.assert_allclose(root @ root.T, cov, atol=1e-12)


def test_the_moments_of_many_draws_are_the_smoothers(problem, key):
    matrices, y = problem
    draws = 4000
    got = sample_posterior(
        LinearGaussian(*matrices), Observations(y), draws=draws, key=key
    )
    assert got.shape == (draws, ROWS, STATE)
    mean, cov = dense(matrices, y)
    flat = np.asarray(got).reshape(draws, -1)
    sd = np.sqrt(np.maximum(np.diagonal(cov), 0))
    apart = flat.mean(axis=0) - mean
    assert (np.abs(apart) <= 4 * sd / np.sqrt(draws) + 1e-12).all()
    error = np.cov(flat.T) - cov
    scale = np.sqrt((cov**2 + np.outer(sd, sd) ** 2) / draws)
    assert (np.abs(error) <= 5 * scale + 1e-12).all()


def test_an_exactly_diffuse_start_is_drawn_from_what_the_rows_say(key):
    one = np.ones((1, 1))
    model = LinearGaussian([0.0], 0 * one, one, 0 * one, one, one, diffuse=one)
    y = np.array([[1.0], [3.0], [5.0]])
    got = sample_posterior(model, Observations(y), draws=5000, key=key)
    smoothed = smooth_series(model, Observations(y))
    np.testing.assert_allclose(smoothed.means[:, 0], 3.0, atol=1e-12)
    # a constant without noise: one number, of mean 3 and variance 1/3
    np.testing.assert_allclose(got, got[:, :1] + jnp.zeros((1, 3, 1)), atol=1e-12)
    assert abs(got.mean() - 3.0) < 4 * np.sqrt(1 / 3 / 5000)
    assert abs(got[:, 0, 0].var() - 1 / 3) < 5 * np.sqrt(2 / 9 / 5000)


def test_other_keys_give_other_paths_and_no_draws_are_refused(problem, key):
    matrices, y = problem
    model, data = LinearGaussian(*matrices), Observations(y)
    one = sample_posterior(model, data, draws=2, key=key)
    again = sample_posterior(model, data, draws=2, key=key)
    other = sample_posterior(model, data, draws=2, key=jax.random.fold_in(key, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(np.asarray(one - other)[:, :, 0]).min() > 0
    with pytest.raises(InputError, match="`draws`"):
        sample_posterior(model, data, draws=0, key=key)
