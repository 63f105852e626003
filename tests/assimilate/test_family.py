"""Ensemble, particle and variational filters against Kalman's update and sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    Adaptive,
    Additive,
    DeterministicEnsembleKalman,
    EnsembleTransformKalman,
    FiniteSizeEnsembleKalman,
    FourDVar,
    Kalman,
    LocalEnsembleTransformKalman,
    Localisation,
    Multiplicative,
    NonlinearEnsembleTransform,
    ParticleFilter,
    RankHistogramFilter,
    RelaxPerturbations,
    RelaxSpread,
    SerialEnsembleAdjustment,
    StochasticEnsembleKalman,
)
from slipstate.assimilate.ensemble_update import observe
from slipstate.ground.errors import InputError
from slipstate.systems import Ensemble, Gaussian, LinearGaussian, Particles

N, P, M = 3, 2, 12
RNG = np.random.default_rng(7)
H = RNG.normal(size=(P, N))
R = np.array([[0.5, 0.2], [0.2, 0.8]])
MODEL = LinearGaussian(np.ones(N), np.eye(N), 0.9 * np.eye(N), np.eye(N), H, R)
MEMBERS = jnp.asarray(RNG.normal(size=(M, N)) * 2.0 + 1.0)
Y, ALL = jnp.array([0.3, -0.7]), jnp.ones(P, bool)
ONES = Localisation(np.ones((N, P)))
ROOTS = [
    SerialEnsembleAdjustment(M, rotate=False),
    LocalEnsembleTransformKalman(localisation=ONES, members=M, rotate=False),
]
MEANS = [DeterministicEnsembleKalman(M), StochasticEnsembleKalman(M)]
EVERY = [
    *ROOTS,
    *MEANS,
    EnsembleTransformKalman(M),
    FiniteSizeEnsembleKalman(M),
    NonlinearEnsembleTransform(M),
    RankHistogramFilter(M),
    StochasticEnsembleKalman(M, Adaptive()),
]


def _name(method):
    return type(method).__name__


def _kalman(mask=ALL):
    state = Ensemble(MEMBERS)
    prior = Gaussian(state.mean(), state.cov())
    return Kalman().update(MODEL, prior, Y, mask, None)[0]


def _update(method, key, members=MEMBERS, y=Y, mask=ALL, model=MODEL):
    state = Ensemble(members)
    return method.update(model, state, y, mask, None, key=key)


@pytest.mark.parametrize("method", ROOTS, ids=_name)
def test_square_roots_have_kalmans_mean_and_covariance(method, key):
    got, want = _update(method, key)[0], _kalman()
    np.testing.assert_allclose(got.mean(), want.mean(), rtol=1e-10)
    np.testing.assert_allclose(got.cov(), want.cov(), rtol=1e-10, atol=1e-12)
    masked = _update(method, key, mask=jnp.array([True, False]))[0]
    want = _kalman(jnp.array([True, False]))
    np.testing.assert_allclose(masked.cov(), want.cov(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", MEANS, ids=_name)
def test_the_mean_is_kalmans_and_perturbations_do_not_move_it(method, key):
    got, want = _update(method, key)[0], _kalman()
    np.testing.assert_allclose(got.mean(), want.mean(), rtol=1e-10)
    for k in range(N):  # half a gain leaves more spread, noise some more or less
        assert got.cov()[k, k] < 1.3 * np.diag(Ensemble(MEMBERS).cov())[k]


def test_half_the_gain_is_half_the_gain(key):
    X = np.asarray(MEMBERS) - np.asarray(MEMBERS).mean(axis=0)
    cov = X.T @ X / (M - 1)
    K = cov @ H.T @ np.linalg.inv(H @ cov @ H.T + R)
    got = np.asarray(_update(DeterministicEnsembleKalman(M), key)[0].members)
    want = X - 0.5 * X @ H.T @ K.T
    np.testing.assert_allclose(got - got.mean(axis=0), want, rtol=1e-10, atol=1e-12)


def test_a_serial_ensemble_is_kalmans_with_localisation_as_a_loop_does_it(key):
    taper, between = RNG.uniform(size=(N, P)), np.ones((P, P))
    model = LinearGaussian(
        np.ones(N), np.eye(N), np.eye(N), np.eye(N), H, np.diag([0.5, 0.8])
    )
    method = SerialEnsembleAdjustment(M, Localisation(taper, between), rotate=False)
    got = _update(method, key, model=model)[0].members
    members = np.array(MEMBERS)
    seen = members @ H.T
    for j, r in enumerate((0.5, 0.8)):
        z = seen[:, j].copy()
        mean, var = z.mean(), z.var(ddof=1)
        after = 1 / (1 / var + 1 / r)
        new = after * (mean / var + float(Y[j]) / r) + np.sqrt(after / var) * (z - mean)
        slopes = (z - mean) @ members / ((z - mean) @ (z - mean)) * taper[:, j]
        others = (z - mean) @ seen / ((z - mean) @ (z - mean))
        members = members + np.outer(new - z, slopes)
        seen = seen + np.outer(new - z, others)
    np.testing.assert_allclose(got, members, rtol=1e-9, atol=1e-10)


def test_the_nonlinear_transform_has_the_weighted_moments(key):
    method = NonlinearEnsembleTransform(M, rotate=False)
    got = _update(method, key)[0]
    residual = np.asarray(Y) - np.asarray(MEMBERS) @ H.T
    weights = np.exp(-0.5 * np.sum(residual @ np.linalg.inv(R) * residual, axis=1))
    want = Particles(MEMBERS, jnp.log(jnp.asarray(weights)))
    np.testing.assert_allclose(got.mean(), want.mean(), rtol=1e-10)
    weights = np.asarray(want.weights())
    apart = np.asarray(MEMBERS) - np.asarray(want.mean())
    biased = (apart * weights[:, None]).T @ apart * M / (M - 1)
    np.testing.assert_allclose(got.cov(), biased, rtol=1e-9, atol=1e-11)


def test_the_finite_size_factor_is_the_least_of_its_cost():
    method = FiniteSizeEnsembleKalman(M, rotate=False)
    for y in (Y, 100.0 * Y):
        seen = observe(MODEL, MEMBERS, y, ALL, None)[1]
        got = float(method.factor(seen))
        S, v = np.asarray(seen.S), np.asarray(seen.innovation)
        values, vectors = np.linalg.eigh(S.T @ S)
        d2 = (vectors.T @ v) ** 2
        mode = ((M + 1) / M) / (M / (M - 1))
        weight = (np.sum(1 / (1 + values)) + M - P) / M
        fix = np.sqrt(mode**weight)
        e, c = (M + 1) / M / fix, M / (M - 1) * fix
        grid = np.exp(np.linspace(-2.0, 4.0, 60001))
        cost = d2 / (M - 1) @ (1 / (1 + np.outer(values, grid**2)))
        cost = cost + e / grid**2 + 2 * c * np.log(grid)
        assert abs(np.log(got / grid[np.argmin(cost)])) < 2e-4


def test_the_rank_histogram_moves_a_large_ensemble_as_kalman_does(key):
    z = jnp.asarray(np.random.default_rng(1).normal(size=(4000, 1)) * 2.0)
    one = LinearGaussian([0.0], [[1.0]], [[1.0]], [[1.0]], [[1.0]], [[1.0]])
    got = _update(
        RankHistogramFilter(4000), key, z, jnp.ones(1), jnp.ones(1, bool), one
    )
    np.testing.assert_allclose(got[0].mean(), 0.8, atol=0.1)
    np.testing.assert_allclose(got[0].cov(), 0.8, atol=0.08)


def test_three_d_var_is_kalman_with_the_background(key):
    B = np.diag([2.0, 1.0, 0.5])
    for method in (FourDVar(B, 0), FourDVar(B, 0, inner=6)):
        state = method.init(MODEL)
        got, info = method.update(MODEL, state, Y, ALL, None)
        prior = Gaussian(jnp.ones(N), jnp.asarray(B))
        want, _ = Kalman().update(MODEL, prior, Y, ALL, None)
        np.testing.assert_allclose(got.now.location, want.mean(), rtol=1e-9)
        np.testing.assert_allclose(got.now.covariance, want.cov(), rtol=1e-9)
        np.testing.assert_allclose(info.innovation_cov, H @ B @ H.T + R, rtol=1e-12)


def test_inflation_rules_do_what_they_say(key):
    prior, X = np.asarray(MEMBERS) - 1.0, 0.3 * np.asarray(MEMBERS)
    spread = lambda A: np.sqrt((np.asarray(A) ** 2).sum(axis=0))
    got = RelaxSpread(0.5).after(jnp.asarray(prior), jnp.asarray(X), key=None)
    np.testing.assert_allclose(spread(got), 0.5 * (spread(prior) + spread(X)))
    got = RelaxPerturbations(0.25).after(jnp.asarray(prior), jnp.asarray(X), key=None)
    np.testing.assert_allclose(got, 0.75 * X + 0.25 * prior, rtol=1e-12)
    got = Additive(jnp.ones(N)).after(jnp.asarray(prior), jnp.asarray(X), key=key)
    np.testing.assert_allclose((got - X).sum(axis=0), 0.0, atol=1e-12)
    with pytest.raises(InputError, match="`alpha`"):
        RelaxSpread(1.5)
    with pytest.raises(InputError, match="`inflation`"):
        Multiplicative(-1.0)


def test_adaptive_inflation_finds_the_factor_that_is_missing():
    """Spread too small by 2 in variance: lambda must go there."""
    rule, rng = Adaptive(), np.random.default_rng(5)
    memory, S = rule.start(), rng.normal(size=(20, 10)) / np.sqrt(20)
    learn = jax.jit(rule.learn)
    for _ in range(400):
        v = np.linalg.cholesky(2 * S.T @ S + np.eye(10)) @ rng.normal(size=10)
        seen = jnp.sqrt(memory[0]) * jnp.asarray(S)
        memory = learn(memory, seen, jnp.asarray(v), jnp.ones(10))
    assert 1.6 < float(memory[0]) < 2.4


HOSTILE = {
    "an outlier": (MEMBERS, jnp.array([1e9, -1e9]), ALL, MODEL),
    "a constant ensemble": (jnp.ones((M, N)), Y, ALL, MODEL),
    "duplicates": (jnp.repeat(MEMBERS[:2], M // 2, axis=0), Y, ALL, MODEL),
    "noise that nearly repeats": (
        MEMBERS,
        Y,
        ALL,
        LinearGaussian(np.ones(N), np.eye(N), np.eye(N), np.eye(N), H, np.ones((2, 2))),
    ),
    "no noise": (
        MEMBERS,
        Y,
        ALL,
        LinearGaussian(
            np.ones(N), np.eye(N), np.eye(N), np.eye(N), H, np.zeros((2, 2))
        ),
    ),
    "an infinite prediction": (
        MEMBERS.at[0, 0].set(jnp.finfo(float).max),
        Y,
        ALL,
        LinearGaussian(
            np.ones(N), np.eye(N), np.eye(N), np.eye(N), 10 * np.ones((2, 3)), R
        ),
    ),
    "nothing": (MEMBERS, Y, jnp.zeros(P, bool), MODEL),
}


@pytest.mark.parametrize("method", EVERY, ids=_name)
def test_nothing_makes_it_not_a_number(method, key):
    run = jax.jit(
        lambda members, y, mask, model: method.update(
            model, _state(method, members), y, mask, None, key=key
        )
    )
    for name, (members, y, mask, model) in HOSTILE.items():
        state, info = run(members, y, mask, model)
        got = method.belief(state).members
        if name != "an infinite prediction":
            assert np.isfinite(got).all(), name
            assert np.isfinite(method.log_likelihood(info)), name
        else:
            assert not np.isnan(got).any(), name
        if name in ("nothing", "a constant ensemble", "an infinite prediction"):
            np.testing.assert_array_equal(got, members)


def _state(method, members):
    state = method.init(MODEL, key=jax.random.key(0))
    return jax.tree.map(lambda old: members if old.shape == (M, N) else old, state)


@pytest.mark.parametrize("guided", [False, True])
def test_particles_are_never_all_lost(guided, key):
    method = ParticleFilter(M, guided=guided)
    run = jax.jit(
        lambda y: method.update(
            MODEL, method.init(MODEL, key=key), y, ALL, None, key=key
        )
    )
    for y in (Y, jnp.array([1e9, -1e9]), jnp.array([1e200, 0.0])):
        state, info = run(y)
        assert np.isfinite(state.particles.weights()).all()
        assert np.isfinite(state.particles.members).all()
        assert np.isfinite(info.log_evidence)
