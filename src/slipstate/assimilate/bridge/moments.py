"""Giving a sample the mean and covariance it should have, by the smallest move.

T = S_x^-1/2 (S_x^1/2 S S_x^1/2)^1/2 S_x^-1/2 is the optimal transport map between
N(., S_x) and N(., S). With any root S = L L^T it is also L (L^T S_x L)^-1/2 L^T, which
needs one decomposition instead of two and inverts nothing that may be singular.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.elimination import psd_root
from slipstate.ground.linalg import symmetric


def match_moments(
    sample: Float[Array, "ens latent"],
    mean: Float[Array, " latent"],
    cov: Float[Array, "latent latent"],
) -> Float[Array, "ens latent"]:
    """Move a sample so that its mean and covariance are exactly what is wanted.

    Args:
        sample: The sample; directions it does not span stay without spread.
        mean: Wanted mean.
        cov: Wanted covariance, normalised by the number of members less one.

    Returns:
        The moved sample.
    """
    apart = sample - jnp.mean(sample, axis=0)[None, :]
    present = apart.T @ apart / (len(sample) - 1)
    L = psd_root(cov)
    T = L @ inverse_root(L.T @ present @ L) @ L.T
    return mean[None, :] + apart @ T.T


@jax.custom_jvp
def inverse_root(N: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return N^-1/2 on the range of a positive semi-definite matrix, 0 elsewhere.

    Args:
        N: Symmetric positive semi-definite.

    Returns:
        The symmetric inverse root; its derivative holds no difference of eigenvalues.
    """
    inverse, vectors = _inverse_sizes(N)
    return (vectors * inverse[None, :]) @ vectors.T


@inverse_root.defjvp
def _derivative(
    primals: tuple[Float[Array, "n n"]], tangents: tuple[Float[Array, "n n"]]
) -> tuple[Array, Array]:
    (N,), (dN,) = primals, tangents
    inverse, vectors = _inverse_sizes(N)
    a, b = inverse[:, None], inverse[None, :]
    total = jnp.where(a + b > 0.0, a + b, 1.0)
    # (x^-1/2 - y^-1/2) / (x - y) = -(ab)^2 / (a + b) with a = x^-1/2, b = y^-1/2
    divided = -((a * b) ** 2) / total
    change = vectors @ (divided * (vectors.T @ dN @ vectors)) @ vectors.T
    return (vectors * inverse[None, :]) @ vectors.T, change


@jax.custom_jvp
def root(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the symmetric root of a positive semi-definite matrix.

    Args:
        A: Symmetric positive semi-definite; below zero by rounding counts as zero.

    Returns:
        A^1/2; its derivative holds no difference of eigenvalues.
    """
    sizes, vectors = _sizes(A)
    return (vectors * sizes[None, :]) @ vectors.T


@root.defjvp
def _root_derivative(
    primals: tuple[Float[Array, "n n"]], tangents: tuple[Float[Array, "n n"]]
) -> tuple[Array, Array]:
    (A,), (dA,) = primals, tangents
    sizes, vectors = _sizes(A)
    total = sizes[:, None] + sizes[None, :]
    divided = jnp.where(total > 0.0, 1.0 / jnp.where(total > 0.0, total, 1.0), 0.0)
    change = vectors @ (divided * (vectors.T @ dA @ vectors)) @ vectors.T
    return (vectors * sizes[None, :]) @ vectors.T, change


def _sizes(A: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return sqrt(lambda) and the eigenvectors; a number needs no LAPACK."""
    if A.shape[0] == 1:
        return jnp.sqrt(jnp.maximum(A[0], 0.0)), jnp.ones((1, 1), A.dtype)
    values, vectors = jnp.linalg.eigh(symmetric(A))
    return jnp.sqrt(jnp.maximum(values, 0.0)), vectors


def _inverse_sizes(
    N: Float[Array, "n n"],
) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Return 1 / sqrt(lambda), 0 where lambda is rounding, and the eigenvectors."""
    if N.shape[0] == 1:  # a number needs no LAPACK
        values, vectors = N[0], jnp.ones((1, 1), N.dtype)
    else:
        values, vectors = jnp.linalg.eigh(symmetric(N))
    floor = N.shape[0] * jnp.finfo(N.dtype).eps * jnp.max(values)
    real = values > jnp.maximum(floor, 0.0)
    return jnp.where(real, jax.lax.rsqrt(jnp.where(real, values, 1.0)), 0.0), vectors
