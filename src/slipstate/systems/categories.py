"""Categories seen of a hidden mode: which of a few kinds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from slipstate.ground.arrays import Numbers, as_real
from slipstate.ground.types import Count, Key, Scalar, ScalarLike
from slipstate.systems.chains import check_probabilities, normalised_rows
from slipstate.systems.emissions import (
    AbstractEmission,
    Past,
    check_units,
    mark_impossible,
    mixture_of_modes,
    require_values,
)


class CategoricalEmission(AbstractEmission):
    """One of a few categories, given by its number 0, 1, 2, ...

    Attributes:
        probs: Probability of each category in each mode.
        units: Unit of the one component.
    """

    probs: Float[Array, "mode category"]
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, probs: Numbers, units: tuple[str, ...] | None = None) -> None:
        """Check and keep the probabilities.

        Args:
            probs: Rows of probabilities, one for each mode, each summing to one.
            units: Unit of the one component; None for a number without unit.

        Raises:
            InputError: A row holds no probabilities.
        """
        self.probs = as_real("probs", probs, (None, None))
        self.units = check_units(units, 1)
        for mode in range(self.probs.shape[0]):
            check_probabilities(f"probs[{mode}]", self.probs[mode])

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.probs.shape[0]

    @property
    def order(self) -> int:
        """Nothing earlier matters."""
        return 0

    @property
    def free_parameters(self) -> int:
        """One less than the number of categories in each mode."""
        return self.modes * (self.probs.shape[1] - 1)

    def log_probs(
        self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"], past: Past
    ) -> Float[Array, "time mode"]:
        """Return the log probability of the observed category."""
        code, possible = self._codes(y, mask)
        chosen = self.probs.T[code]
        logs = jnp.where(
            chosen > 0, jnp.log(jnp.where(chosen > 0, chosen, 1.0)), -jnp.inf
        )
        return mark_impossible(jnp.where(mask, logs, 0.0), mask & ~possible)

    def predict(
        self, probs: Float[Array, "time mode"], past: Past
    ) -> tuple[Float[Array, "time obs"], Float[Array, "time obs obs"]]:
        """Return mean and variance of the number of the category."""
        number = jnp.arange(self.probs.shape[1], dtype=self.probs.dtype)
        means = self.probs @ number[:, None]
        spread = jnp.sum(self.probs * (number[None] - means) ** 2, axis=1)
        return mixture_of_modes(probs, means[None], spread[:, None, None])

    def draw(self, mode: Count, past: Past, *, key: Key) -> Float[Array, " obs"]:
        """Draw the number of a category."""
        logits = jnp.log(self.probs[mode])
        return jax.random.categorical(key, logits)[None].astype(self.probs.dtype)

    def check(self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]) -> None:
        """Raise where an observed value is the number of no category."""
        last = self.probs.shape[1] - 1
        require_values(
            y,
            mask,
            lambda x: (x >= 0) & (x <= last) & (x == np.floor(x)),
            f"the number of a category, 0 to {last}",
        )

    def order_key(self) -> Float[Array, " mode"]:
        """Return the mean number of the category."""
        return self.probs @ jnp.arange(self.probs.shape[1], dtype=self.probs.dtype)

    def reordered(self, order: Int[Array, " mode"]) -> "CategoricalEmission":
        """Return the same emission with mode `order[i]` called i."""
        return CategoricalEmission(self.probs[order], self.units)

    def reestimate(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        past: Past,
        weights: Float[Array, "time mode"],
        rows: ScalarLike,
    ) -> "CategoricalEmission":
        """Return weighted frequencies; the prior is a Dirichlet distribution."""
        shown = self._shown(y, mask)
        counts = weights.T @ shown + rows * _frequencies(shown)
        return CategoricalEmission(normalised_rows(counts, self.probs), self.units)

    def log_prior(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        rows: ScalarLike,
    ) -> Scalar:
        """Return rows sum of frequency times log probability."""
        often = _frequencies(self._shown(y, mask))
        return rows * jnp.sum(jax.scipy.special.xlogy(often, self.probs))

    def _codes(
        self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]
    ) -> tuple[Int[Array, " time"], Bool[Array, "time obs"]]:
        """Return category numbers (0 where there is none) and which are possible."""
        last = self.probs.shape[1] - 1
        possible = (y >= 0) & (y <= last) & (y == jnp.floor(y))
        return jnp.where(mask & possible, y, 0.0)[:, 0].astype(int), possible

    def _shown(
        self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]
    ) -> Float[Array, "time category"]:
        """Return a row with one 1 for each observed category."""
        code, _ = self._codes(y, mask)
        return jax.nn.one_hot(code, self.probs.shape[1], dtype=y.dtype) * mask.astype(
            y.dtype
        )


def _frequencies(shown: Float[Array, "time category"]) -> Float[Array, "1 category"]:
    """Return how often each category was shown."""
    return jnp.sum(shown, axis=0, keepdims=True) / jnp.maximum(jnp.sum(shown), 1.0)
