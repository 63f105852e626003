"""Small dense linear algebra that neither hangs nor hides a failure.

Covariances travel as matrices or as factors L with P = L L^T. Nothing here adds an
absolute jitter: geodetic data have millimetre noise on metre signals, and a constant
added to a diagonal would decide the likelihood.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.elimination import Row, loop


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


def triangular_factor(
    columns: Float[Array, "n m"], *, compact: bool = False
) -> Float[Array, "n n"]:
    """Return the lower triangular L with L L^T = columns columns^T.

    By Householder reflections written out as sums and products: nothing is squared or
    divided by a vanishing pivot, and no library call can deadlock. A row that is
    nothing but rounding once the rows before it are known gets an exact zero on the
    diagonal, so factors of any rank are welcome and so are their gradients.

    Args:
        columns: Any factor of the wanted matrix; m may be smaller or larger than n.
        compact: Compile one reflection and loop over it, also where n is small. Slower
            for one matrix, as fast for many at once, and compiled in less time.

    Returns:
        The Cholesky-like factor with non-negative diagonal, without ever forming the
        product (so its condition number is not squared).

    References:
        Golub & Van Loan (2013), Matrix Computations, section 5.2.
    """
    n, m = columns.shape
    if m < n:
        columns = jnp.concatenate([columns, jnp.zeros((n, n - m), columns.dtype)], 1)
        m = n
    size = jax.lax.stop_gradient(jnp.max(jnp.abs(columns), axis=1))
    size = jnp.where(size > 0, size, 1.0)
    floor = m * jnp.finfo(columns.dtype).eps
    places = jnp.arange(m)

    def reflect(rows: Array, row: Row) -> tuple[Array, Array]:
        # scaled by its largest entry, so that no unit makes a square vanish
        x = jnp.where(places >= row, rows[row] / size[row], 0.0)
        square = jnp.sum(x * x)
        usable = square > floor * floor
        length = jnp.sqrt(jnp.where(usable, square, 1.0))
        end = jnp.where(x[row] < 0, length, -length)
        normal = x - jnp.where(places == row, end, 0.0)
        scale = jnp.where(usable, 1.0 / (length * (length + jnp.abs(x[row]))), 0.0)
        rows = rows - (scale * (rows @ normal))[:, None] * normal[None, :]
        return rows, jnp.where(usable, end * size[row], 0.0)

    turns = jnp.arange(n)
    if compact:
        rows, ends = jax.lax.scan(reflect, columns, turns)
    else:
        rows, ends = loop(reflect, columns, n)
    sign = jnp.where(ends < 0, -1.0, 1.0).astype(columns.dtype)
    return (jnp.tril(rows[:, :n], -1) + jnp.diag(ends)) * sign[None, :]


def solve_lower(
    lower: Float[Array, "n n"], rhs: Float[Array, "n m"]
) -> Float[Array, "n m"]:
    """Solve lower x = rhs by forward substitution; a zero pivot gives a zero.

    Args:
        lower: Lower triangular, such as `triangular_factor` returns.
        rhs: Right-hand sides in columns.

    Returns:
        The solution of least rank: a component without variance stays as it is.
    """

    def substitute(x: Array, row: Row) -> tuple[Array, None]:
        pivot = lower[row, row]
        usable = pivot != 0
        value = (rhs[row] - lower[row] @ x) / jnp.where(usable, pivot, 1.0)
        return x.at[row].set(jnp.where(usable, value, 0.0)), None

    return loop(substitute, jnp.zeros_like(rhs), lower.shape[0])[0]


def divide_lower(
    left: Float[Array, "m n"], lower: Float[Array, "n n"]
) -> Float[Array, "m n"]:
    """Solve x lower = left by backward substitution; a zero pivot gives a zero.

    Args:
        left: Left-hand sides in rows.
        lower: Lower triangular, such as `triangular_factor` returns.

    Returns:
        The solution, zero in the columns of components without variance.
    """
    n = lower.shape[0]

    def substitute(x: Array, turn: Row) -> tuple[Array, None]:
        column = n - 1 - turn
        pivot = lower[column, column]
        usable = pivot != 0
        value = (left[:, column] - x @ lower[:, column]) / jnp.where(usable, pivot, 1.0)
        return x.at[:, column].set(jnp.where(usable, value, 0.0)), None

    return loop(substitute, jnp.zeros_like(left), n)[0]


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
