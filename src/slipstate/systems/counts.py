"""Counts seen of a hidden mode: events per year, per day, per cell."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from slipstate.ground.arrays import Numbers, as_real, check_finite, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import Count, Key, Scalar, ScalarLike
from slipstate.systems.emissions import (
    AbstractEmission,
    Past,
    check_units,
    mark_impossible,
    mixture_of_modes,
    pooled_mean,
    require_values,
)


class PoissonEmission(AbstractEmission):
    """Counts, independent of each other once the mode is known.

    Attributes:
        rates: Expected count in each mode, of each component.
        units: Unit of each component.
    """

    rates: Float[Array, "mode obs"]
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, rates: Numbers, units: tuple[str, ...] | None = None) -> None:
        """Check and keep the rates.

        Args:
            rates: Expected counts (mode, obs), or (mode,) for one component.
            units: Unit of each component; None for counts.

        Raises:
            InputError: A rate is negative or not finite, or shapes disagree.
        """
        given = jnp.asarray(rates)
        self.rates = as_real(
            "rates", given[:, None] if given.ndim == 1 else given, (None, None)
        )
        self.units = check_units(units, self.rates.shape[1])
        check_finite("rates", self.rates)
        if is_concrete(self.rates) and np.asarray(self.rates).min(initial=0.0) < 0.0:
            raise InputError(
                f"`rates` must not be negative; got {float(self.rates.min()):.3g}. "
                "Pass expected counts, not their logarithms."
            )

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.rates.shape[0]

    @property
    def order(self) -> int:
        """Nothing earlier matters."""
        return 0

    @property
    def free_parameters(self) -> int:
        """The number of rates."""
        return self.rates.size

    def log_probs(
        self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"], past: Past
    ) -> Float[Array, "time mode"]:
        """Return sum y log rate - rate - log y! over observed components."""
        possible = (y >= 0) & (y == jnp.floor(y))
        count = jnp.where(mask & possible, y, 0.0)
        each = jax.scipy.special.xlogy(count[:, None], self.rates[None])
        each = each - self.rates[None] - jax.scipy.special.gammaln(count + 1.0)[:, None]
        each = jnp.where(mask[:, None], each, 0.0)
        return mark_impossible(jnp.sum(each, axis=2), mask & ~possible)

    def predict(
        self, probs: Float[Array, "time mode"], past: Past
    ) -> tuple[Float[Array, "time obs"], Float[Array, "time obs obs"]]:
        """Return mean and covariance of the mixture of Poisson distributions."""
        noise = jax.vmap(jnp.diag)(self.rates)
        return mixture_of_modes(probs, self.rates[None], noise)

    def draw(self, mode: Count, past: Past, *, key: Key) -> Float[Array, " obs"]:
        """Draw one count for each component."""
        return jax.random.poisson(key, self.rates[mode]).astype(self.rates.dtype)

    def check(self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]) -> None:
        """Raise where an observed value is no count."""
        require_values(
            y, mask, lambda x: (x >= 0) & (x == np.floor(x)), "a count 0, 1, 2, ..."
        )

    def order_key(self) -> Float[Array, " mode"]:
        """Return the rate of the first component."""
        return self.rates[:, 0]

    def reordered(self, order: Int[Array, " mode"]) -> "PoissonEmission":
        """Return the same emission with mode `order[i]` called i."""
        return PoissonEmission(self.rates[order], self.units)

    def reestimate(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        past: Past,
        weights: Float[Array, "time mode"],
        rows: ScalarLike,
    ) -> "PoissonEmission":
        """Return weighted means; the prior is a gamma distribution."""
        seen = mask.astype(y.dtype)
        pooled = pooled_mean(y, mask)[None]
        total = weights.T @ (seen * y) + rows * pooled
        count = weights.T @ seen + rows
        rates = jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), 0.0)
        return PoissonEmission(jnp.where(count > 0, rates, self.rates), self.units)

    def log_prior(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        rows: ScalarLike,
    ) -> Scalar:
        """Return rows (mean log rate - rate), summed."""
        pooled = pooled_mean(y, mask)[None]
        each = jax.scipy.special.xlogy(pooled, self.rates) - self.rates
        return rows * jnp.sum(each)
