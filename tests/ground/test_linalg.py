"""Triangular factors without a library call, against the library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from slipstate.ground.linalg import divide_lower, solve_lower, triangular_factor


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 2), (4, 9), (12, 20)])
def test_the_factor_is_cholesky_without_forming_the_product(n, m):
    columns = np.random.default_rng(n).normal(size=(n, m))
    got = triangular_factor(jnp.array(columns))
    np.testing.assert_allclose(got @ got.T, columns @ columns.T, atol=1e-13)
    assert (np.triu(got, 1) == 0).all()
    assert (np.diagonal(got) >= 0).all()
    if m >= n:
        want = np.linalg.cholesky(columns @ columns.T)
        np.testing.assert_allclose(got, want, atol=1e-11)


def test_units_of_the_rows_do_not_matter():
    """Rows scaled by powers of two from 2^-400 to 2^400 scale the factor's rows."""
    columns = np.random.default_rng(0).normal(size=(4, 6))
    scale = 2.0 ** np.array([400.0, -400.0, 0.0, 30.0])
    got = triangular_factor(jnp.array(scale[:, None] * columns))
    plain = triangular_factor(jnp.array(columns))
    np.testing.assert_array_equal(got, scale[:, None] * np.asarray(plain))


def test_what_a_product_cannot_hold_a_factor_can():
    """The second pivot is 1e-12 of the first: lost in the squared matrix."""
    columns = jnp.array([[1.0, 0.0], [1.0, 1e-12]])
    got = triangular_factor(columns)
    np.testing.assert_allclose(got, [[1.0, 0.0], [1.0, 1e-12]], rtol=1e-3)
    assert np.linalg.eigvalsh(columns @ columns.T)[0] < 1e-16


def test_a_repeated_row_gets_an_exact_zero_and_a_finite_gradient():
    base = np.random.default_rng(2).normal(size=(2, 5))
    columns = jnp.array([base[0], base[1], base[0] - 3 * base[1], 0 * base[0]])
    got = triangular_factor(columns)
    assert (np.diagonal(got)[2:] == 0).all()
    np.testing.assert_allclose(got @ got.T, columns @ columns.T, atol=1e-14)

    def height(scale):
        factor = triangular_factor(scale * columns)
        return jnp.sum(jnp.cos(factor @ factor.T))

    def plain(scale):
        return jnp.sum(jnp.cos(scale**2 * columns @ columns.T))

    slope = jax.grad(height)(jnp.ones(()))
    np.testing.assert_allclose(slope, jax.grad(plain)(jnp.ones(())), rtol=1e-12)


@pytest.mark.parametrize("n", [3, 11])
def test_triangular_systems_are_solved_from_either_side(n):
    rng = np.random.default_rng(n)
    lower = np.tril(rng.normal(size=(n, n)), -1) + np.diag(1 + rng.uniform(size=n))
    rhs = rng.normal(size=(n, 2))
    got = solve_lower(jnp.array(lower), jnp.array(rhs))
    np.testing.assert_allclose(lower @ got, rhs, atol=1e-12)
    got = divide_lower(jnp.array(rhs.T), jnp.array(lower))
    np.testing.assert_allclose(got @ lower, rhs.T, atol=1e-12)


def test_a_component_without_variance_is_left_alone():
    lower = jnp.array([[2.0, 0.0], [1.0, 0.0]])
    got = solve_lower(lower, jnp.array([[4.0], [2.0]]))
    np.testing.assert_array_equal(got, [[2.0], [0.0]])
    got = divide_lower(jnp.array([[4.0, 7.0]]), lower)
    np.testing.assert_array_equal(got, [[2.0, 0.0]])
