"""Square roots of I + C by one eigendecomposition, differentiable everywhere.

The derivative of `eigh` divides by differences of eigenvalues and is NaN where two
agree, as they do when an observation is missing (C = 0). A function of a matrix has a
derivative all the same (Daleckii and Krein): in the eigenbasis it is the elementwise
product with divided differences, which for the functions here have closed forms
without any difference of eigenvalues in a denominator.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.linalg import symmetric


@jax.custom_jvp
def inverse_and_shrinkage(
    C: Float[Array, "n n"],
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    """Return (I + C)^-1 and phi(C) = ((I + C)^-1/2 - I) C^-1, for C of an S^T S.

    With them, (I + S S^T)^-1/2 = I + S phi(S^T S) S^T and (I + S S^T)^-1 S = S (I +
    S^T S)^-1: the square root of a large matrix costs one small decomposition. In
    a = (1 + lambda)^1/2, phi = -1 / (a + a^2), finite where lambda = 0.

    Args:
        C: Symmetric positive semi-definite.

    Returns:
        The inverse of I + C, and phi(C).
    """
    a, vectors = _roots(C)
    inverse = (vectors / (a * a)[None, :]) @ vectors.T
    return inverse, -(vectors / (a + a * a)[None, :]) @ vectors.T


@inverse_and_shrinkage.defjvp
def _derivative(
    primals: tuple[Float[Array, "n n"]], tangents: tuple[Float[Array, "n n"]]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (C,), (dC,) = primals, tangents
    a, vectors = _roots(C)
    square, sums = a * a, a[:, None] + a[None, :]
    edges = a + square
    inside = vectors.T @ dC @ vectors
    d_inverse = -inside / (square[:, None] * square[None, :])
    d_phi = inside * (1.0 + sums) / (sums * edges[:, None] * edges[None, :])
    values = (
        (vectors / square[None, :]) @ vectors.T,
        -(vectors / edges[None, :]) @ vectors.T,
    )
    return values, (vectors @ d_inverse @ vectors.T, vectors @ d_phi @ vectors.T)


def _roots(C: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return (1 + lambda)^1/2 and the eigenvectors of C; a number needs no LAPACK."""
    if C.shape[0] == 1:
        return jnp.sqrt(1.0 + C[0]), jnp.ones((1, 1), C.dtype)
    values, vectors = jnp.linalg.eigh(symmetric(C))
    return jnp.sqrt(1.0 + jnp.maximum(values, 0.0)), vectors
