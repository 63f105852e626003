"""Products of small matrices, written out as multiply-adds.

A library call for a matrix of eight rows costs more in waking the threads of the
library than in arithmetic: a few microseconds in a loop, tens when it is called once in
a while. Written out, products fuse with what stands around them. Larger matrices go to
the library.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

SMALL = 8
"""Longest inner dimension that is written out."""


def product(A: Float[Array, "n k"], B: Float[Array, "k m"]) -> Float[Array, "n m"]:
    """Return A B.

    Args:
        A: Left factor.
        B: Right factor.
    """
    inner = A.shape[1]
    if inner == 0 or inner > SMALL:
        return A @ B
    return jnp.sum(A[:, :, None] * B[None, :, :], axis=1)


def applied(A: Float[Array, "n k"], x: Float[Array, " k"]) -> Float[Array, " n"]:
    """Return A x.

    Args:
        A: Matrix.
        x: Vector.
    """
    inner = A.shape[1]
    if inner == 0 or inner > SMALL:
        return A @ x
    return jnp.sum(A * x[None, :], axis=1)


def dot(x: Float[Array, " k"], y: Float[Array, " k"]) -> Float[Array, ""]:
    """Return x^T y."""
    return jnp.sum(x * y)


def congruent(A: Float[Array, "n k"], P: Float[Array, "k k"]) -> Float[Array, "n n"]:
    """Return A P A^T."""
    return product(product(A, P), A.T)
