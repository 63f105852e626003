"""Orthonormal polynomials on the device, and quadrature graded towards an end."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.quadrature import (
    Recurrence,
    evaluate,
    gauss_jacobi,
    jacobi_recurrence,
)
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


class EndTable(NamedTuple):
    """A Jacobi family as differences from its values at both ends of [0, 1].

    With q_n = p_n / p_n(e) for an end e and s = z - e the recurrence reads

        q_{n+1} - q_n = carry_n (q_n - q_{n-1}) + slope_n s q_n.

    Columns are the older and the newer end.

    Attributes:
        carry: (mode, 2).
        slope: (mode, 2).
        size: (mode, 2) p_n(e).
    """

    carry: np.ndarray
    slope: np.ndarray
    size: np.ndarray


@lru_cache(maxsize=256)
def end_table(modes: int, a: float, b: float) -> EndTable:
    """Return the differences of the first `modes` Jacobi polynomials.

    Args:
        modes: Number of polynomials.
        a: Exponent of the measure at z = 1.
        b: Exponent at z = 0.

    Returns:
        The table.
    """
    family = jacobi_recurrence(modes, a, b)
    size = evaluate(family, modes + 1, np.array([0.0, 1.0]))
    before = np.concatenate([np.zeros((1, 2)), size[:-2]])
    ahead = family.off[1:, None] * size[1:]
    return EndTable(
        family.off[:-1, None] * before / ahead, size[:-1] / ahead, size[:-1]
    )


def recur_ends(
    table: EndTable, left: Float[Array, "*batch"], right: Float[Array, "*batch"]
) -> Float[Array, "*batch mode"]:
    """Evaluate Jacobi polynomials at z from its distances to both ends.

    Near an end a polynomial of degree n changes over distances of 1/n^2, so the
    distance is what must be accurate, not z.

    Args:
        table: The family.
        left: z.
        right: 1 - z.

    Returns:
        Values, the mode last.
    """
    values = _from_the_nearer_end(table, left, right, lambda p: p)
    return jnp.moveaxis(values, 0, -1)


def recur_ends_dot(
    table: EndTable,
    left: Float[Array, " node"],
    right: Float[Array, " node"],
    weights: Float[Array, "node channel"],
) -> Float[Array, "mode channel"]:
    """Return sum_j p[n](z_j) weights_j without storing the polynomials.

    Args:
        table: The family.
        left: z of the nodes.
        right: 1 - z.
        weights: What each node counts, per channel.

    Returns:
        One sum per polynomial and channel.
    """
    rows = weights.T
    return _from_the_nearer_end(table, left, right, lambda p: rows @ p)


def _from_the_nearer_end(
    table: EndTable, left: Array, right: Array, keep: Callable[[Array], Array]
) -> Array:
    """Run the differences away from the nearer end; keep something of every p[n]."""
    newer = right < left
    shift = jnp.where(newer, -right, left)

    def ahead(carry, row):
        now, step = carry
        back, slope, size = (jnp.where(newer, pair[1], pair[0]) for pair in row)
        after = back * step + slope * shift * now
        return (now + after, after), keep(size * now)

    rows = tuple(constant(part, left) for part in table)
    start = (jnp.ones_like(left), jnp.zeros_like(left))
    return jax.lax.scan(ahead, start, rows)[1]


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
