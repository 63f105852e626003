"""Elimination of covariances against LAPACK, singular ones against their definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.elimination import UNROLL, decorrelate, loop, psd_root


def _covariance(n, rank, seed=0):
    root = np.random.default_rng(seed).normal(size=(n, rank))
    return root @ root.T


@pytest.mark.parametrize("n", [1, 3, UNROLL, UNROLL + 3])
def test_decorrelation_is_the_cholesky_factor_without_its_scale(n):
    cov, rows = _covariance(n, n + 2), np.random.default_rng(1).normal(size=(n, 4))
    pivots, right = decorrelate(jnp.array(cov), jnp.array(rows))
    lower = np.linalg.cholesky(cov)
    unit = lower / np.diagonal(lower)
    np.testing.assert_allclose(pivots, np.diagonal(lower) ** 2, rtol=1e-9)
    np.testing.assert_allclose(right, np.linalg.solve(unit, rows), rtol=1e-8)
    as_loop = decorrelate(jnp.array(cov), jnp.array(rows), longest=0)
    np.testing.assert_allclose(as_loop[0], pivots, rtol=1e-12)
    np.testing.assert_allclose(as_loop[1], right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [4, UNROLL + 4])
@pytest.mark.parametrize("rank", [0, 1, 3])
def test_a_root_of_a_singular_covariance_is_a_root(n, rank):
    cov = _covariance(n, rank)
    root = psd_root(jnp.array(cov))
    np.testing.assert_allclose(root @ root.T, cov, rtol=1e-10, atol=1e-10)
    assert (np.triu(root, 1) == 0).all()
    assert np.isfinite(root).all()


def test_a_component_without_noise_keeps_no_pivot_and_no_nan():
    cov = jnp.diag(jnp.array([2.0, 0.0, 3.0]))
    pivots, right = decorrelate(cov, jnp.eye(3))
    np.testing.assert_array_equal(pivots, [2.0, 0.0, 3.0])
    np.testing.assert_array_equal(right, np.eye(3))


def test_derivatives_of_a_singular_root_are_finite():
    cov = jnp.diag(jnp.array([2.0, 0.0, 3.0]))
    slope = jax.grad(lambda scale: jnp.sum(psd_root(scale * cov)))(jnp.ones(()))
    np.testing.assert_allclose(slope, 0.5 * (np.sqrt(2.0) + np.sqrt(3.0)), rtol=1e-14)


@pytest.mark.parametrize("rows", [0, 3, UNROLL + 1])
def test_a_loop_is_a_loop_written_out_or_not(rows):
    def body(total, i):
        return total + i, jnp.full(2, i)

    total, numbers = loop(body, jnp.zeros((), int), rows)
    assert int(total) == sum(range(rows))
    np.testing.assert_array_equal(numbers, np.repeat(np.arange(rows), 2).reshape(-1, 2))
