"""Gauss rules against moments, and recurrences against each other."""

import numpy as np
import pytest
from scipy.special import beta, eval_jacobi, gamma, roots_legendre

from slipstate.ground.quadrature import (
    evaluate,
    gauss_jacobi,
    gauss_laguerre,
    gauss_rule,
    half_hermite_recurrence,
    jacobi_recurrence,
    panel_rule,
)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (-0.5, -0.5), (0.5, 0.5), (0.3, -0.7)])
def test_gauss_jacobi_has_the_moments_of_its_measure(a, b):
    nodes, weights = gauss_jacobi(12, a, b)
    for k in range(24):
        exact = beta(a + 1, b + 1 + k) / beta(a + 1, b + 1)
        assert np.isclose(weights @ nodes**k, exact, rtol=1e-12)


def test_gauss_legendre_equals_scipy_for_many_nodes():
    nodes, weights = gauss_jacobi(200)
    x, w = roots_legendre(200)
    assert np.allclose(nodes, (x + 1) / 2, atol=1e-15)
    assert np.allclose(weights, w / 2, rtol=1e-11)


def test_recurrence_is_proportional_to_the_classical_polynomials():
    z = np.linspace(0.01, 0.99, 7)
    values = evaluate(jacobi_recurrence(9, 0.3, -0.4), 9, z)
    for n in range(9):
        ratio = values[n] / eval_jacobi(n, 0.3, -0.4, 2 * z - 1)
        assert np.allclose(ratio, ratio[0], rtol=1e-11)


def test_laguerre_and_half_hermite_moments():
    nodes, weights = gauss_laguerre(20)
    assert np.isclose(weights @ nodes**30, gamma(31), rtol=1e-11)
    nodes, weights = gauss_rule(half_hermite_recurrence(20), 20)
    assert np.isclose(weights @ nodes**9, gamma(5) / np.sqrt(np.pi), rtol=1e-12)


def test_panels_meet_at_their_edges():
    nodes, weights = panel_rule(np.array([0.0, 0.2, 2.0]), 6)
    assert np.all(np.diff(nodes) > 0)
    assert np.isclose(weights @ np.abs(nodes - 0.2), 0.02 + 1.62, rtol=1e-13)
