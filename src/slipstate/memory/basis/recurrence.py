"""Orthonormal polynomials on the device, and quadrature graded towards an end."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.quadrature import Recurrence, gauss_jacobi
from slipstate.memory.basis.protocol import constant


def recur(
    recurrence: Recurrence, modes: int, x: Float[Array, "*batch"]
) -> Float[Array, "*batch mode"]:
    """Evaluate p[0] .. p[modes-1] at `x` by the three-term recurrence.

    Args:
        recurrence: The family, with at least modes - 1 coefficients.
        modes: Number of polynomials.
        x: Points.

    Returns:
        Values, the mode last.
    """
    if modes == 1:
        return jnp.ones((*x.shape, 1), x.dtype)
    alpha, off = (constant(table, x) for table in recurrence)

    def ahead(carry, row):
        before, now = carry
        centre, back, scale = row
        after = ((x - centre) * now - back * before) * scale
        return (now, after), now

    rows = (alpha[: modes - 1], off[: modes - 1], 1.0 / off[1:modes])
    start = (jnp.zeros_like(x), jnp.ones_like(x))
    (_, last), values = jax.lax.scan(ahead, start, rows)
    return jnp.moveaxis(jnp.concatenate([values, last[None]]), 0, -1)


def recur_dot(
    recurrence: Recurrence,
    modes: int,
    x: Float[Array, " node"],
    weights: Float[Array, "node channel"],
) -> Float[Array, "mode channel"]:
    """Return sum_j p[n](x_j) weights_j without storing the polynomials.

    Args:
        recurrence: The family, with at least `modes` coefficients.
        modes: Number of polynomials.
        x: Nodes.
        weights: What each node counts, per channel.

    Returns:
        One sum per polynomial and channel.
    """
    alpha, off = (constant(table, x) for table in recurrence)
    rows = weights.T

    def ahead(carry, row):
        before, now = carry
        centre, back, scale = row
        after = ((x - centre) * now - back * before) * scale
        return (now, after), rows @ now

    table = (alpha[:modes], off[:modes], 1.0 / off[1 : modes + 1])
    start = (jnp.zeros_like(x), jnp.ones_like(x))
    return jax.lax.scan(ahead, start, table)[1]


@lru_cache(maxsize=256)
def _graded_table(
    degree: int, exponent: float, panels: int, points: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return host tables of `graded_rule`: near panel, then (panel, node, weight)."""
    near = gauss_jacobi(degree // 2 + 18, 0.0, exponent)
    index, nodes, weights = [], [], []
    for k in range(panels + 1):
        # the widest that panel k can be, in half waves of the highest polynomial
        waves = 0.35 * degree / (k + 1) if k < panels else 0.35 * degree
        rule = gauss_jacobi(points + int(np.ceil(waves)))
        index.append(np.full(rule.nodes.size, k))
        nodes.append(rule.nodes)
        weights.append(rule.weights)
    return (
        near.nodes / 2,
        near.weights * 0.5 ** (1 + exponent) / (1 + exponent),
        np.concatenate(index),
        np.concatenate(nodes),
        np.concatenate(weights),
    )


def graded_rule(
    gap: Float[Array, ""], degree: int, exponent: float, panels: int = 40
) -> tuple[Float[Array, " node"], Float[Array, " node"], Float[Array, " node"]]:
    """Rule for int_0^1 y^exponent f(y) dy where f is nearly singular beyond y = 1.

    The weight y^exponent is built in; towards y = 1 the panels shrink geometrically
    until they are as small as `gap`, the distance of the singularity from y = 1.

    Args:
        gap: Distance from y = 1 to the nearest singularity of f.
        degree: Degree of the polynomial part of f.
        exponent: Exponent of the weight at y = 0, above -1.
        panels: Number of geometric panels.

    Returns:
        y, 1 - y (each accurate where it is small) and the weights.
    """
    near, near_weights, index, nodes, weights = _graded_table(
        degree, exponent, panels, 18
    )
    # the smallest gap asked for is 1e-30; float32 reaches 1e-30 too
    ratio = jnp.clip(2.0 * gap, 1e-30, 1.0)
    exponents = constant(np.arange(panels + 1) / panels, gap)
    edges = 0.5 * jnp.concatenate([ratio**exponents, jnp.zeros((1,), gap.dtype)])
    outer, inner = edges[index], edges[index + 1]
    rest = inner + (outer - inner) * constant(nodes, gap)
    y = 1.0 - rest
    far_weights = (outer - inner) * constant(weights, gap) * y**exponent
    return (
        jnp.concatenate([constant(near, gap), y]),
        jnp.concatenate([1.0 - constant(near, gap), rest]),
        jnp.concatenate([constant(near_weights, gap), far_weights]),
    )
