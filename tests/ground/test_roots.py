"""The two matrix functions against their definitions, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from slipstate.ground.roots import inverse_and_shrinkage


@pytest.mark.parametrize("n", [1, 4])
def test_values_are_the_definitions(n):
    root = np.random.default_rng(n).normal(size=(n, n))
    C = root @ root.T
    inverse, phi = inverse_and_shrinkage(jnp.array(C))
    one = np.eye(n)
    np.testing.assert_allclose(inverse, np.linalg.inv(one + C), rtol=1e-12)
    half = np.linalg.inv(scipy.linalg.sqrtm(one + C))
    np.testing.assert_allclose(phi, (half - one) @ np.linalg.inv(C), rtol=1e-9)


def test_nothing_observed_is_no_division_by_zero():
    inverse, phi = inverse_and_shrinkage(jnp.zeros((3, 3)))
    np.testing.assert_allclose(inverse, np.eye(3))
    np.testing.assert_allclose(phi, -0.5 * np.eye(3))


@pytest.mark.parametrize("C", [np.zeros((3, 3)), np.eye(3), np.diag([2.0, 2.0, 0.5])])
def test_derivatives_are_finite_differences_also_where_eigenvalues_agree(C):
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(3, 3))
    direction = direction + direction.T + 6 * np.eye(3)
    at = jnp.array(C)
    _, tangents = jax.jvp(inverse_and_shrinkage, (at,), (jnp.array(direction),))
    h = 1e-6
    # one-sided: half of the neighbourhood of a singular C is not positive
    ends = [inverse_and_shrinkage(at + s * h * direction) for s in (0.0, 1.0, 2.0)]
    for i, tangent in enumerate(tangents):
        slope = (4 * ends[1][i] - 3 * ends[0][i] - ends[2][i]) / (2 * h)
        np.testing.assert_allclose(tangent, slope, rtol=1e-5, atol=1e-5)
    slope = jax.grad(lambda x: jnp.sum(inverse_and_shrinkage(x)[1]))(at)
    assert np.isfinite(slope).all()
