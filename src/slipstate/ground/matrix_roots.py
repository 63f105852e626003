"""Inverses and square roots of many small matrices at once, batch as the last axis.

One eigendecomposition per place is what a localised analysis costs in a library call.
Written as elementwise operations over a last axis of places, elimination of matrices of
ten rows runs at the speed of the memory. The square root is the product form of Denman
and Beavers' iteration with the scaling of Byers, quadratic from the start:

    M <- (I + (mu^2 M + M^-1 / mu^2) / 2) / 2,   Y <- mu Y (I + M^-1 / mu^2) / 2.

References:
    Higham (2008), Functions of Matrices, section 6.3.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_BATCHED = 12  # rows up to which elimination over the batch beats a library call
_TRIPS = 10
_A_FEW = 8.0


def inverse_and_root(
    C: Float[Array, "n n batch"],
) -> tuple[Float[Array, "n n batch"], Float[Array, "n n batch"]]:
    """Return (I + C)^-1 and (I + C)^-1/2 of positive semi-definite matrices.

    Args:
        C: Symmetric positive semi-definite, batch last.

    Returns:
        The inverses and the symmetric inverse roots, batch last.
    """
    n = C.shape[0]
    if n > _BATCHED:
        return jax.vmap(_by_eigenvalues, in_axes=2, out_axes=2)(C)
    return _small(C)


@jax.custom_jvp
def _by_eigenvalues(
    C: Float[Array, "n n"],
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    a, vectors = _roots(C)
    inverse = (vectors / (a * a)[None, :]) @ vectors.T
    return inverse, (vectors / a[None, :]) @ vectors.T


@_by_eigenvalues.defjvp
def _slopes(
    primals: tuple[Float[Array, "n n"]], tangents: tuple[Float[Array, "n n"]]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    a, vectors = _roots(primals[0])
    inside = -(vectors.T @ tangents[0] @ vectors) / (a[:, None] * a[None, :])
    d_inverse = inside / (a[:, None] * a[None, :])
    d_root = inside / (a[:, None] + a[None, :])
    values = (
        (vectors / (a * a)[None, :]) @ vectors.T,
        (vectors / a[None, :]) @ vectors.T,
    )
    return values, (vectors @ d_inverse @ vectors.T, vectors @ d_root @ vectors.T)


def _roots(C: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    values, vectors = jnp.linalg.eigh(0.5 * (C + C.T))
    return jnp.sqrt(1.0 + jnp.maximum(values, 0.0)), vectors


def _small(
    C: Float[Array, "n n batch"],
) -> tuple[Float[Array, "n n batch"], Float[Array, "n n batch"]]:
    eye = _eye(C)
    A = eye + C
    first, logdet = _inverse(A)

    def trip(
        carry: tuple[Array, Array, Array, Array], _: None
    ) -> tuple[tuple[Array, Array, Array, Array], None]:
        M, inverse, logdet, Y = carry
        # with this factor the eigenvalues of M surround 1
        mu2 = jnp.exp(-jax.lax.stop_gradient(logdet) / C.shape[0])[None, None, :]
        Y = jnp.sqrt(mu2) * 0.5 * (Y + _product(Y, inverse) / mu2)
        M = 0.5 * (eye + 0.5 * (mu2 * M + inverse / mu2))
        return (M, *_inverse(M), Y), None

    (_, _, _, Y), _ = jax.lax.scan(trip, (A, first, logdet, eye), None, length=_TRIPS)
    # started at I, Y converges to A^-1/2 (started at A, to A^1/2)
    return first, 0.5 * (Y + jnp.swapaxes(Y, 0, 1))


def _eye(C: Float[Array, "n n batch"]) -> Float[Array, "n n batch"]:
    eye = jnp.eye(C.shape[0], dtype=C.dtype)
    return jnp.broadcast_to(eye[:, :, None], C.shape)


def _product(
    A: Float[Array, "n n batch"], B: Float[Array, "n n batch"]
) -> Float[Array, "n n batch"]:
    total = A[:, 0, None] * B[None, 0]
    for k in range(1, A.shape[0]):
        total = total + A[:, k, None] * B[None, k]
    return total


def _inverse(
    A: Float[Array, "n n batch"],
) -> tuple[Float[Array, "n n batch"], Float[Array, " batch"]]:
    """Return A^-1 and log det A of positive definite matrices, by sweeping."""
    n = A.shape[0]
    logdet = jnp.zeros(A.shape[2], A.dtype)
    for k in range(n):
        pivot = A[k, k]
        logdet = logdet + jnp.log(pivot)
        row, column = A[k] / pivot[None], A[:, k]
        swept = A - column[:, None] * row[None]
        here = jnp.arange(n) == k
        swept = jnp.where(here[:, None, None], row[None], swept)
        A = jnp.where(
            here[None, :, None],
            jnp.where(here[:, None, None], 1.0, -column[:, None]) / pivot[None, None],
            swept,
        )
    return A, logdet


@jax.custom_jvp
def psd_sqrt(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the symmetric square root of a positive semi-definite matrix.

    Its derivative is taken to be zero in directions where both eigenvalues vanish.

    Args:
        A: Symmetric positive semi-definite; negative eigenvalues count as zero.
    """
    return _psd_sqrt(A)[0]


@psd_sqrt.defjvp
def _derivative(
    primals: tuple[Float[Array, "n n"]], tangents: tuple[Float[Array, "n n"]]
) -> tuple[Float[Array, "n n"], Float[Array, "n n"]]:
    root, roots, vectors = _psd_sqrt(primals[0])
    sums = roots[:, None] + roots[None, :]
    floor = _A_FEW * jnp.finfo(root.dtype).eps ** 0.5 * roots[-1]
    some = sums > floor
    inside = vectors.T @ tangents[0] @ vectors
    inside = jnp.where(some, inside / jnp.where(some, sums, 1.0), 0.0)
    return root, vectors @ inside @ vectors.T


def _psd_sqrt(
    A: Float[Array, "n n"],
) -> tuple[Float[Array, "n n"], Float[Array, " n"], Float[Array, "n n"]]:
    values, vectors = jnp.linalg.eigh(0.5 * (A + A.T))
    roots = jnp.sqrt(jnp.maximum(values, 0.0))
    return (vectors * roots[None, :]) @ vectors.T, roots, vectors
