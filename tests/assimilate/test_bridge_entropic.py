"""Weights alone: mean, covariance and limits; and the bridge between mixtures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.assimilate.bridge import (
    FlowFilter,
    FoellmerFilter,
    MixtureBridge,
    ScoreFilter,
    SinkhornTransform,
)
from slipstate.systems import Ensemble, LinearGaussian, Mixture

M = 40
MODEL = LinearGaussian(
    np.zeros(2), np.eye(2), np.eye(2), np.eye(2), np.eye(2), np.eye(2)
)


@eqx.filter_jit
def update(method, x, y, mask, key):
    return method.update(MODEL, Ensemble(x), y, mask, None, key=key)


@pytest.mark.parametrize("second_order", [False, True])
def test_the_transform_has_the_weighted_mean_and_covariance(second_order, key):
    x = jax.random.normal(key, (M, 2))
    y, mask = jnp.array([1.0, -0.5]), jnp.array([True, True])
    method = SinkhornTransform(M, second_order=second_order, sweeps=300)
    after, info = update(method, x, y, mask, key)
    w = np.exp(-0.5 * ((np.asarray(x) - np.asarray(y)) ** 2).sum(axis=1))
    evidence = np.log(w.mean() / (2 * np.pi))
    w /= w.sum()
    mean = w @ np.asarray(x)
    cov = np.cov(np.asarray(x).T, aweights=w, ddof=0)
    np.testing.assert_allclose(after.mean(), mean, atol=1e-5)
    np.testing.assert_allclose(method.log_likelihood(info), evidence, rtol=1e-10)
    if second_order:
        np.testing.assert_allclose(after.cov(), cov, atol=1e-9)
    else:
        assert np.trace(after.cov()) < np.trace(cov)


@pytest.mark.parametrize(
    "method", [FoellmerFilter(M), ScoreFilter(M, steps=60), FlowFilter(M)], ids=type
)
def test_generative_updates_head_for_the_observation_and_stay_finite(method, key):
    x = jax.random.normal(key, (M, 2))
    both = jnp.array([True, True])
    means = []
    for y in (jnp.array([1.0, 0.0]), jnp.array([-1.0, 0.0]), jnp.array([40.0, 0.0])):
        after, _ = update(method, x, y, both, key)
        assert np.isfinite(after.members).all()
        means.append(after.mean())
    # the exact means are .5 and -.5
    assert 0.15 < means[0][0] < 0.9
    assert -0.9 < means[1][0] < -0.15
    none, info = update(method, x, jnp.zeros(2), jnp.array([False, False]), key)
    np.testing.assert_array_equal(none.members, x)
    assert method.log_likelihood(info) == 0.0


@pytest.mark.slow
def test_a_bridge_between_mixtures_has_both_ends(key):
    eye = jnp.eye(1)
    start = Mixture(
        jnp.log(jnp.array([0.5, 0.5])),
        jnp.array([[-2.0], [2.0]]),
        jnp.stack([0.2 * eye, 0.3 * eye]),
    )
    end = Mixture(
        jnp.log(jnp.array([0.2, 0.5, 0.3])),
        jnp.array([[-3.0], [0.5], [3.0]]),
        jnp.stack([0.1 * eye, 0.2 * eye, 0.4 * eye]),
    )
    bridge = MixtureBridge(start, end, 1.0)
    for t, want in ((0.0, start), (1.0, end)):
        got = bridge.marginal(t)
        for x in (-2.5, 0.3, 2.2):
            place = jnp.array([x])
            np.testing.assert_allclose(
                got.log_prob(place), want.log_prob(place), atol=1e-5
            )
    keys = jax.random.split(key, 4000)
    draw = jax.vmap(lambda k: bridge.transport(start.sample(key=k), key=k))
    x = np.asarray(draw(keys))[:, 0]
    np.testing.assert_allclose(x.mean(), end.mean()[0], atol=0.15)
    np.testing.assert_allclose(x.std(), np.sqrt(end.cov()[0, 0]), rtol=0.05)
