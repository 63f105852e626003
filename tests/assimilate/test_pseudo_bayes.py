"""The filter of pairs of modes against a loop, every possible past, and Kalman."""

import itertools

import numpy as np
import pytest
import scipy.stats

from slipstate.assimilate import (
    GeneralisedPseudoBayes,
    InteractingMultipleModel,
    Kalman,
    Observations,
    StudentT,
    filter_series,
    smooth_series,
)
from slipstate.ground.errors import MethodError
from slipstate.systems import LinearGaussian, SwitchingLinearGaussian

PAIRS = GeneralisedPseudoBayes()
SWITCH = np.array([[0.9, 0.1], [0.25, 0.75]])
PROBS = np.array([0.7, 0.3])
H = np.array([[1.0, 0.4]])
R = np.array([[0.3]])


def parts(seed=0):
    """Return F, Q, b of two modes that differ in all of them."""
    rng = np.random.default_rng(seed)
    F = (
        np.linalg.qr(rng.normal(size=(2, 2, 2)))[0]
        * np.array([0.95, 0.6])[:, None, None]
    )
    Q = np.stack([0.1 * np.eye(2), 0.4 * np.eye(2) + 0.1])
    return F, Q, np.array([[0.0, 0.0], [1.5, 1.0]])


def model(seed=0):
    F, Q, b = parts(seed)
    return SwitchingLinearGaussian([0.5, -0.2], np.eye(2), PROBS, F, Q, H, R, SWITCH, b)


def series(rows, seed=1):
    y = 1.5 * np.random.default_rng(seed).normal(size=(rows, 1))
    y[3:4] = np.nan
    return y


def move(m, P, mode, seed):
    F, Q, b = (part[mode] for part in parts(seed))
    return F @ m + b, F @ P @ F.T + Q


def look(m, P, y):
    if np.isnan(y).any():
        return m, P, 0.0
    S = H @ P @ H.T + R
    K = P @ H.T / S
    density = scipy.stats.norm.logpdf(y[0], (H @ m)[0], np.sqrt(S[0, 0]))
    return m + K @ (y - H @ m), P - K @ S @ K.T, density


def mix(weights, means, covs):
    mean = sum(w * m for w, m in zip(weights, means))
    cov = sum(
        w * (P + np.outer(m - mean, m - mean)) for w, m, P in zip(weights, means, covs)
    )
    return mean, cov


def by_loops(y, seed=0):
    """Return the likelihood of each row and (probs, means, covs) after it."""
    mu, modes, found, terms = [], [], [], []
    for k, row in enumerate(y):
        pairs = {}
        for j in range(2):
            for i in range(2) if k else [j]:
                if k:
                    weight = mu[i] * SWITCH[i, j]
                    m, P = move(modes[i][0], modes[i][1], j, seed)
                else:
                    weight, m, P = PROBS[j], np.array([0.5, -0.2]), np.eye(2)
                m, P, density = look(m, P, row)
                pairs[i, j] = (weight * np.exp(density), m, P)
        total = sum(weight for weight, _, _ in pairs.values())
        terms.append(np.log(total))
        modes, new = [], []
        for j in range(2):
            own = [pair for (_, to), pair in pairs.items() if to == j]
            weights = np.array([weight for weight, _, _ in own])
            new.append(weights.sum() / total)
            modes.append(mix(weights / weights.sum(), *list(zip(*own))[1:]))
        mu = new
        found.append((mu, [m for m, _ in modes], [P for _, P in modes]))
    return np.array(terms), found


def by_all_paths(y, seed=0):
    """Return the log-likelihood, and mean and mode probabilities after the last row."""
    logs, ends, lasts = [], [], []
    for path in itertools.product(range(2), repeat=len(y)):
        log, m, P = np.log(PROBS[path[0]]), np.array([0.5, -0.2]), np.eye(2)
        for k, mode in enumerate(path):
            if k:
                log += np.log(SWITCH[path[k - 1], mode])
                m, P = move(m, P, mode, seed)
            m, P, density = look(m, P, y[k])
            log += density
        logs.append(log)
        ends.append(path[-1])
        lasts.append((m, P))
    total = np.logaddexp.reduce(logs)
    weights = np.exp(np.array(logs) - total)
    means, covs = zip(*lasts)
    second = weights[np.array(ends) == 1].sum()
    return total, *mix(weights, means, covs), np.array([1.0 - second, second])


def near(got, want, tolerance=1e-11):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_the_filter_is_its_slow_twin():
    y = series(12)
    got = filter_series(model(), Observations(y), PAIRS)
    terms, found = by_loops(y)
    near(got.step_log_likelihoods, terms)
    near(got.probs, [mu for mu, _, _ in found])
    near(got.means, [mix(*row)[0] for row in found])
    near(got.covs, [mix(*row)[1] for row in found])


@pytest.mark.slow
def test_three_rows_are_exact():
    """Until the third row nothing that differs has been merged."""
    for rows in (1, 2, 3):
        y = series(rows)
        total, mean, cov, probs = by_all_paths(y)
        got = smooth_series(model(), Observations(y), PAIRS)
        near(got.log_likelihood, total)
        near(got.filter.means[-1], mean)
        near(got.filter.covs[-1], cov)
        near(got.probs[-1], probs)


@pytest.mark.slow
def test_pairs_come_nearer_to_the_truth_than_single_modes():
    """The likelihood of seven rows, over 12 models, beside the sum over 128 paths."""
    errors = []
    for seed in range(12):
        y = series(7, seed=100 + seed)
        truth = by_all_paths(y, seed)[0]
        errors.append(
            [
                float(
                    filter_series(model(seed), Observations(y), method).log_likelihood
                )
                - truth
                for method in (InteractingMultipleModel(), PAIRS)
            ]
        )
    single, pairs = np.sqrt(np.mean(np.square(errors), axis=0))
    assert pairs < 0.5 * single


def test_one_mode_is_the_kalman_filter_and_smoother():
    F, Q, _ = parts()
    y = Observations(series(15))
    for robust in (None, StudentT(4.0)):
        one = SwitchingLinearGaussian(
            [0.5, -0.2], np.eye(2), [1.0], F[:1], Q[:1], H, R, [[1.0]]
        )
        got = smooth_series(one, y, GeneralisedPseudoBayes(robust=robust))
        plain = LinearGaussian([0.5, -0.2], np.eye(2), F[0], Q[0], H, R)
        want = smooth_series(plain, y, Kalman(robust=robust))
        near(got.filter.step_log_likelihoods, want.filter.step_log_likelihoods, 1e-12)
        near(got.means, want.means, 1e-12)
        near(got.covs, want.covs, 1e-12)


def test_the_smoother_is_kims_from_merged_modes():
    """Two rows: the first given both is exact, by all four paths of the modes."""
    y = series(2)
    got = smooth_series(model(), Observations(y), PAIRS)
    means, covs, logs, firsts = [], [], [], []
    for i, j in itertools.product(range(2), repeat=2):
        m, P, first = look(np.array([0.5, -0.2]), np.eye(2), y[0])
        ahead, ahead_cov = move(m, P, j, 0)
        m_next, P_next, second = look(ahead, ahead_cov, y[1])
        G = P @ parts()[0][j].T @ np.linalg.inv(ahead_cov)
        means.append(m + G @ (m_next - ahead))
        covs.append(P + G @ (P_next - ahead_cov) @ G.T)
        logs.append(np.log(PROBS[i] * SWITCH[i, j]) + first + second)
        firsts.append(i)
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    mean, cov = mix(weights, means, covs)
    near(got.means[0], mean)
    near(got.covs[0], cov)
    near(got.probs[0, 0], weights[np.array(firsts) == 0].sum())


def test_a_model_that_does_not_switch_is_refused():
    F, Q, _ = parts()
    plain = LinearGaussian([0.5, -0.2], np.eye(2), F[0], Q[0], H, R)
    with pytest.raises(MethodError, match="Kalman"):
        filter_series(plain, Observations(series(3)), PAIRS)
