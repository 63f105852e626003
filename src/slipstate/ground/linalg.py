"""Small dense linear algebra that neither hangs nor hides a failure.

Covariances travel as matrices or as factors L with P = L L^T. Nothing here adds an
absolute jitter: geodetic data have millimetre noise on metre signals, and a constant
added to a diagonal would decide the likelihood.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def after(value: Float[Array, "*shape"], first: Array) -> Float[Array, "*shape"]:
    """Return `value` unchanged, but only once `first` is known.

    jaxlib before 0.11 can deadlock when two independent batched factorisations stand
    in one compiled body (see `slipstate.ground.platform`). Passing the input of the
    second through `after(input, output_of_the_first)` makes the compiler run them one
    behind the other. Adding a 1e-300 multiple of a number changes no bit of any
    normal number; an optimisation barrier is not enough.

    Args:
        value: Input of the second factorisation.
        first: Any output of the first one.

    Returns:
        `value`, with a data dependency on `first`.
    """
    tiny = jnp.asarray(jnp.finfo(value.dtype).tiny, value.dtype)
    seed = jnp.ravel(first)[0].real.astype(value.dtype)
    # min/max keep an infinite or NaN result of the first call out of the second
    return value + tiny * jnp.clip(jnp.nan_to_num(seed), -1.0, 1.0)


def symmetric(matrix: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """Return the symmetric part (A + A^T) / 2."""
    return 0.5 * (matrix + jnp.swapaxes(matrix, -1, -2))


def triangular_factor(columns: Float[Array, "n m"]) -> Float[Array, "n n"]:
    """Return the lower triangular L with L L^T = columns columns^T, by one QR.

    Args:
        columns: Any factor of the wanted matrix; m may be smaller or larger than n.

    Returns:
        The Cholesky-like factor with non-negative diagonal, without ever forming the
        product (so its condition number is not squared).
    """
    n, m = columns.shape
    if m < n:
        columns = jnp.concatenate([columns, jnp.zeros((n, n - m), columns.dtype)], 1)
    upper = jnp.linalg.qr(columns.T, mode="r")
    sign = jnp.where(jnp.diagonal(upper) < 0, -1.0, 1.0).astype(columns.dtype)
    return (upper * sign[:, None]).T


def psd_factor(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return a factor L with L L^T = matrix for a positive semi-definite matrix.

    By symmetric eigendecomposition, so a singular matrix is as good as any other;
    eigenvalues below zero by rounding count as zero.

    Args:
        matrix: Symmetric positive semi-definite.

    Returns:
        L = U sqrt(max(lambda, 0)); not triangular.
    """
    values, vectors = jnp.linalg.eigh(symmetric(matrix))
    return vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None]


def psd_solve(
    matrix: Float[Array, "n n"], rhs: Float[Array, "n *m"]
) -> Float[Array, "n *m"]:
    """Solve matrix x = rhs for a symmetric positive definite matrix by Cholesky.

    Args:
        matrix: Symmetric positive definite; where it is not, the answer is NaN.
        rhs: Right-hand side, a vector or columns.

    Returns:
        The solution x.
    """
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix), True), rhs)
