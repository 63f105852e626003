"""Orthogonal polynomials by their recurrence, and the Gauss rules that follow from it.

Everything here runs once, on the host, in float64 NumPy, and is cached by its
arguments; compiled code sees the tables as constants. A family of polynomials
orthonormal for a probability measure is held as its recurrence

    off[k+1] p[k+1](x) = (x - alpha[k]) p[k](x) - off[k] p[k-1](x),   p[0] = 1,

that is, as the symmetric tridiagonal (Jacobi) matrix of "multiply by x".
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh_tridiagonal

Table = np.ndarray
"""A float64 array on the host."""


class Recurrence(NamedTuple):
    """Coefficients of the three-term recurrence of orthonormal polynomials.

    Attributes:
        alpha: Diagonal of the Jacobi matrix, alpha[0] .. alpha[n-1].
        off: Its off-diagonal, off[k] between p[k-1] and p[k]; off[0] = 0, so n+1 long.
    """

    alpha: Table
    off: Table


class Rule(NamedTuple):
    """Nodes and weights of a quadrature rule: integral f = sum weights f(nodes)."""

    nodes: Table
    weights: Table


@lru_cache(maxsize=256)
def jacobi_recurrence(n: int, a: float, b: float) -> Recurrence:
    """Recurrence of the polynomials orthonormal for c (1-z)^a z^b dz on [0, 1].

    Args:
        n: Number of diagonal coefficients.
        a: Exponent at z = 1, above -1.
        b: Exponent at z = 0, above -1.

    Returns:
        The recurrence; c makes the measure a probability.
    """
    k = np.arange(1, n + 1, dtype=float)
    s = 2 * k + a + b
    alpha = np.empty(n + 1)
    alpha[0] = (b - a) / (a + b + 2)
    alpha[1:] = (b * b - a * a) / (s * (s + 2))
    beta = np.empty(n + 1)
    beta[0] = 0.0
    beta[1] = 4 * (1 + a) * (1 + b) / ((2 + a + b) ** 2 * (3 + a + b))
    k, s = k[1:], s[1:]
    beta[2:] = 4 * k * (k + a) * (k + b) * (k + a + b) / (s * s * (s + 1) * (s - 1))
    return Recurrence((1 + alpha[:n]) / 2, np.sqrt(beta) / 2)


@lru_cache(maxsize=64)
def laguerre_recurrence(n: int) -> Recurrence:
    """Recurrence of the Laguerre polynomials (signs of L_n) for exp(-s) on s > 0.

    Args:
        n: Number of diagonal coefficients.

    Returns:
        The recurrence. `off` is negative so that p[n] = L_n with L_n(0) = 1.
    """
    k = np.arange(n + 1, dtype=float)
    return Recurrence(2 * k[:n] + 1, -k)


@lru_cache(maxsize=64)
def half_hermite_recurrence(n: int) -> Recurrence:
    """Recurrence for the one-sided Gaussian 2 exp(-s^2) / sqrt(pi) on s > 0.

    No closed form exists; the discretised Stieltjes procedure is stable here.

    Args:
        n: Number of diagonal coefficients.

    Returns:
        The recurrence.

    References:
        Gautschi, Orthogonal Polynomials (2004), section 2.2.
    """
    nodes, weights = panel_rule(np.linspace(0.0, 6.0 + 2.2 * np.sqrt(n), 24), n + 40)
    mass = weights * np.exp(-(nodes**2)) * 2 / np.sqrt(np.pi)
    alpha, off = np.zeros(n), np.zeros(n + 1)
    before, now = np.zeros_like(nodes), np.ones_like(nodes)
    for k in range(n):
        alpha[k] = np.sum(mass * nodes * now**2)
        ahead = (nodes - alpha[k]) * now - off[k] * before
        off[k + 1] = np.sqrt(np.sum(mass * ahead**2))
        before, now = now, ahead / off[k + 1]
    return Recurrence(alpha, off)


def evaluate(recurrence: Recurrence, n: int, x: Table) -> Table:
    """Evaluate p[0] .. p[n-1] at `x` on the host.

    Args:
        recurrence: The family.
        n: Number of polynomials.
        x: Points, any shape.

    Returns:
        Values of shape (n, *x.shape).
    """
    alpha, off = recurrence
    values = np.empty((n, *np.shape(x)))
    values[0] = 1.0
    for k in range(n - 1):
        ahead = (x - alpha[k]) * values[k]
        if k:
            ahead = ahead - off[k] * values[k - 1]
        values[k + 1] = ahead / off[k + 1]
    return values


def gauss_rule(recurrence: Recurrence, n: int) -> Rule:
    """Gauss rule with n nodes for the measure of a recurrence (Golub and Welsch).

    The weights are Christoffel numbers 1 / sum p[k](x)^2, which keep their relative
    accuracy where eigenvector components have lost it.

    Args:
        recurrence: The family, with at least n coefficients.
        n: Number of nodes; exact for polynomials of degree 2n - 1.

    Returns:
        The rule; its weights sum to one.
    """
    diagonal, off = recurrence.alpha[:n], recurrence.off[1:n]
    nodes = np.asarray(eigh_tridiagonal(diagonal, off, eigvals_only=True))
    return Rule(nodes, 1.0 / np.sum(evaluate(recurrence, n, nodes) ** 2, axis=0))


@lru_cache(maxsize=256)
def gauss_jacobi(n: int, a: float = 0.0, b: float = 0.0) -> Rule:
    """Gauss rule for the probability measure c (1-z)^a z^b dz on [0, 1].

    Args:
        n: Number of nodes.
        a: Exponent at z = 1.
        b: Exponent at z = 0.

    Returns:
        The rule; a = b = 0 is Gauss-Legendre on [0, 1].
    """
    return gauss_rule(jacobi_recurrence(n, a, b), n)


@lru_cache(maxsize=64)
def gauss_laguerre(n: int) -> Rule:
    """Gauss rule for exp(-s) on s > 0.

    Args:
        n: Number of nodes.

    Returns:
        The rule; above n of about 180 the outermost weights underflow to zero.
    """
    return gauss_rule(laguerre_recurrence(n), n)


def panel_rule(edges: Table, n: int) -> Rule:
    """Composite Gauss-Legendre rule on the panels between `edges`.

    Args:
        edges: Increasing panel ends.
        n: Nodes on each panel.

    Returns:
        The rule, nodes in increasing order.
    """
    nodes, weights = gauss_jacobi(n)
    width = np.diff(edges)
    return Rule(
        (edges[:-1, None] + width[:, None] * nodes).ravel(),
        (width[:, None] * weights).ravel(),
    )
