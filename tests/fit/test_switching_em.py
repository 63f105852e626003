"""The fit of switching models, against Kalman, enumeration and known truth."""

import itertools

import numpy as np
import pytest
import scipy.special

from slipstate.assimilate import Kalman, Observations, filter_series
from slipstate.fit import fit_switching
from slipstate.ground.errors import InputError
from slipstate.ground.solution import Outcome
from slipstate.systems import LinearGaussian, SwitchingLinearGaussian

F = np.array([[[0.9]], [[0.6]]])
Q = np.array([[[0.1]], [[0.2]]])
b = np.array([[0.0], [1.2]])
H, R = np.array([[1.0], [0.5]]), np.array([[0.1, 0.02], [0.02, 0.2]])
SWITCH = np.array([[0.95, 0.05], [0.1, 0.9]])
PROBS = np.array([0.6, 0.4])


def model(F=F, Q=Q, b=b, R=R, switch=SWITCH, probs=PROBS):
    return SwitchingLinearGaussian(np.zeros(1), np.eye(1), probs, F, Q, H, R, switch, b)


def draw(rows, seed=0):
    """Return observations with gaps, and the modes behind them."""
    rng = np.random.default_rng(seed)
    mode, x, modes, y = 0, 0.0, [], []
    for k in range(rows):
        if k:
            mode = int(rng.uniform() < SWITCH[mode, 1])
            noise = np.sqrt(Q[mode, 0, 0]) * rng.normal()
            x = F[mode, 0, 0] * x + b[mode, 0] + noise
        modes.append(mode)
        y.append(H[:, 0] * x + np.linalg.cholesky(R) @ rng.normal(size=2))
    y = np.array(y)
    y[rng.uniform(size=y.shape) < 0.1] = np.nan
    return y, np.array(modes)


def exact(y):
    """Return the log-likelihood by all pasts, each a dense Gaussian."""
    rows, logs = len(y), []
    seen = ~np.isnan(y).ravel()
    for path in itertools.product(range(2), repeat=rows):
        log = np.log(PROBS[path[0]])
        mean, cov = np.zeros(rows), np.zeros((rows, rows))
        cov[0, 0] = 1.0
        for k in range(1, rows):
            f = F[path[k], 0, 0]
            log += np.log(SWITCH[path[k - 1], path[k]])
            mean[k] = f * mean[k - 1] + b[path[k], 0]
            cov[k, :k] = cov[:k, k] = f * cov[k - 1, :k]
            cov[k, k] = f * f * cov[k - 1, k - 1] + Q[path[k], 0, 0]
        whole = np.kron(cov, H @ H.T) + np.kron(np.eye(rows), R)
        S = whole[np.ix_(seen, seen)]
        apart = y.ravel()[seen] - np.kron(mean, H[:, 0])[seen]
        size = np.linalg.slogdet(2.0 * np.pi * S)[1]
        logs.append(log - 0.5 * (size + apart @ np.linalg.solve(S, apart)))
    return scipy.special.logsumexp(logs)


@pytest.mark.slow
def test_with_one_mode_the_bound_is_the_likelihood_and_rises():
    y = Observations(draw(60)[0])
    start = model(F[:1], Q[:1], b[:1], R, np.ones((1, 1)), np.ones(1))
    fitted = fit_switching(start, y, max_steps=6, rtol=0.0)
    plain = LinearGaussian(np.zeros(1), np.eye(1), F[0], Q[0], H, R)
    first = filter_series(plain, y, Kalman()).log_likelihood
    np.testing.assert_allclose(fitted.info["bounds"][0], first, rtol=1e-12)
    assert (np.diff(fitted.info["bounds"]) > 0).all()
    assert fitted.outcome == Outcome.not_converged


@pytest.mark.slow
def test_the_bound_is_below_the_likelihood_of_all_pasts():
    y = draw(7)[0]
    fitted = fit_switching(model(), Observations(y), max_steps=1, sweeps=20)
    gap = exact(y) - fitted.info["bound"]
    assert 0.0 < gap < 1.0


def test_modes_and_numbers_are_found_from_a_poor_start():
    y, modes = draw(400)
    start = model(
        F=np.array([[[0.5]], [[0.5]]]),
        Q=np.array([[[0.5]], [[0.5]]]),
        b=np.array([[-0.3], [0.8]]),
        R=0.5 * np.eye(2),
        switch=np.array([[0.8, 0.2], [0.2, 0.8]]),
    )
    fitted = fit_switching(start, Observations(y))
    assert fitted.outcome == Outcome.successful
    bounds = fitted.info["bounds"]
    assert (np.diff(bounds) > -1e-8 * np.abs(bounds[:-1])).all()
    found = np.asarray(fitted.info["mode_probs"])[:, 1] > 0.5
    assert (found == modes).mean() > 0.9
    value = fitted.value
    np.testing.assert_allclose(value.switch, SWITCH, atol=0.07)
    np.testing.assert_allclose(value.observation.R, R, atol=0.05)
    for mode, transition in enumerate(value.transitions):
        np.testing.assert_allclose(transition.F, F[mode], atol=0.15)
        np.testing.assert_allclose(transition.b, b[mode], atol=0.3)
    truth = fit_switching(model(), Observations(y), max_steps=1)
    assert fitted.info["bound"] > truth.info["bound"]


@pytest.mark.slow
def test_the_best_of_several_starts_is_kept(key):
    y = Observations(draw(60)[0])
    fitted = fit_switching(model(), y, max_steps=5, restarts=2, key=key)
    assert len(fitted.info["starts"]) == 3
    assert fitted.info["bound"] == fitted.info["starts"].max()


def test_what_does_not_fit_is_named():
    y = Observations(draw(10)[0])
    singular = model(Q=np.array([[[0.0]], [[1.0]]]))
    with pytest.raises(InputError, match=r"`Q\[0\]` must be positive definite"):
        fit_switching(singular, y)
    with pytest.raises(InputError, match="`key` must be a random key"):
        fit_switching(model(), y, restarts=1)
    with pytest.raises(InputError, match="`observations` must hold at least 3 rows"):
        fit_switching(model(), y[:2])
