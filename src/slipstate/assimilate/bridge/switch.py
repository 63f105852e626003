"""The price of changing mode, for models that stick and slide.

A coupling may move a member of one mode to a component of another. Where modes are
known, the reference of the bridge is the switch itself: the kernel is multiplied by
P(mode of component j | mode of member i), so mass crosses at the price of the switch
and not for the distance alone.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.types import Count

_NEVER = -1e4


class SwitchCost(eqx.Module):
    """What modes states are in, and how probable each next mode is.

    Attributes:
        mode: The mode of a state, a whole number.
        log_probs: log P(next mode = column | mode = row); minus infinity for never.
    """

    mode: Callable[[Float[Array, " state"]], Count]
    log_probs: Float[Array, "mode mode"]

    def log_kernel(
        self,
        sources: Float[Array, "row state"],
        targets: Float[Array, "column state"],
    ) -> Float[Array, "row column"]:
        """Return log P(mode of each target | mode of each source), finite.

        Args:
            sources: States that are moved.
            targets: States they may be moved to.
        """
        rows, columns = jax.vmap(self.mode)(sources), jax.vmap(self.mode)(targets)
        return jnp.maximum(self.log_probs, _NEVER)[rows[:, None], columns[None, :]]
