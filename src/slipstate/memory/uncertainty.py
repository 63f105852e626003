"""Noise of the samples, carried to the coefficients."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.memory.geometry import Geometry


def propagate_covariance(
    geometry: Geometry,
    sigma: Float[Array, "time channel"],
    edges: Float[Array, " edge"],
) -> Float[Array, "channel mode mode"]:
    """Return the covariance of the coefficients after the last sample.

    Args:
        geometry: The memory.
        sigma: One standard deviation of every sample; samples are independent.
        edges: Cell edges.

    Returns:
        P = sum_j sigma_j^2 k_j k_j^T with k_j the final answer to sample j.
    """
    # a closed cell hold knows k_j in closed form; no N^3 per sample
    if geometry.closed and geometry.hold.inputs == 1:
        return _by_kernel(geometry, sigma, edges)
    return _by_recursion(geometry, sigma, edges)


@eqx.filter_jit
def _by_kernel(geometry: Geometry, sigma: Array, edges: Array) -> Array:
    answers = geometry.basis.fill(geometry.clock.lag(edges[:-1], edges[-1]))
    after = jnp.concatenate([answers[1:], jnp.zeros_like(answers[:1])])
    kernel = answers - after
    return jnp.einsum("tn,tc,tm->cnm", kernel, sigma.astype(kernel.dtype) ** 2, kernel)


@eqx.filter_jit
def kalman_step(
    geometry: Geometry,
    cov: Float[Array, "extended extended"],
    variance: Float[Array, ""],
    t0: Float[Array, ""],
    t1: Float[Array, ""],
) -> Float[Array, "extended extended"]:
    """Return F P F^T + variance G G^T for one cell.

    A linear hold shares a sample between two cells, so its P carries the newest sample
    as one more row and column.

    Args:
        geometry: The memory.
        cov: Covariance of the coefficients (and of the newest sample).
        variance: Of the sample that comes in.
        t0: Left edge.
        t1: Right edge.

    Returns:
        The covariance at t1.
    """
    step = geometry.transition(t0, t1)
    if geometry.hold.inputs == 1:
        return step.A @ cov @ step.A.T + variance * jnp.outer(step.B, step.B)
    one = jnp.ones((1,), step.A.dtype)
    top = jnp.concatenate([step.A, step.B[:, :1]], axis=1)
    f = jnp.concatenate([top, jnp.zeros_like(top[:1])])
    g = jnp.concatenate([step.B[:, 1], one])
    return f @ cov @ f.T + variance * jnp.outer(g, g)


@eqx.filter_jit
def _by_recursion(geometry: Geometry, sigma: Array, edges: Array) -> Array:
    modes, linear = geometry.basis.modes, geometry.hold.inputs == 2
    variances = (sigma**2).astype(edges.dtype)
    size = modes + 1 if linear else modes
    start = jnp.zeros((sigma.shape[1], size, size), edges.dtype)
    if linear:
        start = start.at[:, -1, -1].set(variances[0])
        variances = variances[1:]

    def step(covs, cell):
        variance, t0, t1 = cell
        grow = lambda p, v: kalman_step(geometry, p, v, t0, t1)
        return jax.vmap(grow)(covs, variance), None

    covs, _ = jax.lax.scan(step, start, (variances, edges[:-1], edges[1:]))
    return covs[:, :modes, :modes]
