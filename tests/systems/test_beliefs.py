"""Beliefs: densities against SciPy and quadrature, moments against their own draws."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from slipstate.ground.errors import InputError
from slipstate.systems import (
    Categorical,
    Diffuse,
    Ensemble,
    Gaussian,
    Mixture,
    Particles,
    masked_log_density,
)

MEAN = jnp.array([1.0, -2.0])
COV = jnp.array([[2.0, 0.6], [0.6, 0.5]])


def _beliefs():
    rng = np.random.default_rng(0)
    members = jnp.array(rng.normal(size=(30, 2)) @ np.array([[1.0, 0.4], [0.0, 0.6]]))
    return [
        Gaussian(MEAN, COV),
        Mixture(
            jnp.log(jnp.array([0.2, 0.5, 0.3])),
            jnp.array([[0.0, 0.0], [2.0, 1.0], [-1.0, 2.0]]),
            jnp.stack([COV, 0.3 * COV, jnp.eye(2)]),
        ),
        Ensemble(members),
        Particles(members, jnp.array(rng.normal(size=30))),
    ]


BELIEFS = _beliefs()


@pytest.mark.parametrize("belief", BELIEFS, ids=lambda b: type(b).__name__)
def test_mean_and_covariance_are_those_of_the_density(belief):
    axis = np.linspace(-9, 9, 181)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    weight = (
        np.exp(jax.vmap(belief.log_prob)(jnp.array(grid))) * (axis[1] - axis[0]) ** 2
    )
    np.testing.assert_allclose(weight.sum(), 1.0, rtol=1e-4)
    mean = weight @ grid
    cov = (grid - mean).T @ ((grid - mean) * weight[:, None])
    np.testing.assert_allclose(belief.mean(), mean, atol=2e-3)
    np.testing.assert_allclose(belief.cov(), cov, atol=5e-3)
    np.testing.assert_array_equal(belief.var(), np.diagonal(belief.cov()))


@pytest.mark.parametrize("belief", BELIEFS, ids=lambda b: type(b).__name__)
def test_draws_have_the_mean_and_about_the_covariance(belief, key):
    draws = jax.vmap(lambda key: belief.sample(key=key))(jax.random.split(key, 20_000))
    np.testing.assert_allclose(draws.mean(axis=0), belief.mean(), atol=0.05)
    # draws of members have the covariance normalised by their number
    np.testing.assert_allclose(np.cov(draws.T), belief.cov(), rtol=0.1, atol=0.05)


def test_the_gaussian_density_is_scipys():
    x = jnp.array([0.3, -1.0])
    normal: Any = scipy.stats.multivariate_normal
    want = normal(np.asarray(MEAN), np.asarray(COV)).logpdf(x)
    np.testing.assert_allclose(Gaussian(MEAN, COV).log_prob(x), want, rtol=1e-13)
    assert np.isnan(Gaussian(MEAN, jnp.zeros((2, 2))).log_prob(x))


def test_one_component_is_a_gaussian():
    x = jnp.array([0.3, -1.0])
    single = Mixture(jnp.zeros(1), MEAN[None], COV[None])
    np.testing.assert_allclose(single.log_prob(x), Gaussian(MEAN, COV).log_prob(x))
    np.testing.assert_allclose(single.cov(), COV)


def test_equal_weights_make_particles_an_ensemble():
    ensemble = BELIEFS[2]
    assert isinstance(ensemble, Ensemble)
    equal = Particles(ensemble.members, jnp.full(30, 5.0))
    np.testing.assert_allclose(equal.effective_size(), 30.0)
    np.testing.assert_allclose(equal.mean(), ensemble.mean())
    np.testing.assert_allclose(equal.cov(), ensemble.cov())
    x = jnp.zeros(2)
    np.testing.assert_allclose(equal.log_prob(x), ensemble.log_prob(x))


def test_a_diffuse_belief_says_so():
    belief = Diffuse(MEAN, COV, jnp.array([[1.0], [0.0]]))
    assert np.isposinf(belief.cov()[0, 0])
    assert belief.cov()[1, 1] == COV[1, 1]
    assert np.isneginf(belief.log_prob(MEAN))
    with pytest.raises(InputError, match="cannot be sampled"):
        belief.sample(key=jax.random.key(0))
    proper = Diffuse(MEAN, COV, jnp.zeros((2, 1)))
    np.testing.assert_allclose(
        proper.log_prob(MEAN), Gaussian(MEAN, COV).log_prob(MEAN)
    )


def test_a_switch_is_a_row_of_the_identity(key):
    belief = Categorical(jnp.log(jnp.array([0.2, 0.5, 0.3])) + 3.0)
    np.testing.assert_allclose(belief.mean(), [0.2, 0.5, 0.3])
    draws = jax.vmap(lambda key: belief.sample(key=key))(jax.random.split(key, 20_000))
    np.testing.assert_allclose(draws.mean(axis=0), belief.mean(), atol=0.01)
    np.testing.assert_allclose(np.cov(draws.T), belief.cov(), atol=0.01)
    np.testing.assert_allclose(belief.log_prob(jnp.eye(3)[1]), np.log(0.5))


def test_the_masked_density_is_the_marginal_one():
    cov = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.3], [0.1, 0.3, 3.0]])
    v = np.array([0.4, 0.0, -1.0])
    mask = np.array([True, False, True])
    small = cov[np.ix_(mask, mask)]
    want = -0.5 * (
        v[mask] @ np.linalg.solve(small, v[mask])
        + np.linalg.slogdet(2 * np.pi * small)[1]
    )
    got = masked_log_density(jnp.array(v), jnp.array(cov), jnp.array(mask))
    np.testing.assert_allclose(got, want, rtol=1e-13)
