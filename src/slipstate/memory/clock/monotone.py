"""Clocks given by any increasing function of time, known or learned."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError
from slipstate.ground.types import Scalar
from slipstate.memory.clock.lag import Dilation, Lag
from slipstate.memory.clock.protocol import AbstractClock, log_quotient, real

_BISECTIONS = 50


class RateWarp(eqx.Module):
    """A learnable increasing function: the integral of a positive rate.

    The rate is softplus(raw) at the knots, linear between them and constant outside,
    so W is increasing whatever the optimiser does.

    Attributes:
        knots: Increasing times.
        raw: Unconstrained parameters, one per knot; 0.5413 is a rate of 1.
    """

    knots: Float[Array, " knot"]
    raw: Float[Array, " knot"]

    def __init__(self, knots: object, raw: object = None):
        """Place the knots.

        Args:
            knots: Increasing times, shape (knot,), at least two.
            raw: Parameters before softplus; the rate is 1 everywhere if None.

        Raises:
            InputError: the knots do not increase, or the lengths differ.
        """
        self.knots = real(knots)
        if self.knots.ndim != 1 or self.knots.shape[0] < 2:
            raise InputError(
                f"`knots` must have shape (knot >= 2,); got {self.knots.shape}."
            )
        if not bool(jnp.all(jnp.diff(self.knots) > 0)):
            raise InputError("`knots` must increase strictly.")
        unit = float(np.log(np.expm1(1.0)))
        self.raw = jnp.full_like(self.knots, unit) if raw is None else real(raw)
        if self.raw.shape != self.knots.shape:
            raise InputError(
                f"`raw` must have one entry per knot; got {self.raw.shape} for "
                f"{self.knots.shape}."
            )

    def rate(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Return dW/dt > 0."""
        return jnp.interp(t, jax.lax.stop_gradient(self.knots), self._rates())

    def __call__(self, t: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Return W(t), zero at the first knot."""
        knots, rates = jax.lax.stop_gradient(self.knots), self._rates()
        pieces = 0.5 * (rates[1:] + rates[:-1]) * jnp.diff(knots)
        sums = jnp.concatenate([jnp.zeros((1,), pieces.dtype), jnp.cumsum(pieces)])
        k = jnp.clip(jnp.searchsorted(knots, t, side="right") - 1, 0, knots.size - 1)
        # trapezoid from knot k to t is exact where the rate is linear or constant
        before = jnp.where(t < knots[0], rates[0], rates[k])
        return sums[k] + 0.5 * (before + self.rate(t)) * (t - knots[k])

    def _rates(self) -> Array:
        return jax.nn.softplus(self.raw)


class MonotoneClock(AbstractClock):
    """z = (W(x) - W(start)) / (W(t) - W(start)) for any increasing function W.

    Attributes:
        warp: W, applied element by element; a `RateWarp` or another Equinox module
            makes the clock learnable.
        start: The oldest time remembered.
    """

    warp: Callable[[Array], Array]
    start: Float[Array, ""] = eqx.field(converter=real, default=0.0)

    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the dilation by the quotient of the warped times."""
        oldest, before, now = self.warp(self.start), self.warp(t0), self.warp(t1)
        return Dilation(log_quotient(before - oldest, now - before, now - oldest))

    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Invert W by bisection; one Newton step carries the gradient."""
        now, oldest = self.warp(t1), self.warp(self.start)
        goal = now - lag.new * (now - oldest)

        def halve(_, bracket):
            low, high = bracket
            middle = 0.5 * (low + high)
            above = self.warp(t0 + middle * (t1 - t0)) > goal
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        bracket = (jnp.zeros_like(goal), jnp.ones_like(goal))
        low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, bracket)
        root = jax.lax.stop_gradient(0.5 * (low + high))
        height = lambda s: self.warp(t0 + s * (t1 - t0))
        value, slope = jax.jvp(height, (root,), (jnp.ones_like(root),))
        slope = jnp.where(slope > 0.0, slope, 1.0)
        return jnp.clip(root - (value - goal) / slope, 0.0, 1.0)

    def origin(self) -> Scalar:
        """Return the start."""
        return self.start

    @property
    def invariant(self) -> bool:
        """A step means less the longer the past."""
        return False
