"""Elimination of small positive semi-definite matrices, without LAPACK.

A = U D U^T with U unit lower triangular and D diagonal. Compared with a Cholesky
factorisation nothing is divided by a vanishing pivot, so a singular covariance (a
component without noise) is as good as any other, and compared with a library call it
fuses into the surrounding loop, is differentiable everywhere a covariance is, and
cannot deadlock (see `slipstate.ground.platform`). Up to `UNROLL` rows the loop is
written out; beyond, it is a loop of the compiler.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Carry = TypeVar("Carry")
Output = TypeVar("Output")
Row = int | Int[Array, ""]
"""Number of a turn: known while tracing where the loop is written out."""

UNROLL = 8
"""Longest loop that is written out in the compiled program."""


def loop(
    body: Callable[[Carry, Row], tuple[Carry, Output]],
    start: Carry,
    rows: int,
    *,
    longest: int = UNROLL,
) -> tuple[Carry, Output]:
    """Run `body(carry, row)` for row = 0, ..., rows - 1 and stack its outputs.

    Args:
        body: One turn of the loop.
        start: First carry.
        rows: Number of turns.
        longest: Longest loop that is written out; a loop that is not compiles in a
            fraction of the time and is as fast where its body is large.

    Returns:
        The last carry and the outputs, stacked along a new first axis.
    """
    if rows > longest or rows == 0:
        return jax.lax.scan(body, start, jnp.arange(rows))
    carry, outputs = start, []
    for row in range(rows):
        carry, output = body(carry, row)
        outputs.append(output)
    return carry, jax.tree.map(lambda *parts: jnp.stack(parts), *outputs)


def decorrelate(
    cov: Float[Array, "n n"], rows: Float[Array, "n m"], *, longest: int = UNROLL
) -> tuple[Float[Array, " n"], Float[Array, "n m"]]:
    """Change basis so that noise of covariance `cov` has independent components.

    U^-1 cov U^-T = diag(D). A pivot that is nothing but rounding relative to its own
    diagonal entry counts as zero: that component repeats the ones before it.

    Args:
        cov: Symmetric positive semi-definite.
        rows: What is to be expressed in the new basis, one row per component.
        longest: Longest loop that is written out; see `loop`.

    Returns:
        D and U^-1 rows.
    """
    n = cov.shape[0]
    floor = n * jnp.finfo(cov.dtype).eps * jnp.diagonal(cov)
    below = jnp.tril(jnp.ones((n, n), cov.dtype), -1)

    def eliminate(
        carry: tuple[Array, Array], row: Row
    ) -> tuple[tuple[Array, Array], Array]:
        left, right = carry
        pivot = left[row, row]
        usable = pivot > floor[row]
        inverse = jnp.where(usable, 1.0 / jnp.where(usable, pivot, 1.0), 0.0)
        factor = (left[:, row] * below[:, row] * inverse)[:, None]
        left = left - factor * left[row][None, :]
        right = right - factor * right[row][None, :]
        return (left, right), jnp.where(usable, pivot, 0.0)

    (_, right), pivots = loop(eliminate, (cov, rows), n, longest=longest)
    return pivots, right


def psd_root(cov: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the lower triangular L with L L^T = cov; singular `cov` is welcome.

    Args:
        cov: Symmetric positive semi-definite.

    Returns:
        L = U sqrt(D); the column of a component without variance is zero.
    """
    n = cov.shape[0]
    floor = n * jnp.finfo(cov.dtype).eps * jnp.diagonal(cov)
    lower = jnp.tril(jnp.ones((n, n), cov.dtype))

    def eliminate(left: Array, row: Row) -> tuple[Array, Array]:
        pivot = left[row, row]
        usable = pivot > floor[row]
        size = jnp.sqrt(jnp.where(usable, pivot, 1.0))
        column = jnp.where(usable, left[:, row] * lower[:, row] / size, 0.0)
        return left - column[:, None] * column[None, :], column

    _, columns = loop(eliminate, cov, n)
    return columns.T
