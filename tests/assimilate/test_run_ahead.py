"""Forecasts, drawn paths and scores of one-step predictions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, norm

from slipstate.assimilate import (
    EnsembleTransformKalman,
    InteractingMultipleModel,
    Observations,
    evaluate,
    filter_series,
    forecast,
    init,
    log_prob,
    sample,
    smooth_series,
)
from slipstate.ground.errors import InputError
from slipstate.systems import (
    Diffuse,
    LinearGaussian,
    StateSpaceModel,
    SwitchingLinearGaussian,
    VaryingLinearGaussian,
)

N, P, ROWS = 3, 2, 12
RNG = np.random.default_rng(21)
F = 0.9 * np.linalg.qr(RNG.normal(size=(N, N)))[0]
H = RNG.normal(size=(P, N))
Q, R = 0.3 * np.eye(N), np.array([[0.5, 0.1], [0.1, 0.4]])
MODEL = LinearGaussian(np.ones(N), np.eye(N), F, Q, H, R)
Y = RNG.normal(size=(ROWS, P))
Y[RNG.uniform(size=Y.shape) < 0.2] = np.nan
Y[3] = np.nan


@pytest.fixture(scope="module")
def result():
    return filter_series(MODEL, Observations(Y))


def test_a_forecast_is_the_textbook_loop(result):
    got = forecast(MODEL, result, steps=4)
    mean, cov = np.array(result.means[-1]), np.array(result.covs[-1])
    for k in range(4):
        mean, cov = F @ mean, F @ cov @ F.T + Q
        np.testing.assert_allclose(got.means[k], mean, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(got.covs[k], cov, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(got.observation_means[k], H @ mean, rtol=1e-9)
        spread = H @ cov @ H.T + R
        np.testing.assert_allclose(got.observation_covs[k], spread, rtol=1e-9)
        want = norm.ppf(0.95, H @ mean, np.sqrt(np.diag(spread)))
        np.testing.assert_allclose(got.quantile(0.95)[k], want, rtol=1e-9)
    np.testing.assert_array_equal(got.t, ROWS + np.arange(4.0))
    # a row that is missing is a forecast too
    longer = filter_series(MODEL, Observations(np.vstack([Y, np.full((4, P), np.nan)])))
    np.testing.assert_allclose(got.means, longer.means[-4:], rtol=1e-12, atol=1e-13)
    again = forecast(MODEL, result.final, t=got.t)
    np.testing.assert_array_equal(again.observation_covs, got.observation_covs)


def test_ensembles_and_modes_forecast_too(key, result):
    method = EnsembleTransformKalman(members=400)
    got = filter_series(MODEL, Observations(Y), method, key=key)
    ahead, exact = forecast(MODEL, got, steps=2), forecast(MODEL, result, steps=2)
    np.testing.assert_allclose(
        ahead.observation_means, exact.observation_means, atol=0.25
    )
    np.testing.assert_allclose(ahead.observation_sds, exact.observation_sds, rtol=0.2)


@pytest.mark.slow
def test_modes_forecast_too(result):
    exact = forecast(MODEL, result, steps=2)
    twice = lambda x: np.stack([x, x])
    switching = SwitchingLinearGaussian(
        np.ones(N),
        np.eye(N),
        [0.5, 0.5],
        twice(F),
        twice(Q),
        H,
        R,
        [[0.9, 0.1], [0.3, 0.7]],
    )
    smooth = smooth_series(switching, Observations(Y), InteractingMultipleModel())
    ahead = forecast(switching, smooth, steps=2)
    np.testing.assert_allclose(ahead.observation_covs, exact.observation_covs)
    np.testing.assert_allclose(ahead.probs.sum(axis=1), 1.0)


def test_a_forecast_needs_times_to_come(result):
    with pytest.raises(InputError, match="and not both"):
        forecast(MODEL, result)
    with pytest.raises(InputError, match="and not both"):
        forecast(MODEL, result, [20.0], steps=1)
    with pytest.raises(InputError, match="at least 1"):
        forecast(MODEL, result, steps=0)
    with pytest.raises(InputError, match="nor begin before 11"):
        forecast(MODEL, result, [5.0])
    first = forecast(MODEL, init(MODEL), [5.0])
    np.testing.assert_allclose(first.means[0], np.ones(N))


def test_drawn_paths_have_the_moments_of_the_model(key):
    keys = jax.random.split(key, 4000)
    t = np.arange(3.0)
    drawn = jax.vmap(lambda key: sample(MODEL, t, key=key))(keys)
    mean = np.linalg.matrix_power(F, 2) @ np.ones(N)
    cov = np.eye(N)
    for _ in range(2):
        cov = F @ cov @ F.T + Q
    last = np.asarray(drawn.states[:, 2])
    error = np.abs(last.mean(axis=0) - mean)
    assert (error < 4 * np.sqrt(np.diag(cov) / len(keys))).all()
    np.testing.assert_allclose(np.cov(last.T), cov, atol=0.1)
    residual = (
        np.asarray(drawn.observations[:, 1]) - np.asarray(drawn.states[:, 1]) @ H.T
    )
    np.testing.assert_allclose(np.cov(residual.T), R, atol=0.05)
    assert drawn.modes is None


def test_drawn_modes_follow_their_switch(key):
    offsets = np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    both = lambda x: np.stack([x, x])
    model = SwitchingLinearGaussian(
        np.zeros(N),
        np.eye(N),
        [1.0, 0.0],
        both(0.0 * F),
        both(Q),
        H,
        R,
        [[0.8, 0.2], [0.5, 0.5]],
        offsets,
    )
    path = sample(model, np.arange(2000.0), key=key)
    modes, states = np.asarray(path.modes), np.asarray(path.states)
    assert modes[0] == 0
    np.testing.assert_array_equal(states[1:, 0] > 25.0, modes[1:] == 1)
    moved = modes[1:][modes[:-1] == 0].mean()
    assert abs(moved - 0.2) < 0.05


def test_paths_of_varying_models_and_refusals(key):
    many = np.stack([np.eye(N), 0.0 * np.eye(N), np.eye(N)])
    model = VaryingLinearGaussian(
        np.ones(N), 0.0 * np.eye(N), many, 0.0 * Q, H, 0.0 * R
    )
    path = sample(model, np.arange(3.0), key=key)
    np.testing.assert_array_equal(path.states, [[1.0] * N, [0.0] * N, [0.0] * N])
    with pytest.raises(InputError, match="at least one time"):
        sample(MODEL, np.zeros(0), key=key)
    unknown = Diffuse(jnp.zeros(N), jnp.eye(N), jnp.eye(N))
    improper = StateSpaceModel(unknown, MODEL.transition, MODEL.observation)
    with pytest.raises(InputError, match="cannot be sampled"):
        sample(improper, np.arange(3.0), key=key)


def test_scores_agree_with_a_plain_loop(result):
    got = evaluate(MODEL, Observations(Y), start=2)
    values, squares = [], []
    for k in range(2, ROWS):
        seen = ~np.isnan(Y[k])
        if not seen.any():
            assert np.isnan(got.squares[k - 2])
            continue
        S = np.asarray(result.innovation_covs[k])[np.ix_(seen, seen)]
        v = np.asarray(result.innovations[k])[seen]
        squares.append(v @ np.linalg.solve(S, v))
        values.append(0.5 * (squares[-1] + np.linalg.slogdet(2 * np.pi * S)[1]))
        np.testing.assert_allclose(
            got.pit[k - 2][seen], norm.cdf(v / np.sqrt(np.diag(S))), rtol=1e-10
        )
    count = int((~np.isnan(Y[2:])).sum())
    assert int(got.count) == count
    np.testing.assert_allclose(got.log_score, sum(values) / count, rtol=1e-10)
    np.testing.assert_allclose(got.nis, sum(squares) / count, rtol=1e-10)
    with pytest.raises(InputError, match="a row of the series"):
        evaluate(MODEL, Observations(Y), start=ROWS)
    np.testing.assert_allclose(
        log_prob(MODEL, Observations(Y)), result.log_likelihood, rtol=1e-13
    )


def test_a_right_model_is_calibrated(key):
    path = sample(MODEL, np.arange(2000.0), key=key)
    got = evaluate(MODEL, Observations(path.observations))
    low, high = chi2.ppf([1e-3, 1 - 1e-3], 2 * 2000) / (2 * 2000)
    assert low < float(got.nis) < high
    np.testing.assert_allclose(got.coverage(0.9), 0.9, atol=0.03)
    wide = LinearGaussian(np.ones(N), np.eye(N), F, Q, H, 9.0 * R)
    worse = evaluate(wide, Observations(path.observations))
    assert float(worse.nis) < 0.7
    assert float(worse.log_score) > float(got.log_score)
    assert (np.asarray(worse.mean_crps) > np.asarray(got.mean_crps)).all()
