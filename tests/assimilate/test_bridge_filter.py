"""The bridge filter: limits, exact moments, a slow twin, and nothing that breaks it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from slipstate.assimilate import (
    BridgeFilter,
    Iterated,
    Jacobian,
    Kalman,
    Observations,
    SigmaPoints,
    SwitchCost,
    filter_series,
    smooth_series,
)
from slipstate.assimilate.bridge import BridgeState
from slipstate.assimilate.bridge.linearise import condition_line
from slipstate.ground.errors import InputError, MethodError
from slipstate.systems import (
    AbstractObservation,
    Diffuse,
    Ensemble,
    Gaussian,
    LinearGaussian,
    StateSpaceModel,
)


@eqx.filter_jit
def update(method, model, members, y, mask, key, noise=None):
    count, n = members.shape
    none = jnp.zeros((count, n, n if method.guided else 0))
    state = BridgeState(
        members, members, none if noise is None else noise, jnp.arange(count)
    )
    return method.update(model, state, y, mask, None, key=key)


def model(n=2, p=2, seed=0, R=None):
    rng = np.random.default_rng(seed)
    F = 0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    R = 0.5 * np.eye(p) + 0.1 if R is None else R
    return LinearGaussian(
        np.ones(n), np.eye(n), F, 0.3 * np.eye(n), rng.normal(size=(p, n)), R
    )


@pytest.mark.parametrize(("members", "n"), [(12, 2), (5, 9)])
def test_one_wide_component_is_the_square_root_ensemble_kalman_filter(members, n, key):
    linear = model(n)
    x = 2.0 * jax.random.normal(key, (members, n)) + 1.0
    y, mask = jnp.array([0.7, -1.0]), jnp.array([True, True])
    method = BridgeFilter(members=members, bandwidth=1e9, guard=1.0)
    got, info = update(method, linear, x, y, mask, key)
    prior = Gaussian(x.mean(axis=0), jnp.cov(x.T))
    want, exact = Kalman().update(linear, prior, y, mask, None)
    after = Ensemble(got.members)
    np.testing.assert_allclose(after.mean(), want.mean(), atol=1e-8)
    np.testing.assert_allclose(after.cov(), want.cov(), atol=1e-8)
    np.testing.assert_allclose(info.innovation_cov, exact.innovation_cov, rtol=1e-10)
    np.testing.assert_allclose(
        method.log_likelihood(info), Kalman().log_likelihood(exact), rtol=1e-8
    )
    assert info.bandwidth == 1.0


@pytest.mark.parametrize("guided", [False, True])
def test_moments_and_evidence_are_those_of_a_mixture_written_out(guided, key):
    M, h, linear = 12, 0.4, model()
    x = 2.0 * jax.random.normal(key, (M, 2)) + 1.0
    y, mask = jnp.array([0.7, -1.0]), jnp.array([True, True])
    rule = (4 / (M * 4)) ** (1 / 6)
    noise = 0.5 * jax.random.normal(key, (M, 2, 2)) if guided else None
    method = BridgeFilter(
        members=M, bandwidth=h / rule, theta=0.0, guard=1.0, guided=guided
    )
    got, info = update(method, linear, x, y, mask, key, noise)

    X = np.asarray(x)
    P, centre = np.cov(X.T), X.mean(axis=0)
    H, R = np.asarray(linear.observation.H), np.asarray(linear.observation.R)
    shrink = np.sqrt((1 - h**2) * M / (M - 1))
    weights, means, covs = [], [], []
    for i in range(M):
        B = h**2 * P
        if guided:
            assert noise is not None
            B = B + np.asarray(noise[i] @ noise[i].T)
        m = centre + shrink * (X[i] - centre)
        S = H @ B @ H.T + R
        K = B @ H.T @ np.linalg.inv(S)
        weights.append(scipy.stats.multivariate_normal(H @ m, S).pdf(y))
        means.append(m + K @ (np.asarray(y) - H @ m))
        covs.append(B - K @ H @ B)
    weights, means = np.array(weights), np.array(means)
    np.testing.assert_allclose(
        method.log_likelihood(info), np.log(weights.mean()), rtol=1e-9
    )
    w = weights / weights.sum()
    mean = w @ means
    cov = sum(
        w[i] * (covs[i] + np.outer(means[i] - mean, means[i] - mean)) for i in range(M)
    )
    after = Ensemble(got.members)
    np.testing.assert_allclose(after.mean(), mean, atol=1e-10)
    np.testing.assert_allclose(after.cov(), cov, atol=1e-10)
    np.testing.assert_allclose(info.effective_size, 1 / (w**2).sum(), rtol=1e-9)


@pytest.mark.slow
def test_the_bandwidth_rises_until_the_weights_are_worth_enough(key):
    linear = model(R=1e-3 * np.eye(2))
    x = jax.random.normal(key, (12, 2))
    y, mask = jnp.array([0.3, 0.1]), jnp.array([True, True])
    sizes = []
    for theta in (0.0, 0.3, 0.6):
        method = BridgeFilter(members=12, bandwidth=0.3, theta=theta, guard=1.0)
        _, info = update(method, linear, x, y, mask, key)
        sizes.append((float(info.bandwidth), float(info.effective_size)))
    widths, worth = zip(*sizes)
    assert widths[0] < widths[1] < widths[2] < 1.0
    assert worth[0] < 0.3 * 12 <= worth[1]
    assert worth[2] >= 0.6 * 12


class Wild(AbstractObservation):
    """Infinite beyond x0 > edge, linear elsewhere."""

    edge: float
    units: tuple[str, ...] = eqx.field(static=True, default=("1", "1"))

    def predict(self, x, u):
        return jnp.where(x[0] > self.edge, jnp.inf, x)

    def noise_factor(self):
        return jnp.eye(2)


def test_nothing_makes_it_nan(key):
    M = 12
    method, linear = BridgeFilter(members=M), model()
    cloud = jax.random.normal(key, (M, 2))
    seen, none = jnp.array([True, True]), jnp.array([False, False])
    y = jnp.array([0.7, -1.0])
    lost = cloud.at[3].set(jnp.nan)
    trials = {
        "20 sigma": (cloud, 20.0 * y, seen),
        "1e6 sigma": (cloud, 1e6 * y, seen),
        "nothing": (cloud, y, none),
        "half": (cloud, y, jnp.array([True, False])),
        "constant": (jnp.ones((M, 2)), y, seen),
        "duplicates": (jnp.repeat(cloud[:2], M // 2, axis=0), y, seen),
        "flat": (cloud.at[:, 1].set(2.0), y, seen),
        "lost member": (lost, y, seen),
    }
    for name, (x, value, mask) in trials.items():
        got, info = update(method, linear, x, value, mask, key)
        assert np.isfinite(got.members).all(), name
        assert np.isfinite(method.log_likelihood(info)), name
    np.testing.assert_array_equal(
        update(method, linear, cloud, y, none, key)[0].members, cloud
    )
    sharp = eqx.tree_at(
        lambda m: m.observation.R, linear, jnp.array([[1.0, 1.0], [1.0, 1.0]]) * 1e-12
    )
    assert np.isfinite(update(method, sharp, cloud, y, seen, key)[0].members).all()


@pytest.mark.slow
def test_an_observation_that_is_no_number_costs_its_members_only(key):
    cloud = jax.random.normal(key, (12, 2))
    y, seen = jnp.array([0.2, 0.1]), jnp.array([True, True])
    base = model()
    method = BridgeFilter(members=12)
    some = StateSpaceModel(base.initial, base.transition, Wild(edge=0.5))
    got, info = update(method, some, cloud, y, seen, key)
    assert np.isfinite(got.members).all()
    assert 0 < (np.asarray(info.log_weights) < -1e29).sum() < 12
    assert np.isfinite(method.log_likelihood(info))
    every = StateSpaceModel(base.initial, base.transition, Wild(edge=-1e9))
    got, info = update(method, every, cloud, y, seen, key)
    np.testing.assert_array_equal(got.members, cloud)
    assert method.log_likelihood(info) == -np.inf


@pytest.mark.slow
def test_two_members_are_enough_to_run(key):
    y = Observations(np.random.default_rng(0).normal(size=(6, 2)))
    got = filter_series(model(), y, BridgeFilter(members=2), key=key)
    assert np.isfinite(got.means).all()
    assert np.isfinite(got.log_likelihood)


def test_rules_agree_on_a_line_and_regression_is_exact_on_a_square():
    H = jnp.array([[1.0, -2.0]])
    line, y = lambda e: H @ e + 0.3, jnp.array([1.0])
    seen, R, like = jnp.array([True]), jnp.array([[0.4]]), jnp.zeros(2)
    want = Jacobian().condition(line, y, seen, R, like)
    for rule in (SigmaPoints(), Iterated(), Iterated(SigmaPoints(), 2)):
        got = rule.condition(line, y, seen, R, like)
        np.testing.assert_allclose(got.mean, want.mean, atol=1e-9)
        np.testing.assert_allclose(got.log_weight, want.log_weight, atol=1e-9)
    # (0.5 + e)^2 has mean 1.25, variance 2 + 1, slope 1
    square = lambda e: (0.5 + e) ** 2
    found = SigmaPoints().line(square, jnp.zeros(1), None)
    np.testing.assert_allclose(found.c, 1.25, rtol=1e-12)
    np.testing.assert_allclose(found.J, 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.extra, 2.0, rtol=1e-12)
    # and condition_line is a Kalman update
    got = condition_line(found, y, seen, R)
    np.testing.assert_allclose(got.mean, (1.0 - 1.25) / 3.4, rtol=1e-12)


def test_iterating_finds_the_mode_of_a_cubic():
    cubic = lambda e: (2.0 + 0.5 * e) ** 3
    y, seen, R = jnp.array([12.0]), jnp.array([True]), jnp.array([[0.5]])
    grid = np.linspace(-3, 3, 60001)
    best = grid[np.argmin(grid**2 + (12.0 - (2 + 0.5 * grid) ** 3) ** 2 / 0.5)]
    once = Jacobian().condition(cubic, y, seen, R, jnp.zeros(1)).mean[0]
    often = Iterated(rounds=5).condition(cubic, y, seen, R, jnp.zeros(1)).mean[0]
    assert abs(often - best) < 1e-3 < abs(once - best)


@pytest.mark.slow
def test_members_pay_for_a_change_of_mode(key):
    flat = StateSpaceModel(
        Gaussian(jnp.zeros(2), jnp.eye(2)), model().transition, Wild(edge=1e9)
    )
    x = jax.random.normal(key, (12, 2)) * 0.3
    x = x.at[:, 0].add(jnp.where(jnp.arange(12) < 6, -3.0, 3.0))
    never = SwitchCost(
        lambda x: (x[0] > 0).astype(int), jnp.array([[0.0, -jnp.inf], [-jnp.inf, 0.0]])
    )
    free = SwitchCost(never.mode, jnp.zeros((2, 2)))
    y, mask = jnp.array([0.0, 0.2]), jnp.array([False, True])
    crossed = []
    for switch in (never, free):
        method = BridgeFilter(
            members=12,
            theta=0.0,
            guard=1.0,
            epsilon=10.0,
            switch=switch,
            keep_coupling=True,
        )
        _, info = update(method, flat, x, y, mask, key)
        crossed.append(np.asarray(info.coupling)[:6, 6:].sum())
    # what the weights ask for has to cross; nothing else does unless it is free
    left = np.asarray(jax.nn.softmax(info.log_weights))[:6].sum()
    np.testing.assert_allclose(crossed[0], max(0.5 - left, 0.0), atol=1e-3)
    assert crossed[1] > crossed[0] + 0.1


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="`members`"):
        BridgeFilter(members=1)
    with pytest.raises(InputError, match="`guard`"):
        BridgeFilter(guard=0.5)
    with pytest.raises(InputError, match="`rounds`"):
        Iterated(rounds=1)
    with pytest.raises(InputError, match="`key`"):
        filter_series(model(), Observations(np.zeros((2, 2))), BridgeFilter())
    diffuse = eqx.tree_at(
        lambda m: m.initial, model(), Diffuse(jnp.zeros(2), jnp.eye(2), jnp.eye(2))
    )
    with pytest.raises(MethodError, match="Diffuse"):
        filter_series(diffuse, Observations(np.zeros((2, 2))), BridgeFilter())


@pytest.mark.slow
def test_evidence_and_smoothed_paths_agree_with_the_exact_ones(key):
    linear = model()
    rows = Observations(np.random.default_rng(1).normal(size=(20, 2)))
    exact = smooth_series(linear, rows)
    method = BridgeFilter(members=100)
    runs = [
        smooth_series(linear, rows, method, key=k) for k in jax.random.split(key, 16)
    ]
    evidence = np.array([float(run.log_likelihood) for run in runs])
    spread = evidence.std(ddof=1) / 4.0
    assert abs(evidence.mean() - float(exact.log_likelihood)) < 3 * spread
    means = np.stack([run.means for run in runs]).mean(axis=0)
    truth, filtered = np.asarray(exact.means), np.asarray(exact.filter.means)
    away = lambda x: np.sqrt(np.mean((x - truth)[:-2] ** 2))
    # an ancestor is blurred by the bandwidth of its component, so some error stays
    assert away(means) < 0.5 * away(filtered)
