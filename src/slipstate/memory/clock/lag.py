"""How far the canonical coordinate moves between two times.

There are two ways for a past to age. A *dilation* squeezes the whole past towards the
old end, z -> r z, so nothing ever leaves; on a half line the same thing reads as a
shift by -ln r. A *shift* moves a window, z -> z - d, so its old end falls off. Both are
kept in the form that is accurate when the move is tiny: ln r rather than r, and d
rather than 1 - d.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Dilation(eqx.Module):
    """The past shrinks by r = exp(log_ratio).

    Attributes:
        log_ratio: ln r <= 0; -inf forgets everything, 0 is no move.
    """

    log_ratio: Float[Array, "*batch"]

    @property
    def kept(self) -> Float[Array, "*batch"]:
        """Share of the unit domain that holds the old past, r."""
        return jnp.exp(self.log_ratio)

    @property
    def new(self) -> Float[Array, "*batch"]:
        """Share of the unit domain created by the move, 1 - r."""
        return -jnp.expm1(self.log_ratio)

    def along(
        self, left: Float[Array, "*node"], right: Float[Array, "*node"]
    ) -> "Dilation":
        """Return the lags of unit coordinates given as (z, 1 - z)."""
        near = left > 0.5
        gap = jnp.where(near, right, 0.25)
        rest = jnp.where(near, 0.75, left)
        return Dilation(jnp.where(near, jnp.log1p(-gap), jnp.log(rest)))


class Shift(eqx.Module):
    """A window of unit length moves on by `amount`.

    Attributes:
        amount: d >= 0; from 1 on, everything is forgotten.
    """

    amount: Float[Array, "*batch"]

    @property
    def kept(self) -> Float[Array, "*batch"]:
        """Share of the unit domain that holds the old past, 1 - d."""
        return 1.0 - jnp.minimum(self.amount, 1.0)

    @property
    def new(self) -> Float[Array, "*batch"]:
        """Share of the unit domain created by the move, d."""
        return jnp.minimum(self.amount, 1.0)

    def along(
        self, left: Float[Array, "*node"], right: Float[Array, "*node"]
    ) -> "Shift":
        """Return the lags of unit coordinates given as (z, 1 - z)."""
        del left  # 1 - z is the accurate one for a window
        return Shift(right)


Lag = Dilation | Shift
"""One move of the canonical coordinate, or an array of moves."""
