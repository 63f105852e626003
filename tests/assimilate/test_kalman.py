"""The exact filter and smoother against slow, obvious twins and known numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm
from statsmodels.datasets import nile as nile_data
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from slipstate.assimilate import (
    Kalman,
    KalmanInfo,
    Observations,
    StudentT,
    filter_series,
    smooth_series,
)
from slipstate.ground.errors import MethodError
from slipstate.ground.solution import Outcome
from slipstate.systems import (
    AbstractObservation,
    Gaussian,
    LinearGaussian,
    LinearTransition,
    StateSpaceModel,
)


def _covariance(rng, n):
    root = rng.normal(size=(n, n))
    return root @ root.T / n + 0.1 * np.eye(n)


def _matrices(seed, n, p):
    rng = np.random.default_rng(seed)
    F = 0.95 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = rng.normal(size=(p, n))
    m0, P0 = rng.normal(size=n), _covariance(rng, n)
    return m0, P0, F, _covariance(rng, n), H, _covariance(rng, p)


def _data(seed, rows, p, missing=0.0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, p)).cumsum(axis=0) * 0.3
    y[rng.uniform(size=y.shape) < missing] = np.nan
    return y


def _loop(m, P, F, Q, H, R, y):
    """The textbook: one row at a time, observed components selected by indexing."""
    out = {"means": [], "covs": [], "ll": [], "pm": [], "pP": []}
    for k, row in enumerate(y):
        if k:
            m, P = F @ m, F @ P @ F.T + Q
        out["pm"].append(m)
        out["pP"].append(P)
        seen = ~np.isnan(row)
        h, v = H[seen], row[seen] - H[seen] @ m
        S = h @ P @ h.T + R[np.ix_(seen, seen)]
        K = np.linalg.solve(S, h @ P).T if seen.any() else np.zeros((len(m), 0))
        m, P = m + K @ v, P - K @ S @ K.T
        quad = v @ np.linalg.solve(S, v) if seen.any() else 0.0
        out["ll"].append(
            -0.5 * (quad + np.linalg.slogdet(2 * np.pi * S)[1] if seen.any() else 0.0)
        )
        out["means"].append(m)
        out["covs"].append(P)
    return {name: np.array(values) for name, values in out.items()}


@pytest.mark.parametrize(("n", "p"), [(1, 1), (4, 2), (3, 5), (10, 9)])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_the_filter_is_the_textbook_loop(n, p, missing):
    matrices = _matrices(n + p, n, p)
    y = _data(3, 40, p, missing)
    got = filter_series(LinearGaussian(*matrices), Observations(y))
    want = _loop(*matrices, y)
    np.testing.assert_allclose(got.means, want["means"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(got.covs, want["covs"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(got.predicted_means, want["pm"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(got.predicted_covs, want["pP"], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(got.step_log_likelihoods, want["ll"], rtol=1e-10)
    H, R = matrices[4], matrices[5]
    S = H @ want["pP"] @ H.T + R
    np.testing.assert_allclose(got.innovation_covs, S, rtol=1e-10, atol=1e-10)
    residual = np.where(np.isnan(y), 0.0, y - want["pm"] @ H.T)
    np.testing.assert_allclose(got.innovations, residual, rtol=1e-10, atol=1e-10)
    assert got.outcome == Outcome.successful


def _dense(m0, P0, F, Q, H, R, y):
    """All states and observations as one Gaussian vector, conditioned once."""
    rows, n = len(y), len(m0)
    mean, cov = np.zeros((rows, n)), np.zeros((rows, n, rows, n))
    mean[0], cov[0, :, 0, :] = m0, P0
    for k in range(1, rows):
        mean[k] = F @ mean[k - 1]
        for j in range(k):
            cov[k, :, j, :] = F @ cov[k - 1, :, j, :]
            cov[j, :, k, :] = cov[k, :, j, :].T
        cov[k, :, k, :] = F @ cov[k - 1, :, k - 1, :] @ F.T + Q
    big = cov.reshape(rows * n, rows * n)
    seen = ~np.isnan(y).ravel()
    G = np.kron(np.eye(rows), H)[seen]
    S = G @ big @ G.T + np.kron(np.eye(rows), R)[np.ix_(seen, seen)]
    v = y.ravel()[seen] - G @ mean.ravel()
    gain = np.linalg.solve(S, G @ big).T
    states = (mean.ravel() + gain @ v).reshape(rows, n)
    after = (big - gain @ G @ big).reshape(rows, n, rows, n)
    ll = -0.5 * (v @ np.linalg.solve(S, v) + np.linalg.slogdet(2 * np.pi * S)[1])
    return states, np.array([after[k, :, k, :] for k in range(rows)]), ll


@pytest.mark.parametrize("missing", [0.0, 0.5])
@pytest.mark.parametrize(("n", "p"), [(1, 1), (3, 2), (9, 2)])
def test_the_smoother_is_one_joint_conditioning(n, p, missing):
    matrices = _matrices(5, n, p)
    y = _data(8, 15, p, missing)
    got = smooth_series(LinearGaussian(*matrices), Observations(y))
    means, covs, ll = _dense(*matrices, y)
    np.testing.assert_allclose(got.means, means, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got.covs, covs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got.log_likelihood, ll, rtol=1e-11)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_agrees_with_statsmodels(missing):
    n, p, rows = 4, 2, 300
    m0, P0, F, Q, H, R = _matrices(11, n, p)
    y = _data(2, rows, p, missing)
    peer: Any = KalmanSmoother(p, n, tolerance=0.0)
    peer.bind(y.copy())
    peer["design"], peer["transition"], peer["selection"] = H, F, np.eye(n)
    peer["obs_cov"], peer["state_cov"] = R, Q
    peer.initialize_known(m0, P0)
    want: Any = peer.smooth()
    got = smooth_series(LinearGaussian(m0, P0, F, Q, H, R), Observations(y))
    ll = want.llf_obs.sum()
    np.testing.assert_allclose(got.log_likelihood, ll, rtol=1e-9)
    np.testing.assert_allclose(got.means, want.smoothed_state.T, rtol=1e-9, atol=1e-9)
    covs = np.moveaxis(want.smoothed_state_cov, -1, 0)
    np.testing.assert_allclose(got.covs, covs, rtol=1e-9, atol=1e-9)


def test_known_scores_of_a_constant_velocity_track():
    """Two independent libraries give -1762.08318813, .548666 and .297818 here."""
    rng, rows, dt = np.random.default_rng(0), 1000, 0.1
    eye = np.eye(2)
    F = np.kron([[1.0, dt], [0.0, 1.0]], eye)  # positions first, then velocities
    Q = np.kron([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]], eye)
    H, R = np.kron([[1.0, 0.0]], eye), 0.25 * eye
    root = np.linalg.cholesky(Q)
    x, states, y = rng.standard_normal(4), [], []
    for k in range(rows):
        x = F @ x + root @ rng.standard_normal(4) if k else x
        states.append(x)
        y.append(H @ x + 0.5 * rng.standard_normal(2))
    model = LinearGaussian(np.zeros(4), np.eye(4), F, Q, H, R)
    got = smooth_series(model, Observations(np.array(y)))
    np.testing.assert_allclose(got.log_likelihood, -1762.08318813, atol=5e-9)
    for means, rmse in ((got.filter.means, 0.548666), (got.means, 0.297818)):
        error = np.asarray(means) - np.array(states)
        np.testing.assert_allclose(np.sqrt(np.mean(error**2)), rmse, atol=5e-7)


@pytest.fixture(scope="module")
def nile():
    data: Any = nile_data.load_pandas().data
    return data["volume"].to_numpy()[:, None]


def _local_level(noise, step):
    one = np.ones((1, 1))
    return LinearGaussian(
        [0.0], 0 * one, one, step * one, one, noise * one, diffuse=one
    )


def test_nile_with_an_exactly_diffuse_start(nile):
    got = smooth_series(_local_level(15098.5, 1469.18), Observations(nile))
    np.testing.assert_allclose(got.log_likelihood, -633.46456, atol=5e-6)
    levels = got.means[:, 0]
    table = [1111.668, 1110.858, 1105.266]
    np.testing.assert_allclose(levels[:3], table, atol=1e-3)
    np.testing.assert_allclose(levels[-1], 798.3703, atol=4e-3)
    got = smooth_series(_local_level(15099.0, 1469.1), Observations(nile))
    np.testing.assert_allclose(got.log_likelihood, -633.4645636, atol=1e-7)
    np.testing.assert_allclose(got.means[-1, 0], 798.3703, atol=1e-4)


def test_nile_with_two_gaps_of_twenty_years(nile):
    y = nile.copy()
    y[20:40] = np.nan  # 1891-1910
    y[60:80] = np.nan  # 1931-1950
    got = smooth_series(_local_level(15099.0, 1469.1), Observations(y))
    np.testing.assert_allclose(got.log_likelihood, -381.506001, atol=1e-6)
    np.testing.assert_allclose(got.means[29, 0], 903.4211, atol=1e-4)
    np.testing.assert_allclose(got.covs[29, 0, 0], 9715.005, atol=1e-3)


def test_the_diffuse_start_is_the_limit_of_a_wide_one(nile):
    """Two unknown directions, seen one at a time; the wide prior loses digits."""
    F, H = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    Q, R = np.diag([1469.0, 30.0]), np.array([[15099.0]])
    y = nile.copy()
    y[[1, 2, 7]] = np.nan
    data = Observations(y)
    exact = smooth_series(
        LinearGaussian([0, 0], np.zeros((2, 2)), F, Q, H, R, diffuse=np.eye(2)), data
    )
    kappa = 1e10
    wide = smooth_series(LinearGaussian([0, 0], kappa * np.eye(2), F, Q, H, R), data)
    np.testing.assert_allclose(exact.means, wide.means, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(exact.covs, wide.covs, rtol=1e-4, atol=1e-1)
    np.testing.assert_allclose(
        exact.log_likelihood, wide.log_likelihood + np.log(kappa), atol=1e-4
    )
    assert np.isinf(exact.filter.covs[0]).any()
    assert np.isfinite(exact.covs).all()


def test_the_diffuse_start_agrees_with_statsmodels(nile):
    make: Any = sm.tsa.UnobservedComponents
    peer = make(nile[:, 0], "lltrend", seasonal=4, use_exact_diffuse=True)
    peer.update(np.array([15099.0, 1469.0, 30.0, 200.0]))
    want: Any = peer.ssm.smooth()
    F, H = peer.ssm["transition"], peer.ssm["design"]
    G = peer.ssm["selection"]
    Q, n = G @ peer.ssm["state_cov"] @ G.T, F.shape[0]
    model = LinearGaussian(
        np.zeros(n), np.zeros((n, n)), F, Q, H, peer.ssm["obs_cov"], diffuse=np.eye(n)
    )
    got = smooth_series(model, Observations(nile))
    np.testing.assert_allclose(got.log_likelihood, want.llf_obs.sum(), rtol=1e-9)
    np.testing.assert_allclose(got.means, want.smoothed_state.T, rtol=1e-7, atol=1e-6)
    covs = np.moveaxis(want.smoothed_state_cov, -1, 0)
    np.testing.assert_allclose(got.covs, covs, rtol=1e-6, atol=1e-4)


def test_states_without_any_noise_are_smoothed_without_an_inverse():
    """A constant and its known multiple: the predicted covariance is singular."""
    F, Q = np.eye(2), np.zeros((2, 2))
    P0 = np.array([[1.0, 2.0], [2.0, 4.0]])
    H, R = np.array([[1.0, 0.0]]), np.eye(1)
    y = _data(1, 30, 1)
    got = smooth_series(LinearGaussian([0, 0], P0, F, Q, H, R), Observations(y))
    want = y.sum() / (len(y) + 1.0)
    np.testing.assert_allclose(
        got.means, np.tile([want, 2 * want], (30, 1)), rtol=1e-10
    )
    var = 1.0 / (len(y) + 1.0)
    np.testing.assert_allclose(got.covs[0], var * P0, rtol=1e-9, atol=1e-12)


def test_singular_observation_noise_is_an_exact_observation():
    m0, P0, F, Q, H, _ = _matrices(3, 3, 2)
    R = np.diag([0.0, 0.5])
    y = _data(4, 20, 2)
    got = filter_series(LinearGaussian(m0, P0, F, Q, H, R), Observations(y))
    np.testing.assert_allclose(got.means @ H[0], y[:, 0], atol=1e-10)
    assert got.outcome == Outcome.successful


def test_a_row_that_cannot_be_is_reported_and_not_repaired():
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    model = LinearGaussian([0.0], zero, one, zero, one, zero)
    got = filter_series(model, Observations(np.array([[np.nan], [np.nan], [1.0]])))
    assert got.outcome == Outcome.singular_innovation
    assert int(got.first_failure) == 2


def test_gradients_are_finite_with_any_mask():
    m0, P0, F, Q, H, R = _matrices(3, 3, 2)
    y = np.array(_data(4, 6, 2))
    masks = np.random.default_rng(0).uniform(size=(6, 6, 2)) < 0.5
    masks[0], masks[1] = False, True
    y[2] = np.nan

    def height(scale, y, mask):
        model = LinearGaussian(m0, scale * P0, F, scale * Q, H, scale * R)
        return smooth_series(model, Observations(y, mask=mask)).log_likelihood

    for mask in masks & ~np.isnan(y):
        slope, dy = jax.grad(height, argnums=(0, 1))(jnp.ones(()), jnp.array(y), mask)
        assert np.isfinite(slope)
        assert np.isfinite(dy[mask]).all()
        assert (np.asarray(dy)[~mask] == 0).all()
        step = 1e-6
        ends = [height(1.0 + s, jnp.array(y), mask) for s in (-step, step)]
        np.testing.assert_allclose(slope, (ends[1] - ends[0]) / (2 * step), rtol=1e-6)


def test_what_stands_at_a_masked_entry_never_matters():
    matrices = _matrices(3, 3, 2)
    y = _data(4, 12, 2)
    mask = np.random.default_rng(1).uniform(size=y.shape) < 0.6
    model = LinearGaussian(*matrices)
    results = []
    for filler in (np.nan, 0.0, 1e300, -np.inf):
        values = np.where(mask, y, filler)
        given = None if np.isnan(filler) else mask
        results.append(filter_series(model, Observations(values, mask=given)))
    for other in results[1:]:
        np.testing.assert_array_equal(other.means, results[0].means)
        np.testing.assert_array_equal(
            other.step_log_likelihoods, results[0].step_log_likelihoods
        )


def test_an_outlier_neither_moves_a_robust_filter_nor_decides_its_likelihood():
    model = _local_level(1.0, 0.01)
    y = np.random.default_rng(0).normal(size=(200, 1))
    spoiled = y.copy()
    spoiled[150] = 200.0
    robust = Kalman(robust=StudentT(4.0))
    clean, hit = (filter_series(model, Observations(x), robust) for x in (y, spoiled))
    assert abs(hit.means[150, 0] - clean.predicted_means[150, 0]) < 0.01
    assert abs(hit.means[-1, 0] - clean.means[-1, 0]) < 0.05
    assert hit.step_log_likelihoods[150] > -30.0
    assert isinstance(hit.info, KalmanInfo)
    assert float(hit.info.scalars.weight[150, 0]) < 1e-3
    plain = filter_series(model, Observations(spoiled))
    assert plain.means[150, 0] > 10.0
    assert plain.step_log_likelihoods[150] < -1000.0


def test_many_degrees_of_freedom_are_gaussian_noise():
    matrices = _matrices(3, 3, 2)
    data = Observations(_data(4, 30, 2, 0.2))
    model = LinearGaussian(*matrices)
    want = filter_series(model, data)
    got = filter_series(model, data, Kalman(robust=StudentT(1e9)))
    np.testing.assert_allclose(got.means, want.means, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got.log_likelihood, want.log_likelihood, rtol=1e-6)


def test_a_nonlinear_model_is_refused_with_the_name_of_a_method_that_fits():
    class Bent(AbstractObservation):
        units: tuple[str, ...] = ("1",)

        def predict(self, x, u):
            return x**2

        def noise_factor(self):
            return jnp.eye(1)

    model = StateSpaceModel(
        Gaussian(jnp.zeros(1), jnp.eye(1)),
        LinearTransition(np.eye(1), np.eye(1)),
        Bent(),
    )
    with pytest.raises(MethodError, match="EnsembleTransformKalman"):
        filter_series(model, Observations(np.zeros((3, 1))))
