"""Every form of the exact filter: one answer, whichever road it takes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from statsmodels.datasets import nile as nile_data
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from slipstate.assimilate import (
    ConstantGainKalman,
    FactorState,
    InformationKalman,
    Kalman,
    Observations,
    ParallelKalman,
    SquareRootKalman,
    filter_series,
    smooth_series,
)
from slipstate.ground.solution import Outcome
from slipstate.systems import LinearGaussian

SEQUENTIAL = Kalman()
FORMS = [
    SquareRootKalman(),
    InformationKalman(),
    ConstantGainKalman(chunk=8),
    ParallelKalman(block=7),
]


def _form(method):
    return type(method).__name__


def _covariance(rng, n):
    root = rng.normal(size=(n, n))
    return root @ root.T / n + 0.1 * np.eye(n)


def matrices(seed, n, p):
    rng = np.random.default_rng(seed)
    F = 0.95 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = rng.normal(size=(p, n))
    m0, P0 = rng.normal(size=n), _covariance(rng, n)
    return m0, P0, F, _covariance(rng, n), H, _covariance(rng, p)


def series(seed, rows, p, missing=0.0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, p)).cumsum(axis=0) * 0.3
    y[rng.uniform(size=y.shape) < missing] = np.nan
    return y


def everything_agrees(got, want, tolerance):
    for name in ("means", "covs"):
        for one, other in ((got, want), (got.filter, want.filter)):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=tolerance, atol=tolerance
            )
    for name in (
        "predicted_means",
        "predicted_covs",
        "innovations",
        "innovation_covs",
        "step_log_likelihoods",
    ):
        np.testing.assert_allclose(
            getattr(got.filter, name),
            getattr(want.filter, name),
            rtol=tolerance,
            atol=tolerance,
        )


@pytest.mark.parametrize("method", FORMS, ids=_form)
def test_every_number_is_that_of_the_scalar_form(method):
    """Partial rows and empty ones; long enough for a gain to settle between them."""
    model = LinearGaussian(*matrices(3, 3, 2))
    y = series(8, 60, 2)
    y[[4, 5, 30], :] = np.nan
    y[10:14, 0] = np.nan
    want = smooth_series(model, Observations(y))
    got = smooth_series(model, Observations(y), method)
    everything_agrees(got, want, 1e-9)
    assert got.filter.outcome == Outcome.successful


@pytest.fixture(scope="module")
def nile():
    data: Any = nile_data.load_pandas().data
    return data["volume"].to_numpy()[:, None]


def _local_level(noise, step):
    one = np.ones((1, 1))
    return LinearGaussian(
        [0.0], 0 * one, one, step * one, one, noise * one, diffuse=one
    )


@pytest.mark.parametrize("method", FORMS, ids=_form)
def test_nile_with_an_exactly_diffuse_start(method, nile):
    model = _local_level(15098.5, 1469.18)
    got = smooth_series(model, Observations(nile), method)
    np.testing.assert_allclose(got.log_likelihood, -633.46456, atol=5e-6)
    table = [1111.668, 1110.858, 1105.266]
    np.testing.assert_allclose(got.means[:3, 0], table, atol=1e-3)
    gaps = nile.copy()
    gaps[20:40] = gaps[60:80] = np.nan  # 1891-1910 and 1931-1950
    model = _local_level(15099.0, 1469.1)
    got = smooth_series(model, Observations(gaps), method)
    np.testing.assert_allclose(got.log_likelihood, -381.506001, atol=1e-6)
    np.testing.assert_allclose(got.means[29, 0], 903.4211, atol=1e-4)
    np.testing.assert_allclose(got.covs[29, 0, 0], 9715.005, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", FORMS, ids=_form)
def test_two_unknown_directions_are_seen_one_at_a_time(method, nile):
    F, H = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    Q, R = np.diag([1469.0, 30.0]), np.array([[15099.0]])
    y = nile.copy()
    y[[1, 2, 7]] = np.nan
    zero = np.zeros((2, 2))
    model = LinearGaussian([0, 0], zero, F, Q, H, R, diffuse=np.eye(2))
    want = smooth_series(model, Observations(y))
    got = smooth_series(model, Observations(y), method)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-11)
    np.testing.assert_allclose(got.means, want.means, rtol=1e-8)
    np.testing.assert_allclose(got.covs, want.covs, rtol=1e-7, atol=1e-6)
    assert np.isinf(got.filter.covs[0]).any()


@pytest.mark.slow
@pytest.mark.parametrize("method", [Kalman(), *FORMS], ids=_form)
@pytest.mark.parametrize(("n", "p"), [(4, 2), (32, 16)])
def test_agrees_with_statsmodels_over_ten_thousand_rows(method, n, p):
    m0, P0, F, Q, H, R = matrices(11, n, p)
    if isinstance(method, ConstantGainKalman | ParallelKalman):
        method = type(method)()
    for missing in (0.0, 0.3):
        y = series(2, 10_000, p, missing)
        peer: Any = KalmanSmoother(p, n, tolerance=0.0)
        peer.bind(y.copy())
        peer["design"], peer["transition"], peer["selection"] = H, F, np.eye(n)
        peer["obs_cov"], peer["state_cov"] = R, Q
        peer.initialize_known(m0, P0)
        want: Any = peer.smooth()
        model = LinearGaussian(m0, P0, F, Q, H, R)
        got = smooth_series(model, Observations(y), method, cov="none")
        ll = want.llf_obs.sum()
        np.testing.assert_allclose(got.log_likelihood, ll, rtol=1e-9)
        states = want.smoothed_state.T
        np.testing.assert_allclose(got.means, states, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", FORMS[:2], ids=_form)
def test_noise_free_directions_need_no_jitter(method):
    """Semi-definite P0 and Q: a constant, its double, and a walk beside them."""
    F, Q = np.eye(3), np.diag([0.0, 0.0, 0.3])
    P0 = np.zeros((3, 3))
    P0[:2, :2] = [[1.0, 2.0], [2.0, 4.0]]
    H, R = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.eye(2)
    y = series(1, 60, 2)
    model, data = LinearGaussian(np.zeros(3), P0, F, Q, H, R), Observations(y)
    got, want = smooth_series(model, data, method), smooth_series(model, data)
    everything_agrees(got, want, 1e-10)
    np.testing.assert_allclose(got.means[:, 1], 2 * got.means[:, 0], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", FORMS, ids=_form)
def test_gradients_are_those_of_the_scalar_form(method):
    """With masks, and with a direction without noise, whose factor has a zero."""
    m0, P0, F, Q, H, R = matrices(3, 3, 2)
    Q = np.diag([0.5, 0.0, 0.2])
    y = series(8, 60, 2, 0.3)

    def height(scale, method):
        model = LinearGaussian(m0, scale * P0, F, scale * Q, H, R / scale)
        return filter_series(model, Observations(y), method).log_likelihood

    got = jax.grad(height)(jnp.ones(()), method)
    want = jax.grad(height)(jnp.ones(()), SEQUENTIAL)
    np.testing.assert_allclose(got, want, rtol=1e-7)
    assert np.isfinite(got)


def test_a_row_that_cannot_be_is_reported_by_factors_too():
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    model = LinearGaussian([0.0], zero, one, zero, one, zero)
    data = Observations(np.array([[np.nan], [1.0]]))
    for method in (SquareRootKalman(), InformationKalman()):
        got = filter_series(model, data, method)
        assert got.outcome != Outcome.successful
        assert int(got.first_failure) == 1


def test_factors_are_carried_and_not_covariances():
    model = LinearGaussian(*matrices(3, 3, 2))
    got = filter_series(model, Observations(series(8, 60, 2)), SquareRootKalman())
    assert isinstance(got.filtered, FactorState)
    factors = np.asarray(got.filtered.factor)
    assert (np.triu(factors, 1) == 0).all()
    np.testing.assert_allclose(factors @ factors.swapaxes(1, 2), got.covs, atol=1e-14)


@pytest.mark.parametrize("correlated", [False, True])
def test_many_outputs_enter_by_their_information(correlated):
    """A hundred sensors of two states, some of them silent."""
    rng = np.random.default_rng(5)
    p = 100
    H, F = rng.normal(size=(p, 2)), 0.9 * np.eye(2)
    R = np.diag(rng.uniform(0.5, 2.0, p))
    if correlated:
        R = R + 0.3 * np.ones((p, p))
    model = LinearGaussian(np.zeros(2), np.eye(2), F, 0.1 * np.eye(2), H, R)
    y = series(6, 8, p, 0.4)
    y[3] = np.nan
    got = filter_series(model, Observations(y), InformationKalman())
    want = filter_series(model, Observations(y))
    np.testing.assert_allclose(got.means, want.means, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got.covs, want.covs, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(
        got.step_log_likelihoods, want.step_log_likelihoods, rtol=1e-10
    )
