"""Drawing members by their weights: four schemes, from least to most random.

Each returns, for every new member, the number of the old one it copies. All are
unbiased: the expected number of copies of member i is M w_i.

References:
    Douc, Cappe & Moulines (2005), Comparison of resampling schemes for particle
    filtering, ISPA.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from slipstate.ground.types import Key


class AbstractResampling(eqx.Module):
    """A way to draw members by their weights."""

    @abstractmethod
    def __call__(
        self, weights: Float[Array, " ens"], *, key: Key
    ) -> Int[Array, " ens"]:
        """Return the numbers of the members to copy; `weights` add up to 1."""


class Systematic(AbstractResampling):
    """One uniform number shifts a regular comb."""

    def __call__(
        self, weights: Float[Array, " ens"], *, key: Key
    ) -> Int[Array, " ens"]:
        """Return the numbers of the members to copy."""
        M = len(weights)
        shift = jax.random.uniform(key, (), weights.dtype)
        return _pick(weights, (jnp.arange(float(M)) + shift) / M)


class Stratified(AbstractResampling):
    """One uniform number in each of M equal parts."""

    def __call__(
        self, weights: Float[Array, " ens"], *, key: Key
    ) -> Int[Array, " ens"]:
        """Return the numbers of the members to copy."""
        M = len(weights)
        shifts = jax.random.uniform(key, (M,), weights.dtype)
        return _pick(weights, (jnp.arange(float(M)) + shifts) / M)


class Residual(AbstractResampling):
    """floor(M w_i) copies of each for certain, the rest at random."""

    def __call__(
        self, weights: Float[Array, " ens"], *, key: Key
    ) -> Int[Array, " ens"]:
        """Return the numbers of the members to copy."""
        M = len(weights)
        certain = jnp.floor(M * weights)
        upto = jnp.cumsum(certain)
        slots = jnp.arange(float(M))
        sure = jnp.searchsorted(upto, slots, side="right")
        rest = M * weights - certain
        total = jnp.sum(rest)
        rest = jnp.where(
            total > 0.0, rest / jnp.where(total > 0.0, total, 1.0), weights
        )
        drawn = _pick(rest, jax.random.uniform(key, (M,), weights.dtype))
        return jnp.where(slots < upto[-1], jnp.minimum(sure, M - 1), drawn)


class Multinomial(AbstractResampling):
    """Independent draws."""

    def __call__(
        self, weights: Float[Array, " ens"], *, key: Key
    ) -> Int[Array, " ens"]:
        """Return the numbers of the members to copy."""
        points = jax.random.uniform(key, (len(weights),), weights.dtype)
        return _pick(weights, points)


def _pick(
    weights: Float[Array, " ens"], points: Float[Array, " ens"]
) -> Int[Array, " ens"]:
    """Return where in the cumulative weights each point of [0, 1) falls."""
    upto = jnp.cumsum(weights)
    # of the total, so that rounding never points past the last weight
    found = jnp.searchsorted(upto, points * upto[-1], side="right")
    return jnp.clip(found, 0, len(weights) - 1)
