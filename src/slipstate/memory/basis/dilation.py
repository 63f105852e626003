"""Closed forms of the dilation z -> r z in Jacobi (0, b) polynomials.

The coefficients of p_n(r y) in p_m(y) obey the recurrence of the polynomials with
"multiply by z" replaced by r J, so A(r) = r^{1+b} D(r) costs O(N^2), is lower
triangular, and A(r) = r^G with a fixed generator G. For b = 0, G is the HiPPO-LegS
matrix, whose product with a vector is O(N).
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.quadrature import jacobi_recurrence
from slipstate.memory.basis.protocol import constant


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def dilation_matrix(
    modes: int, b: float, log_ratio: Float[Array, ""]
) -> Float[Array, "mode mode"]:
    """Return A(r) = r^G = int_0^r p_n(z) p_m(z/r) (b+1) z^b dz.

    Args:
        modes: Number of polynomials N.
        b: Exponent of the measure at the old end.
        log_ratio: ln r <= 0; at -inf the matrix is zero.

    Returns:
        A, lower triangular, to a few units of rounding for any r and N.
    """
    # rows of D - 1, not of D: what r near 1 changes is then accurate, not only D
    alpha, off = jacobi_recurrence(modes, 0.0, b)
    r, rho = jnp.exp(log_ratio), -jnp.expm1(log_ratio)
    spread = constant(alpha, r)
    below, above = constant(off[:-1], r), constant(off[1:], r)
    multiplier = constant(_multiplier(modes, b), r)

    def multiply(row):  # coefficients of z * (row . p)
        down = jnp.concatenate([row[:1] * 0.0, row[:-1]])
        up = jnp.concatenate([row[1:], row[:1] * 0.0])
        return below * down + above * up

    def ahead(carry, entry):
        before, now = carry
        centre, back, scale, still = entry
        # r (J - alpha_n) - rho alpha_n rather than r J - alpha_n: exact near r = 1
        moved = r * (multiply(now) + (spread - centre) * now)
        after = (moved - rho * (centre * now + still) - back * before) * scale
        return (now, after), now

    zero = jnp.zeros(modes, r.dtype)
    rows = (spread, below, 1.0 / above, multiplier)
    _, change = jax.lax.scan(ahead, (zero, zero), rows)
    eye = jnp.eye(modes, dtype=r.dtype)
    return (eye + jnp.tril(change)) * jnp.exp((1.0 + b) * log_ratio)


@dilation_matrix.defjvp
def _dilation_matrix_jvp(modes, b, primals, tangents):
    """DA / d ln r = G A, since A and G commute."""
    matrix = dilation_matrix(modes, b, *primals)
    # a reset has ln r = -inf and no derivative; A is zero there
    speed = jnp.where(jnp.isfinite(primals[0]), tangents[0], 0.0)
    return matrix, constant(dilation_generator(modes, b), matrix) @ matrix * speed


@lru_cache(maxsize=64)
def dilation_generator(modes: int, b: float = 0.0) -> np.ndarray:
    """Return G with A(r) = r^G: (1 + b) I + <p_m, z p_n'>, on the host.

    Args:
        modes: Number of polynomials.
        b: Exponent of the measure at the old end.

    Returns:
        G, lower triangular with diagonal n + 1 + b.
    """
    if b == 0.0:
        n = np.arange(modes)
        scale = np.sqrt(2.0 * n + 1.0)
        return np.tril(np.outer(scale, scale), -1) + np.diag(n + 1.0)
    alpha, off = jacobi_recurrence(modes, 0.0, b)
    jacobi = _multiplier(modes, b)
    rows = np.zeros((modes, modes))  # of z p_n' = dD/dr at r = 1
    eye = np.eye(modes)
    for n in range(modes - 1):
        ahead = jacobi @ eye[n] + jacobi @ rows[n] - alpha[n] * rows[n]
        if n:
            ahead = ahead - off[n] * rows[n - 1]
        rows[n + 1] = ahead / off[n + 1]
    return np.tril(rows) + (1.0 + b) * eye


def _multiplier(modes: int, b: float) -> np.ndarray:
    """Return the Jacobi matrix of "multiply by z"."""
    alpha, off = jacobi_recurrence(modes, 0.0, b)
    return np.diag(alpha) + np.diag(off[1:modes], 1) + np.diag(off[1:modes], -1)


def multiply_legs(c: Float[Array, "mode *channel"]) -> Float[Array, "mode *channel"]:
    """Return A_LegS c in O(N): a running sum and two scalings.

    Args:
        c: Coefficients, the mode first.

    Returns:
        The product with the HiPPO-LegS matrix.
    """
    n = np.arange(c.shape[0])
    shape = (-1,) + (1,) * (c.ndim - 1)
    scale = constant(np.sqrt(2.0 * n + 1.0), c).reshape(shape)
    diagonal = constant(n + 1.0, c).reshape(shape)
    scaled = scale * c
    before = jnp.cumsum(scaled, axis=0) - scaled
    return diagonal * c + scale * before


def apply_dilation(
    log_ratio: Float[Array, ""], c: Float[Array, "mode *channel"], terms: int
) -> Float[Array, "mode *channel"]:
    """Return r^{A_LegS} c without any matrix, by a Taylor series of O(N) products.

    Args:
        log_ratio: ln r <= 0 with |ln r| N^2 below about 20; the terms alternate, so
            beyond that digits are lost (use `dilation_matrix`).
        c: Coefficients, the mode first.
        terms: Number of terms of the series.

    Returns:
        The coefficients of the dilated past.
    """

    def add(carry, k):
        total, term = carry
        term = multiply_legs(term) * (log_ratio / k)
        return (total + term, term), None

    (total, _), _ = jax.lax.scan(add, (c, c), constant(np.arange(1, terms + 1), c))
    return total


def taylor_terms(modes: int, log_ratio: float) -> int:
    """Return how many terms `apply_dilation` needs for a relative error of 1e-14.

    Args:
        modes: Number of polynomials.
        log_ratio: The most negative ln r of the series.

    Returns:
        Number of terms.
    """
    # largest singular value of A_LegS, asymptotically N^2 / 2.0 within 3 %
    size = abs(log_ratio) * (modes**2 / 2.0 + modes)
    term, k = 1.0, 0
    while term > 1e-15 or k < size:
        k += 1
        term *= size / k
    return k
