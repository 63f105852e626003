"""The ensemble transform Kalman filter: exact identities, convergence, Lorenz-63."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate import (
    EnsembleTransformKalman,
    Kalman,
    Observations,
    filter_series,
)
from slipstate.assimilate.ensemble import rotate, transform, transform_anyhow
from slipstate.ground.errors import InputError, MethodError
from slipstate.ground.quick_random import quick_uniform
from slipstate.systems import (
    AbstractTransition,
    Diffuse,
    Ensemble,
    Gaussian,
    LinearGaussian,
    LinearObservation,
    StateSpaceModel,
)


def _model(n=4, p=2, seed=0):
    rng = np.random.default_rng(seed)
    F = 0.9 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    root = rng.normal(size=(p, p))
    R = root @ root.T + np.eye(p)
    H = rng.normal(size=(p, n))
    return LinearGaussian(np.ones(n), np.eye(n), F, 0.3 * np.eye(n), H, R)


@pytest.mark.parametrize(("members", "p"), [(12, 2), (12, 1), (5, 9)])
def test_the_analysis_is_kalmans_with_the_covariance_of_the_ensemble(members, p, key):
    model = _model(4, p)
    method = EnsembleTransformKalman(members=members, rotate=False)
    draws = jax.random.normal(key, (members, 4)) * 2.0 + 1.0
    state = Ensemble(draws)
    y, mask = jnp.arange(1.0, p + 1.0), jnp.arange(p) != 1
    got, info = method.update(model, state, y, mask, None, key=key)
    prior = Gaussian(state.mean(), state.cov())
    want, exact = Kalman().update(model, prior, y, mask, None)
    np.testing.assert_allclose(got.mean(), want.mean(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(got.cov(), want.cov(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(info.innovation_cov, exact.innovation_cov, rtol=1e-10)
    np.testing.assert_allclose(
        method.log_likelihood(info), Kalman().log_likelihood(exact), rtol=1e-10
    )


def test_the_transform_is_the_symmetric_root(key):
    key_x, key_s = jax.random.split(key)
    X = jax.random.normal(key_x, (7, 3))
    for p in (3, 11):
        S = jax.random.normal(key_s, (7, p))
        _, after = transform(X, S, jnp.zeros(p))
        values, vectors = np.linalg.eigh(np.eye(7) + np.asarray(S @ S.T))
        root = (vectors / np.sqrt(values)) @ vectors.T
        np.testing.assert_allclose(after, root @ np.asarray(X), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sharp", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize(("members", "p"), [(7, 3), (7, 11), (2, 1), (5, 5)])
def test_any_root_has_the_moments_of_the_symmetric_one(members, p, sharp, key):
    key_x, key_s, key_y = jax.random.split(key, 3)
    centre = lambda x: x - x.mean(axis=0, keepdims=True)
    X = centre(jax.random.normal(key_x, (members, 5)))
    S = sharp * centre(jax.random.normal(key_s, (members, p)))
    white = jax.random.normal(key_y, (p,))
    got_shift, got = transform_anyhow(X, S, white)
    X, S, white = (np.asarray(part) for part in (X, S, white))
    U, sizes, _ = np.linalg.svd(S)  # its small numbers are exact, eigh's are not
    values = np.zeros(members)
    values[: len(sizes)] = sizes**2
    inverse = (U / (1.0 + values)) @ U.T
    shift, cov = X.T @ inverse @ S @ white, X.T @ inverse @ X
    rtol = 1e-10 * max(sharp, 1.0)
    np.testing.assert_allclose(got_shift, shift, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(got.T @ got, cov, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=0), 0.0, atol=1e-12)


def test_a_rotation_is_one_reflection_after_the_other(key):
    X = jax.random.normal(key, (12, 5))
    X = X - X.mean(axis=0, keepdims=True)
    normals = np.array(quick_uniform(key, (8, 12), np.dtype(float)))
    want = np.array(X)
    for normal in normals - normals.mean(axis=1, keepdims=True):
        want = want - 2.0 * np.outer(normal, normal @ want) / (normal @ normal)
    np.testing.assert_allclose(rotate(X, key=key), want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("members", [2, 3, 10, 40])
def test_a_rotation_keeps_mean_and_covariance_and_moves_the_members(members, key):
    X = jax.random.normal(key, (members, 5))
    X = X - X.mean(axis=0, keepdims=True)
    turned = rotate(X, key=key)
    np.testing.assert_allclose(turned.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(turned.T @ turned, X.T @ X, rtol=1e-12, atol=1e-12)
    assert np.abs(turned - X).max() > 0.1


def test_inflation_scales_the_spread_and_not_the_mean(key):
    model, y = _model(), jnp.array([0.3, -0.2])
    state = Ensemble(jax.random.normal(key, (20, 4)))
    plain, wide = (
        EnsembleTransformKalman(members=20, inflation=rho).update(
            model, state, y, jnp.ones(2, bool), None, key=key
        )[0]
        for rho in (1.0, 1.1)
    )
    np.testing.assert_allclose(wide.mean(), plain.mean(), rtol=1e-12)
    np.testing.assert_allclose(wide.cov(), 1.21 * plain.cov(), rtol=1e-12)


@pytest.mark.slow
def test_the_error_against_kalman_falls_with_the_root_of_the_members(key):
    model = _model()
    y = Observations(np.random.default_rng(1).normal(size=(30, 2)))
    exact = filter_series(model, y).means

    def error(members):
        runs = [
            filter_series(model, y, EnsembleTransformKalman(members=members), key=k)
            for k in jax.random.split(key, 4)
        ]
        return np.sqrt(np.mean([(np.asarray(r.means) - exact) ** 2 for r in runs]))

    few, many = error(50), error(3200)
    assert many < 0.02
    assert 4.0 < few / many < 16.0  # 8 expected


def test_results_carry_the_members(key):
    method = EnsembleTransformKalman(members=6)
    got = filter_series(_model(), Observations(np.zeros((5, 2))), method, key=key)
    assert got.ensembles.shape == (5, 6, 4)
    np.testing.assert_allclose(got.ensembles.mean(axis=1), got.means, rtol=1e-12)
    with pytest.raises(MethodError, match="carries none"):
        _ = filter_series(_model(), Observations(np.zeros((5, 2)))).ensembles


def test_an_initial_ensemble_is_taken_as_it_is(key):
    base = _model()
    start = jax.random.normal(key, (6, 4))
    model = StateSpaceModel(Ensemble(start), base.transition, base.observation)
    data = Observations(np.full((1, 2), np.nan))
    got = filter_series(model, data, EnsembleTransformKalman(members=6), key=key)
    np.testing.assert_array_equal(got.ensembles[0], start)
    with pytest.raises(MethodError, match="must be 6"):
        filter_series(model, data, EnsembleTransformKalman(members=7), key=key)


def test_wrong_settings_are_refused():
    with pytest.raises(InputError, match="`members`"):
        EnsembleTransformKalman(members=1)
    with pytest.raises(InputError, match="`inflation`"):
        EnsembleTransformKalman(inflation=0.0)
    with pytest.raises(InputError, match="`key`"):
        filter_series(
            _model(), Observations(np.zeros((2, 2))), EnsembleTransformKalman()
        )
    start = Diffuse(jnp.zeros(4), jnp.eye(4), jnp.eye(4))
    model = eqx.tree_at(lambda m: m.initial, _model(), start)
    with pytest.raises(MethodError, match="Diffuse"):
        filter_series(model, Observations(np.zeros((2, 2))), EnsembleTransformKalman())


class Lorenz63(AbstractTransition):
    """Sakov et al. (2012): sigma, rho, beta = 10, 28, 8/3, RK4 in steps of 0.01."""

    def mean(self, x, u, dt):
        step = dt / 25

        def rate(x):
            return jnp.stack(
                [
                    10 * (x[1] - x[0]),
                    x[0] * (28 - x[2]) - x[1],
                    x[0] * x[1] - 8 / 3 * x[2],
                ]
            )

        def runge_kutta(x, _):
            k1 = rate(x)
            k2 = rate(x + step / 2 * k1)
            k3 = rate(x + step / 2 * k2)
            k4 = rate(x + step * k3)
            return x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        return jax.lax.scan(runge_kutta, x, None, length=25)[0]

    def noise_factor(self, x, u, dt):
        return jnp.zeros((3, 0))


@pytest.mark.slow
def test_lorenz_63_of_sakov_2012_gives_the_accepted_error():
    """10 members, inflation 1.02, rotation: .55 to .66 in other programs."""
    start, cycles, burn = jnp.array([1.509, -1.531, 25.46]), 1000, 64
    model = StateSpaceModel(
        Gaussian(start, 2 * jnp.eye(3)),
        Lorenz63(),
        LinearObservation(jnp.eye(3), 2 * jnp.eye(3)),
    )
    method = EnsembleTransformKalman(members=10, inflation=1.02)

    def error(key):
        key_truth, key_noise, key_filter = jax.random.split(key, 3)

        def advance(x, _):
            x = model.transition.mean(x, None, jnp.asarray(0.25))
            return x, x

        first = model.initial.sample(key=key_truth)
        truth = jax.lax.scan(advance, first, None, length=cycles)[1]
        y = truth + jnp.sqrt(2.0) * jax.random.normal(key_noise, truth.shape)
        t = 0.25 * jnp.arange(1.0, cycles + 1)
        got = filter_series(
            model, Observations(y, t=t), method, key=key_filter, prior_at="before"
        )
        square = jnp.mean((got.means - truth)[burn:] ** 2, axis=1)
        return jnp.mean(jnp.sqrt(square))

    errors = jax.vmap(error)(jax.random.split(jax.random.key(63), 16))
    assert 0.55 < float(jnp.mean(errors)) < 0.66
