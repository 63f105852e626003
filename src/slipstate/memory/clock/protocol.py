"""What a clock of a memory must supply: how time becomes the canonical coordinate.

A clock never sees the basis. All it says is how far *now* at time t0 has moved into the
past at time t1, as a `Lag`. Separable clocks, z = W(x)/W(t) with an increasing W, are
dilations by r = W(t0)/W(t1), and lags compose: r(t0, t2) = r(t0, t1) r(t1, t2). The
sliding window is the one shift. Times are in the unit of the user's choice.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.types import Scalar, ScalarLike
from slipstate.memory.clock.lag import Lag


class AbstractClock(eqx.Module):
    """A rule that warps time; its parameters are arrays, so they can be learned."""

    @abstractmethod
    def lag(self, t0: Float[Array, "*#batch"], t1: Float[Array, "*#batch"]) -> Lag:
        """Return the move of *now* between t0 <= t1; no move where t0 = t1."""

    @abstractmethod
    def fraction(
        self, lag: Lag, t0: Float[Array, ""], t1: Float[Array, ""]
    ) -> Float[Array, "*node"]:
        """Return (x - t0) / (t1 - t0) for the times x that are `lag` before t1."""

    @abstractmethod
    def origin(self) -> Scalar:
        """Return the oldest time the clock knows, -inf where there is none."""

    @property
    @abstractmethod
    def invariant(self) -> bool:
        """Whether a lag depends on t1 - t0 only."""


def real(value: ScalarLike) -> Array:
    """Bring a setting to the device in the default precision."""
    return jnp.asarray(value, jnp.result_type(float))


def is_traced(value: object) -> bool:
    """Tell whether a value is being traced, so that its numbers are not known yet."""
    return isinstance(value, jax.core.Tracer)


def log_quotient(
    before: Float[Array, "*#batch"],
    step: Float[Array, "*#batch"],
    now: Float[Array, "*#batch"],
) -> Float[Array, "*batch"]:
    """Return ln(before / now), accurate for tiny steps and for nearly full ones.

    Args:
        before: W(t0) >= 0.
        step: What W gained, W(t1) - W(t0) >= 0.
        now: W(t1) = before + step.

    Returns:
        0 where nothing was gained, -inf where W(t0) = 0.
    """
    moved, begun = step > 0.0, before > 0.0
    small = step < 0.5 * now
    # each branch sees a harmless argument where it is not taken: gradients stay finite
    share = jnp.where(moved & small, step / jnp.where(moved, now, 1.0), 0.0)
    rest = jnp.where(moved & begun & ~small, before / jnp.where(moved, now, 1.0), 1.0)
    log_ratio = jnp.where(small, jnp.log1p(-share), jnp.log(rest))
    return jnp.where(moved & ~begun, -jnp.inf, log_ratio)
