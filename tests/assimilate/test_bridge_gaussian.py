"""The bridge between normal distributions against grids, limits and its own flow."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from slipstate.assimilate.bridge import GaussianBridge, sinkhorn
from slipstate.systems import Gaussian


def _ends(n=3, seed=0):
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(2, n, n))
    S0, S1 = (r @ r.T + 0.3 * np.eye(n) for r in roots)
    m0, m1 = rng.normal(size=(2, n))
    return Gaussian(jnp.asarray(m0), jnp.asarray(S0)), Gaussian(
        jnp.asarray(m1), jnp.asarray(S1)
    )


def test_without_noise_it_is_the_optimal_map():
    start, end = _ends()
    S0, S1 = np.asarray(start.cov()), np.asarray(end.cov())
    root = scipy.linalg.sqrtm(S0).real
    back = np.linalg.inv(root)
    T = back @ scipy.linalg.sqrtm(root @ S1 @ root).real @ back
    bridge = GaussianBridge(start, end)
    np.testing.assert_allclose(bridge.gain, T, atol=1e-9)
    np.testing.assert_allclose(bridge.cross, S0 @ T, atol=1e-9)
    there = bridge.conditional(start.mean() + 1.0)
    np.testing.assert_allclose(there.cov(), 0.0, atol=1e-9)
    np.testing.assert_allclose(there.mean(), end.mean() + T @ np.ones(3), atol=1e-9)


def test_with_much_noise_the_ends_are_independent():
    start, end = _ends()
    bridge = GaussianBridge(start, end, 1e3)
    np.testing.assert_allclose(bridge.cross, 0.0, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, 0.8, 3.0])
def test_the_drift_carries_one_marginal_to_the_next(sigma):
    start, end = _ends(2, 1)
    bridge = GaussianBridge(start, end, sigma)
    for t, want in ((0.0, start), (1.0, end)):
        np.testing.assert_allclose(bridge.marginal(t).cov(), want.cov(), atol=1e-9)
        np.testing.assert_allclose(bridge.marginal(t).mean(), want.mean(), atol=1e-9)
    t, d = 0.4, 1e-5
    zero = bridge.drift(t, jnp.zeros(2))
    A = np.stack([np.asarray(bridge.drift(t, e) - zero) for e in jnp.eye(2)], axis=1)
    here = bridge.marginal(t)
    P, m = np.asarray(here.cov()), np.asarray(here.mean())
    ahead, behind = bridge.marginal(t + d), bridge.marginal(t - d)
    dP = np.asarray(ahead.cov() - behind.cov()) / (2 * d)
    dm = np.asarray(ahead.mean() - behind.mean()) / (2 * d)
    np.testing.assert_allclose(A @ m + np.asarray(zero), dm, atol=1e-6)
    np.testing.assert_allclose(A @ P + P @ A.T + sigma**2 * np.eye(2), dP, atol=1e-6)


def test_a_grid_and_sinkhorn_give_the_same_covariance_of_the_ends():
    sigma, x = 0.9, np.linspace(-6, 6, 121)
    weigh = lambda m, s: np.exp(-0.5 * ((x - m) / s) ** 2)
    a, b = (w / w.sum() for w in (weigh(0.3, 1.0), weigh(-0.5, 0.6)))
    cost = jnp.asarray(0.5 * (x[:, None] - x[None, :]) ** 2)
    plan = np.asarray(sinkhorn(cost, jnp.asarray(a), jnp.asarray(b), sigma**2, 60).plan)
    cross = x @ plan @ x - (x @ a) * (x @ b)
    one = lambda m, s: Gaussian(jnp.full(1, m), jnp.full((1, 1), s**2))
    bridge = GaussianBridge(one(0.3, 1.0), one(-0.5, 0.6), sigma)
    np.testing.assert_allclose(bridge.cross[0, 0], cross, rtol=1e-6)
