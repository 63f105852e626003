"""The switching filter and smoother, against loops and against every possible past."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from slipstate.assimilate import (
    EnsembleTransformKalman,
    InteractingMultipleModel,
    Kalman,
    Observations,
    StudentT,
    SwitchingInfo,
    filter_series,
    smooth_series,
)
from slipstate.assimilate.mixing import backward_probabilities
from slipstate.ground.errors import MethodError
from slipstate.systems import (
    AbstractSwitchingModel,
    LinearGaussian,
    LinearObservation,
    LinearTransition,
    Mixture,
    SwitchingLinearGaussian,
)

IMM = InteractingMultipleModel()
SWITCH = np.array([[0.9, 0.1], [0.25, 0.75]])
PROBS = np.array([0.7, 0.3])


def matrices(seed=0, modes=2, n=2, p=2):
    """Return everything a model of any number of modes is made of."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(modes, n, n)))[0]
    noise = rng.normal(size=(modes, n, n))
    return {
        "initial_mean": rng.normal(size=n),
        "initial_cov": np.eye(n) + 0.3,
        "F": turn * np.linspace(0.95, 0.6, modes)[:, None, None],
        "Q": 0.2 * noise @ np.swapaxes(noise, 1, 2) + 0.05 * np.eye(n),
        "H": rng.normal(size=(p, n)),
        "R": 0.3 * np.eye(p) + 0.1,
        "b": np.linspace(0.0, 1.5, modes)[:, None] * np.ones(n),
    }


def switching(parts, probs: Any = PROBS, switch: Any = SWITCH):
    return SwitchingLinearGaussian(
        parts["initial_mean"],
        parts["initial_cov"],
        probs,
        parts["F"],
        parts["Q"],
        parts["H"],
        parts["R"],
        switch,
        parts["b"],
    )


def one_mode(parts, mode=0):
    """Return the plain linear model of one mode."""
    plain = LinearGaussian(
        parts["initial_mean"],
        parts["initial_cov"],
        parts["F"][mode],
        parts["Q"][mode],
        parts["H"],
        parts["R"],
    )
    moved = LinearTransition(parts["F"][mode], parts["Q"][mode], parts["b"][mode])
    return eqx.tree_at(lambda m: m.transition, plain, moved)


def series(rows=6, p=2, seed=1, missing=True):
    """Return observations with a partly and a wholly missing row."""
    y = np.random.default_rng(seed).normal(size=(rows, p)) * 1.5
    if missing:
        y[1 % rows, 0] = np.nan
        y[3:4] = np.nan
    return y


# the slow twin: what the papers say, one number after the other


def np_update(m, P, y, H, R):
    """Return mean, covariance and log density of the observed components."""
    seen = ~np.isnan(y)
    if not seen.any():
        return m, P, 0.0
    H, R = H[seen], R[np.ix_(seen, seen)]
    S = H @ P @ H.T + R
    K = np.linalg.solve(S, H @ P).T
    density = scipy.stats.multivariate_normal(H @ m, S).logpdf(y[seen])
    return m + K @ (y[seen] - H @ m), P - K @ S @ K.T, density


def np_filter(parts, y, probs=PROBS, switch=SWITCH):
    """Return filtered and predicted (probs, means, covs) at each row, and densities."""
    modes, H, R = len(probs), parts["H"], parts["R"]
    mu = np.array(probs)
    m = [parts["initial_mean"]] * modes
    P = [parts["initial_cov"]] * modes
    filtered, predicted, densities = [], [], []
    for k in range(len(y)):
        if k:
            c = np.zeros(modes)
            m_new, P_new = [], []
            for j in range(modes):
                for i in range(modes):
                    c[j] += switch[i][j] * mu[i]
                w = [switch[i][j] * mu[i] / c[j] for i in range(modes)]
                mixed = sum(w[i] * m[i] for i in range(modes))
                spread = sum(
                    w[i] * (P[i] + np.outer(m[i] - mixed, m[i] - mixed))
                    for i in range(modes)
                )
                F = parts["F"][j]
                m_new.append(F @ mixed + parts["b"][j])
                P_new.append(F @ spread @ F.T + parts["Q"][j])
            mu, m, P = c, m_new, P_new
        predicted.append((mu, m, P))
        likelihood = np.zeros(modes)
        m_new, P_new = [], []
        for j in range(modes):
            m_j, P_j, density = np_update(m[j], P[j], y[k], H, R)
            likelihood[j] = np.exp(density)
            m_new.append(m_j)
            P_new.append(P_j)
        total = sum(mu * likelihood)
        densities.append(np.log(total))
        mu, m, P = mu * likelihood / total, m_new, P_new
        filtered.append((mu, m, P))
    return filtered, predicted, np.array(densities)


def np_smooth(parts, y, probs=PROBS, switch=SWITCH):
    """Return smoothed (probs, means, covs) at each row."""
    filtered, predicted, _ = np_filter(parts, y, probs, switch)
    modes, smoothed = len(probs), [filtered[-1]]
    for k in range(len(y) - 2, -1, -1):
        mu, m, P = filtered[k]
        ahead = predicted[k + 1][0]
        mu_s, m_s, P_s = smoothed[0]
        joint = np.zeros((modes, modes))
        means, covs = {}, {}
        for i, j in itertools.product(range(modes), repeat=2):
            joint[i, j] = mu[i] * switch[i][j] * mu_s[j] / ahead[j]
            F = parts["F"][j]
            m_ij = F @ m[i] + parts["b"][j]
            P_ij = F @ P[i] @ F.T + parts["Q"][j]
            G = P[i] @ F.T @ np.linalg.inv(P_ij)
            means[i, j] = m[i] + G @ (m_s[j] - m_ij)
            covs[i, j] = P[i] + G @ (P_s[j] - P_ij) @ G.T
        new_probs = joint.sum(axis=1)
        new_means, new_covs = [], []
        for i in range(modes):
            w = joint[i] / new_probs[i]
            mean = sum(w[j] * means[i, j] for j in range(modes))
            cov = sum(
                w[j] * (covs[i, j] + np.outer(means[i, j] - mean, means[i, j] - mean))
                for j in range(modes)
            )
            new_means.append(mean)
            new_covs.append(cov)
        smoothed.insert(0, (new_probs, new_means, new_covs))
    return smoothed


# the exact answer: every path of modes


def moments(weights, means, covs):
    """Return mean and covariance of a mixture."""
    mean = np.einsum("w,wn->n", weights, means)
    apart = means - mean
    return mean, np.einsum("w,wnm->nm", weights, covs) + np.einsum(
        "w,wn,wm->nm", weights, apart, apart
    )


def enumerate_paths(parts, y, probs=PROBS, switch=SWITCH):
    """Return the exact log-likelihood, last state, smoothed states and mode probs."""
    T, H, R = len(y), parts["H"], parts["R"]
    logs, lasts, smooths, paths = [], [], [], []
    for path in itertools.product(range(len(probs)), repeat=T):
        log = np.log(probs[path[0]])
        m, P = parts["initial_mean"], parts["initial_cov"]
        forward = []
        for k, mode in enumerate(path):
            before = (m, P)
            if k:
                log += np.log(switch[path[k - 1]][mode])
                F = parts["F"][mode]
                m, P = F @ m + parts["b"][mode], F @ P @ F.T + parts["Q"][mode]
                before = (m, P)
            m, P, density = np_update(m, P, y[k], H, R)
            log += density
            forward.append((*before, m, P))
        back = [(m, P)]
        for k in range(T - 2, -1, -1):
            F = parts["F"][path[k + 1]]
            m_k, P_k = forward[k][2:]
            m_next, P_next = forward[k + 1][:2]
            G = P_k @ F.T @ np.linalg.inv(P_next)
            m_s, P_s = back[0]
            back.insert(0, (m_k + G @ (m_s - m_next), P_k + G @ (P_s - P_next) @ G.T))
        logs.append(log)
        lasts.append((m, P))
        smooths.append(back)
        paths.append(path)
    logs, paths = np.array(logs), np.array(paths)
    total = np.logaddexp.reduce(logs)
    weights = np.exp(logs - total)
    columns = lambda rows: [np.array(column) for column in zip(*rows, strict=True)]
    last = moments(weights, *columns(lasts))
    smoothed = [moments(weights, *columns([s[k] for s in smooths])) for k in range(T)]
    mode_probs = np.array(
        [[weights[paths[:, k] == j].sum() for j in range(len(probs))] for k in range(T)]
    )
    return {
        "log_likelihood": total,
        "last": last,
        "means": np.array([m for m, _ in smoothed]),
        "covs": np.array([P for _, P in smoothed]),
        "probs": mode_probs,
    }


def near(got: Any, want: Any, tolerance: float) -> None:
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def test_one_mode_is_the_kalman_filter_and_smoother():
    parts = matrices(modes=1)
    y = Observations(series(rows=20))
    got = smooth_series(switching(parts, [1.0], [[1.0]]), y, IMM)
    want = smooth_series(one_mode(parts), y, Kalman())
    near(got.filter.step_log_likelihoods, want.filter.step_log_likelihoods, 1e-12)
    near(got.filter.means, want.filter.means, 1e-12)
    near(got.filter.covs, want.filter.covs, 1e-12)
    near(got.filter.predicted_means, want.filter.predicted_means, 1e-12)
    near(got.filter.innovations, want.filter.innovations, 1e-12)
    near(got.filter.innovation_covs, want.filter.innovation_covs, 1e-12)
    near(got.means, want.means, 1e-12)
    near(got.covs, want.covs, 1e-12)


def test_one_mode_with_heavy_tails_is_the_robust_kalman_filter():
    parts, y = matrices(modes=1), series(rows=20)
    y[10] += 30.0
    robust = StudentT(4.0)
    got = smooth_series(
        switching(parts, [1.0], [[1.0]]),
        Observations(y),
        InteractingMultipleModel(robust=robust),
    )
    want = smooth_series(one_mode(parts), Observations(y), Kalman(robust=robust))
    near(got.filter.step_log_likelihoods, want.filter.step_log_likelihoods, 1e-12)
    near(got.means, want.means, 1e-12)
    near(got.covs, want.covs, 1e-12)


def test_identical_modes_are_one_mode():
    parts = matrices(modes=1)
    twice = {
        name: np.concatenate([value] * 2) if name in {"F", "Q", "b"} else value
        for name, value in parts.items()
    }
    y = Observations(series(rows=20))
    got = smooth_series(switching(twice), y, IMM)
    want = smooth_series(one_mode(parts), y, Kalman())
    near(got.log_likelihood, want.log_likelihood, 1e-12)
    near(got.filter.means, want.filter.means, 1e-12)
    near(got.means, want.means, 1e-12)
    near(got.covs, want.covs, 1e-12)
    chain = [PROBS @ np.linalg.matrix_power(SWITCH, k) for k in range(20)]
    near(got.probs, chain, 1e-12)


@pytest.mark.parametrize("modes", [2, 3])
def test_filter_and_smoother_are_their_slow_twins(modes):
    rng = np.random.default_rng(7)
    parts = matrices(modes=modes, seed=modes)
    probs = rng.dirichlet(np.ones(modes))
    switch = rng.dirichlet(np.ones(modes), size=modes)
    y = series(rows=15, seed=modes)
    got = smooth_series(switching(parts, probs, switch), Observations(y), IMM)
    filtered, predicted, densities = np_filter(parts, y, probs, switch)
    smoothed = np_smooth(parts, y, probs, switch)
    near(got.filter.step_log_likelihoods, densities, 1e-10)
    for states, want in (
        (got.filter.filtered, filtered),
        (got.filter.predicted, predicted),
        (got.smoothed, smoothed),
    ):
        near(states.probs, [mu for mu, _, _ in want], 1e-10)
        near(states.locations, [m for _, m, _ in want], 1e-10)
        near(states.covariances, [P for _, _, P in want], 1e-10)
    total = [moments(mu, np.array(m), np.array(P)) for mu, m, P in smoothed]
    near(got.means, [mean for mean, _ in total], 1e-10)
    near(got.covs, [cov for _, cov in total], 1e-10)


@pytest.mark.parametrize("rows", [1, 2])
def test_two_rows_are_exact(rows):
    """Until the second row nothing that differs has been merged."""
    parts = matrices()
    y = series(rows=rows, missing=False)
    want = enumerate_paths(parts, y)
    got = smooth_series(switching(parts), Observations(y), IMM)
    near(got.log_likelihood, want["log_likelihood"], 1e-12)
    near(got.filter.means[-1], want["last"][0], 1e-12)
    near(got.filter.covs[-1], want["last"][1], 1e-12)
    near(got.probs, want["probs"], 1e-12)
    near(got.means, want["means"], 1e-12)
    near(got.covs, want["covs"], 1e-12)


def test_the_filter_is_exact_where_observations_do_not_tell_the_modes():
    """Modes act on a part that is not seen: merged moments are the true moments."""
    parts = matrices(modes=2, n=3)
    for name in ("F", "Q"):
        part = np.array(parts[name])
        part[1, 0] = part[0, 0]
        part[:, 0, 1:] = part[:, 1:, 0] = 0.0
        parts[name] = part
    parts["b"] = np.array([[0.5, 0.0, 1.0], [0.5, 2.0, -1.0]])
    parts["initial_cov"] = np.diag([1.0, 2.0, 3.0])
    parts["H"] = np.array([[1.0, 0.0, 0.0], [-0.5, 0.0, 0.0]])
    y = series(rows=6)
    want = enumerate_paths(parts, y)
    got = filter_series(switching(parts), Observations(y), IMM)
    near(got.log_likelihood, want["log_likelihood"], 1e-12)
    near(got.probs[-1], want["probs"][-1], 1e-12)
    near(got.means[-1], want["last"][0], 1e-12)
    near(got.covs[-1], want["last"][1], 1e-12)


def drawn(parts, rows, seed):
    """Return observations drawn from the model itself."""
    rng = np.random.default_rng(seed)
    draw = rng.multivariate_normal
    x, mode = draw(parts["initial_mean"], parts["initial_cov"]), rng.choice(2, p=PROBS)
    y = []
    for k in range(rows):
        if k:
            mode = rng.choice(2, p=SWITCH[mode])
            x = draw(parts["F"][mode] @ x + parts["b"][mode], parts["Q"][mode])
        y.append(draw(parts["H"] @ x, parts["R"]))
    return np.array(y)


def test_short_series_are_near_the_sum_over_all_paths():
    """The price of merging: 2^6 paths, twenty models that turn in two ways.

    The filter loses little. The smoother may be wrong by some standard deviations at a
    single row (it hears of a mode through the next mode only), yet removes most of what
    separates the filter from the exact smoother.
    """
    log_lik, alone, last, mode, probs, means = ([] for _ in range(6))
    for seed in range(20):
        parts = matrices(seed=seed)
        y = drawn(parts, 6, seed)
        want = enumerate_paths(parts, y)
        got = smooth_series(switching(parts), Observations(y), IMM)
        live = got.filter
        plain = filter_series(one_mode(parts), Observations(y), Kalman())
        log_lik.append(live.log_likelihood - want["log_likelihood"])
        alone.append(plain.log_likelihood - want["log_likelihood"])
        sd = np.sqrt(np.diagonal(want["covs"], axis1=1, axis2=2))
        last.append((live.means[-1] - want["last"][0]) / sd[-1])
        mode.append(live.probs[-1] - want["probs"][-1])
        both = (got.probs, live.probs)
        probs.append([rms(p - want["probs"]) for p in both])
        means.append([rms((m - want["means"]) / sd) for m in (got.means, live.means)])
    assert np.median(np.abs(log_lik)) < 0.03
    assert np.abs(log_lik).max() < 0.5
    assert np.abs(last).max() < 0.4
    assert np.abs(mode).max() < 0.05
    smoothed, filtered = np.median(probs, axis=0)
    assert smoothed < 0.05 < filtered / 2
    smoothed, filtered = np.median(means, axis=0)
    assert smoothed < 0.1 < filtered / 2
    # a filter that ignores the switch is far off on the same data
    assert np.median(np.abs(alone)) > 10 * np.median(np.abs(log_lik))


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def test_smoothed_probabilities_are_those_of_the_series_formula():
    parts, y = matrices(), Observations(series(rows=20))
    got = smooth_series(switching(parts), y, IMM)
    want, _ = backward_probabilities(
        got.filter.filtered.log_probs, got.filter.predicted.log_probs, jnp.array(SWITCH)
    )
    near(got.probs, want, 1e-12)
    near(jnp.exp(got.smoothed.log_probs).sum(axis=1), 1.0, 1e-12)


def test_the_info_holds_every_mode():
    parts, y = matrices(), series()
    got = filter_series(switching(parts), Observations(y), IMM)
    assert isinstance(got.info, SwitchingInfo)
    _, predicted, _ = np_filter(parts, y)
    for k, (mu, m, P) in enumerate(predicted):
        each = np.array([np.where(np.isnan(y[k]), 0, y[k] - parts["H"] @ x) for x in m])
        S = np.array([parts["H"] @ V @ parts["H"].T + parts["R"] for V in P])
        near(got.info.mode_innovations[k], each, 1e-12)
        near(got.info.mode_innovation_covs[k], S, 1e-12)
        near(got.innovations[k], mu @ each, 1e-12)
        mixture = moments(mu, np.array([parts["H"] @ x for x in m]), S)[1]
        near(got.innovation_covs[k], mixture, 1e-12)


def test_a_missing_row_moves_no_mode_and_a_partial_row_is_its_seen_part():
    parts, y = matrices(), series(rows=8)
    got = filter_series(switching(parts), Observations(y), IMM)
    for before, after in zip(
        jax.tree.leaves(got.predicted), jax.tree.leaves(got.filtered), strict=True
    ):
        np.testing.assert_array_equal(before[3], after[3])
    assert float(got.step_log_likelihoods[3]) == 0.0
    # the same series without the unseen components, as a model that never has them
    lone = {**parts, "H": parts["H"][1:], "R": parts["R"][1:, 1:]}
    y[:, 0] = np.nan
    both = filter_series(switching(parts), Observations(y), IMM)
    one = filter_series(switching(lone), Observations(y[:, 1:]), IMM)
    near(both.step_log_likelihoods, one.step_log_likelihoods, 1e-12)
    near(both.probs, one.probs, 1e-12)
    near(both.means, one.means, 1e-12)


def test_a_mode_that_cannot_come_stays_away():
    parts = matrices()
    y = Observations(series(rows=20))
    never = switching(parts, [1.0, 0.0], [[1.0, 0.0], [0.5, 0.5]])
    got = smooth_series(never, y, IMM)
    want = smooth_series(one_mode(parts), y, Kalman())
    near(got.log_likelihood, want.log_likelihood, 1e-12)
    near(got.means, want.means, 1e-12)
    np.testing.assert_array_equal(got.probs[:, 1], 0.0)
    assert np.isfinite(got.smoothed.locations).all()
    assert np.isfinite(got.smoothed.covariances).all()
    assert int(got.filter.first_failure) == -1


def test_gradients_are_finite_with_any_mask_and_match_differences():
    base, y = matrices(), series(rows=8, missing=False)
    kept = {"probs": jnp.array([1.0, 0.0]), "stay": jnp.array(0.9)}

    def height(free, mask):
        stay = free["stay"]
        parts = {**base, "Q": free["Q"], "b": free["b"]}
        switch = jnp.array([[stay, 1.0 - stay], [1.0, 0.0]])
        model = switching(parts, free["probs"], switch)
        series = Observations(jnp.array(y), mask=mask)
        return filter_series(model, series, IMM).log_likelihood

    free = {**kept, "Q": jnp.array(base["Q"]), "b": jnp.array(base["b"])}
    value = jax.jit(jax.value_and_grad(height))
    rng = np.random.default_rng(3)
    masks = [np.zeros((8, 2)), np.ones((8, 2)), rng.uniform(size=(8, 2)) < 0.5]
    for mask in masks:
        _, slope = value(free, jnp.array(mask, bool))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    every, step = jnp.ones((8, 2), bool), 1e-6
    _, slope = value(free, every)
    for name, at in (("stay", ()), ("Q", (1, 0, 0)), ("b", (1, 1))):
        up = {**free, name: free[name].at[at].add(step)}
        down = {**free, name: free[name].at[at].add(-step)}
        want = (value(up, every)[0] - value(down, every)[0]) / (2 * step)
        near(slope[name][at], want, 1e-6)
    assert float(jnp.abs(slope["stay"])) > 1e-3


class Guarded(AbstractSwitchingModel):
    """Mode 1 follows where the first state is above a threshold."""

    initial: Mixture
    transitions: tuple[LinearTransition, ...]
    observation: LinearObservation
    sharpness: float

    def switch_log_probs(self, x, mode, u, dt):
        up = self.sharpness * (x[0] - 1.0) + jnp.where(mode == 1, 1.0, -1.0)
        return jnp.stack([jax.nn.log_sigmoid(-up), jax.nn.log_sigmoid(up)])


def test_a_switch_may_ask_the_state():
    plain = switching(matrices())
    y = Observations(series(rows=20, missing=False))
    blunt, sharp = (
        Guarded(
            initial=plain.initial,
            transitions=plain.transitions,
            observation=plain.observation,
            sharpness=sharpness,
        )
        for sharpness in (0.0, 3.0)
    )
    off = jax.nn.sigmoid(1.0)
    chain = switching(matrices(), PROBS, jnp.array([[off, 1 - off], [1 - off, off]]))
    got, want = smooth_series(blunt, y, IMM), smooth_series(chain, y, IMM)
    near(got.log_likelihood, want.log_likelihood, 1e-12)
    near(got.means, want.means, 1e-12)
    got = smooth_series(sharp, y, IMM)
    before, ahead_of = got.filter.filtered, got.filter.predicted
    assert before.probs is not None
    assert ahead_of.probs is not None
    ask = lambda x, mode: sharp.switch_log_probs(x, mode, None, 1.0)
    for k in range(19):
        each = [np.exp(ask(before.locations[k, i], i)) for i in range(2)]
        ahead = np.asarray(before.probs[k]) @ np.array(each)
        near(ahead_of.probs[k + 1], ahead, 1e-12)
        pair = np.asarray(before.probs[k])[:, None] * np.array(each) / ahead
        near(got.probs[k], pair @ got.probs[k + 1], 1e-12)


def slipping(rows=400, seed=5):
    """Return a level that drifts during slip, its model, and when it slipped."""
    rng = np.random.default_rng(seed)
    slip = np.zeros(rows, bool)
    for start in (90, 200, 310):
        slip[start : start + 30] = True
    level = np.cumsum(np.where(slip, -0.5, 0.05) + 0.05 * rng.normal(size=rows))
    y = level + 1.0 * rng.normal(size=rows)
    model = SwitchingLinearGaussian(
        [0.0],
        [[1.0]],
        [0.95, 0.05],
        np.ones((2, 1, 1)),
        np.full((2, 1, 1), 0.05**2),
        [[1.0]],
        [[1.0]],
        [[0.99, 0.01], [0.03, 0.97]],
        [[0.05], [-0.5]],
    )
    return model, y[:, None], slip


def test_slip_is_found_and_the_smoother_finds_it_better():
    model, y, slip = slipping()
    got = smooth_series(model, Observations(y), IMM)
    live = np.asarray(got.filter.probs[:, 1])
    later = np.asarray(got.probs[:, 1])
    right = lambda p: ((p > 0.5) == slip).mean()
    brier = lambda p: ((p - slip) ** 2).mean()
    assert right(later) > 0.95
    assert right(later) > right(live) > 0.85
    assert brier(later) < 0.5 * brier(live)


def test_heavy_tails_keep_an_outlier_from_firing_the_switch():
    model, y, _ = slipping()
    clean = filter_series(model, Observations(y[:60]), IMM).probs[:, 1]
    spoiled = y[:60].copy()
    spoiled[40] -= 12.0
    robust = InteractingMultipleModel(robust=StudentT(4.0))
    fooled, calm = (
        np.asarray(filter_series(model, Observations(spoiled), m).probs[:, 1])
        for m in (IMM, robust)
    )
    assert clean[38:50].max() < 0.2
    assert fooled[38:50].max() > 0.5
    assert calm[38:50].max() < 0.2


def test_methods_say_which_model_they_need_and_what_fits():
    parts = matrices()
    y = Observations(series())
    with pytest.raises(
        MethodError, match=r"switches .* got LinearGaussian. Use Kalman"
    ):
        filter_series(one_mode(parts), y, IMM)
    for method in (Kalman(), EnsembleTransformKalman()):
        with pytest.raises(MethodError, match="InteractingMultipleModel"):
            filter_series(switching(parts), y, method, key=jax.random.key(0))
    with pytest.raises(MethodError, match="InteractingMultipleModel"):
        smooth_series(
            switching(parts), y, EnsembleTransformKalman(), key=jax.random.key(0)
        )
    short = eqx.tree_at(
        lambda m: m.initial,
        switching(parts),
        Mixture(jnp.zeros(1), jnp.zeros((1, 2)), jnp.eye(2)[None]),
    )
    with pytest.raises(MethodError, match="`initial` must have one component for each"):
        filter_series(short, y, IMM)
