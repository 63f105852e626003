"""Where covariances settle, and what happens when they are pushed away again."""

import numpy as np
import pytest
import scipy.linalg

from slipstate.assimilate import (
    ConstantGainKalman,
    Observations,
    filter_series,
    smooth_series,
)
from slipstate.assimilate.settled import filter_limit, smoother_limit
from slipstate.systems import LinearGaussian

ROWS = 120


def matrices(n=3, p=2):
    rng = np.random.default_rng(7)
    F = 0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = rng.normal(size=(p, n))
    return np.ones(n), 5 * np.eye(n), F, 0.2 * np.eye(n), H, 0.3 * np.eye(p)


@pytest.fixture(scope="module")
def model():
    return LinearGaussian(*matrices())


def series(rows=ROWS):
    return np.random.default_rng(8).normal(size=(rows, 2))


def shared(covs, row=-1):
    """Return at which rows the covariance is that row's to the last bit."""
    covs = np.asarray(covs)
    return (covs == covs[row]).all(axis=(1, 2))


@pytest.mark.slow
def test_the_limit_is_the_riccati_equations(model):
    _, _, F, Q, H, R = matrices()
    limit = filter_limit(model, 1.0, 1000, 1e-10)
    want = scipy.linalg.solve_discrete_are(F.T, H.T, Q, R)
    assert bool(limit.settled)
    np.testing.assert_allclose(limit.predicted, want, rtol=1e-11, atol=1e-13)
    K = want @ H.T @ np.linalg.inv(H @ want @ H.T + R)
    np.testing.assert_allclose(limit.gain, K, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(limit.closed, F - K @ H @ F, rtol=1e-10, atol=1e-12)
    step, smoothed = smoother_limit(model, limit, 1.0, 1000)
    G = np.asarray(step.gain)
    want = scipy.linalg.solve_discrete_lyapunov(G, np.asarray(step.cov))
    np.testing.assert_allclose(smoothed, want, rtol=1e-10, atol=1e-13)


def test_what_is_never_seen_never_settles():
    """A walk that no observation sees: its variance grows for ever."""
    eye = np.eye(2)
    H, R = np.array([[1.0, 0.0]]), np.eye(1)
    model = LinearGaussian(np.zeros(2), eye, eye, eye, H, R)
    assert not bool(filter_limit(model, 1.0, 1000, 1e-10).settled)
    y = series()[:, :1]
    got = smooth_series(model, Observations(y), ConstantGainKalman(chunk=8))
    want = smooth_series(model, Observations(y))
    np.testing.assert_allclose(got.means, want.means, atol=1e-10)
    np.testing.assert_allclose(got.covs, want.covs, rtol=1e-10)


def test_gaps_and_odd_stamps_are_followed_row_by_row(model):
    """Settled before the gap, not in it, settled again after it, forwards and back."""
    y, t = series(), np.arange(ROWS, dtype=float)
    y[60] = np.nan
    t[90:] += 0.5  # this model's steps do not depend on dt, but the method cannot know
    method = ConstantGainKalman(tolerance=1e-6, chunk=8)
    got = smooth_series(model, Observations(y, t=t), method)
    want = smooth_series(model, Observations(y, t=t))
    for one, other in ((got, want), (got.filter, want.filter)):
        np.testing.assert_allclose(one.means, other.means, atol=2e-6)
        np.testing.assert_allclose(one.covs, other.covs, atol=1e-6)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-7)
    same = shared(got.filter.covs)
    assert same[40:56].all()
    assert not same[60:64].any()
    assert same[80:88].all()
    assert not same[:8].any()
    assert shared(got.covs, row=30)[24:32].all()


@pytest.mark.slow
def test_a_tighter_tolerance_is_a_closer_answer(model):
    y = Observations(series())
    want = smooth_series(model, y)
    errors = []
    for tolerance in (1e-2, 1e-5, 1e-12):
        method = ConstantGainKalman(tolerance=tolerance, chunk=8)
        got = smooth_series(model, y, method)
        errors.append(abs(float(got.log_likelihood - want.log_likelihood)))
        # within the tolerance times the deviations, summed over what is left of it
        assert errors[-1] < 10 * tolerance
        assert np.abs(got.means - want.means).max() < 10 * tolerance
    assert errors[-1] < 1e-11


def test_stamps_that_differ_by_rounding_are_equally_spaced(model):
    t = 2000.0 + np.arange(ROWS) / 365.25
    method = ConstantGainKalman(tolerance=1e-6, chunk=8)
    got = filter_series(model, Observations(series(), t=t), method)
    assert shared(got.covs)[40:].all()
