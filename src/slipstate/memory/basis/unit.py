"""Quadrature rules for a uniform measure on the unit interval, cut at r."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.quadrature import Rule
from slipstate.memory.basis.protocol import constant
from slipstate.memory.clock.lag import Dilation, Lag, Shift


def split_remembered(
    lag: Lag, x: Float[Array, " node"], gap: Float[Array, " node"]
) -> tuple[Lag, Lag]:
    """Return old and new lags of the points z = r x of the remembered part.

    Args:
        lag: The move.
        x: Coordinates relative to the remembered part [0, r].
        gap: 1 - x.

    Returns:
        The points as lags from the old and from the new *now*.
    """
    r, rho = lag.kept, lag.new
    new = lag.along(r * x, rho + r * gap)
    if isinstance(lag, Dilation):
        return lag.along(x, gap), new
    return Shift(r * gap), new


def uniform_remembered(lag: Lag, rule: Rule) -> tuple[Lag, Lag, Float[Array, " node"]]:
    """Lay `rule` on the remembered part [0, r].

    Args:
        lag: The move.
        rule: A rule for dz on [0, 1].

    Returns:
        Old lags, new lags, weights.
    """
    r = lag.kept
    x, gap = constant(rule.nodes, r), constant(1.0 - rule.nodes, r)
    return *split_remembered(lag, x, gap), r * constant(rule.weights, r)


def uniform_created(lag: Lag, rule: Rule) -> tuple[Lag, Float[Array, " node"]]:
    """Lay `rule` on the created part [r, 1].

    Args:
        lag: The move.
        rule: A rule for dz on [0, 1].

    Returns:
        New lags and weights.
    """
    r, rho = lag.kept, lag.new
    y, rest = constant(rule.nodes, r), constant(1.0 - rule.nodes, r)
    return lag.along(r + rho * rest, rho * y), rho * constant(rule.weights, r)


def panel_remembered(
    lag: Lag, knots: Float[Array, " knot"], rule: Rule
) -> tuple[Lag, Lag, Float[Array, " node"]]:
    """Lay `rule` on each panel of [0, r] between knots of either time's functions.

    Args:
        lag: The move.
        knots: Break points of the functions, 0 and 1 included.
        rule: A rule for dz on [0, 1].

    Returns:
        Old lags, new lags, weights; panels may be empty.
    """
    r = lag.kept
    aged = r * knots if isinstance(lag, Dilation) else knots - lag.new
    edges = jnp.sort(jnp.clip(jnp.concatenate([knots, aged]), 0.0, r))
    z, weights = _on_panels(edges, rule)
    x = z / jnp.where(r > 0.0, r, 1.0)
    return *split_remembered(lag, x, 1.0 - x), weights


def panel_created(
    lag: Lag, knots: Float[Array, " knot"], rule: Rule
) -> tuple[Lag, Float[Array, " node"]]:
    """Lay `rule` on each panel of [r, 1] between knots.

    Args:
        lag: The move.
        knots: Break points of the functions, 0 and 1 included.
        rule: A rule for dz on [0, 1].

    Returns:
        New lags and weights.
    """
    ages = jnp.sort(jnp.clip(1.0 - knots, 0.0, lag.new))
    age, weights = _on_panels(ages, rule)
    return lag.along(1.0 - age, age), weights


def _on_panels(
    edges: Float[Array, " edge"], rule: Rule
) -> tuple[Float[Array, " node"], Float[Array, " node"]]:
    width = jnp.diff(edges)[:, None]
    nodes = edges[:-1, None] + width * constant(rule.nodes, edges)[None]
    return nodes.ravel(), (width * constant(rule.weights, edges)[None]).ravel()
