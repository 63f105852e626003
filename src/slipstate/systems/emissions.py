"""What is seen of a hidden mode: the contract of every emission, and its parts.

An emission gives log p(y_k | mode, earlier observations) for all modes at once. The
laws every implementation keeps:

- what stands at a masked entry matters neither to a value nor to a gradient;
- a row without any observed component says nothing: its log probability is 0;
- an impossible value (a count of 1.5) is NaN where values are not known yet, and an
  `InputError` naming row and component where they are (`check`).

`reestimate` is the M-step of Baum and Welch: the emission under which rows, weighted by
the probability of each mode, are most likely.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from slipstate.ground.arrays import is_concrete
from slipstate.ground.elimination import UNROLL
from slipstate.ground.errors import InputError
from slipstate.ground.types import Count, Key, Scalar, ScalarLike

_NEAR = 100.0  # squared distance of means, in variances, that costs two digits


class Past(NamedTuple):
    """The rows before a row, the latest first, as far back as an emission asks.

    Attributes:
        y: Their values; 0 where nothing was observed.
        seen: True where a row was observed in all components.
    """

    y: Float[Array, "*time order obs"]
    seen: Bool[Array, "*time order"]


class AbstractEmission(eqx.Module):
    """The distribution of an observation in each mode.

    Attributes:
        units: Unit of each observed component, e.g. ("mm", "mm").
    """

    units: eqx.AbstractVar[tuple[str, ...]]

    @property
    @abstractmethod
    def modes(self) -> int:
        """The number of modes."""

    @property
    @abstractmethod
    def order(self) -> int:
        """How many earlier rows an observation depends on."""

    @property
    @abstractmethod
    def free_parameters(self) -> int:
        """The number of parameters a fit may choose."""

    @abstractmethod
    def log_probs(
        self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"], past: Past
    ) -> Float[Array, "time mode"]:
        """Return log p(y | mode) [nats] over the components where `mask` is True."""

    @abstractmethod
    def predict(
        self, probs: Float[Array, "time mode"], past: Past
    ) -> tuple[Float[Array, "time obs"], Float[Array, "time obs obs"]]:
        """Return mean and covariance of the observation where modes have `probs`."""

    @abstractmethod
    def draw(self, mode: Count, past: Past, *, key: Key) -> Float[Array, " obs"]:
        """Draw one observation in `mode`, after `past` without a time axis."""

    @abstractmethod
    def check(self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]) -> None:
        """Raise `InputError` where a concrete observed value is impossible."""

    @abstractmethod
    def order_key(self) -> Float[Array, " mode"]:
        """Return the number by which modes are sorted: their first mean."""

    @abstractmethod
    def reordered(self, order: Int[Array, " mode"]) -> "AbstractEmission":
        """Return the same emission with mode `order[i]` called i."""

    @abstractmethod
    def reestimate(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        past: Past,
        weights: Float[Array, "time mode"],
        rows: ScalarLike,
    ) -> "AbstractEmission":
        """Return the emission under which weighted rows are most likely.

        Args:
            y: Observed values.
            mask: True where observed.
            past: The rows before each row.
            weights: Weight of each row in each mode.
            rows: How many rows' worth of the spread of the whole series each mode is
                believed to have shown before; keeps a mode from collapsing onto one
                value. 0 for maximum likelihood.

        Returns:
            The emission; a mode without any weight stays as it is.
        """

    @abstractmethod
    def log_prior(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        rows: ScalarLike,
    ) -> Scalar:
        """Return the log density of the prior that `rows` means, up to a constant."""


def mixture_of_modes(
    probs: Float[Array, "time mode"],
    means: Float[Array, "#time mode obs"],
    covs: Float[Array, "mode obs obs"],
) -> tuple[Float[Array, "time obs"], Float[Array, "time obs obs"]]:
    """Return mean and covariance where a mode has the probability `probs`.

    Args:
        probs: Probability of each mode at each row.
        means: Mean in each mode, at each row or at all.
        covs: Covariance in each mode.
    """
    count, obs = covs.shape[0], covs.shape[1]
    steady = means.shape[0] == 1
    mean = probs @ means[0] if steady else jnp.einsum("tj,tjd->td", probs, means)
    within = (probs @ covs.reshape(count, obs * obs)).reshape(-1, obs, obs)
    if not steady:
        return mean, within + _between(probs, means, mean)
    # E m m^T - E m E m^T is one product of matrices, and right to rounding unless the
    # means lie much farther apart than an observation is spread
    apart = means[0] - jnp.mean(means[0], axis=0)[None]
    spread = jnp.min(jnp.diagonal(covs, axis1=1, axis2=2), axis=0)
    near = jnp.all(jnp.max(apart**2, axis=0) <= _NEAR * spread)

    def quick() -> Float[Array, "time obs obs"]:
        squares = (apart[:, :, None] * apart[:, None]).reshape(count, obs * obs)
        middle = probs @ apart
        square = (probs @ squares).reshape(-1, obs, obs)
        return square - middle[:, :, None] * middle[:, None]

    return mean, within + jax.lax.cond(
        near, quick, lambda: _between(probs, means, mean)
    )


def _between(
    probs: Float[Array, "time mode"],
    means: Float[Array, "#time mode obs"],
    mean: Float[Array, "time obs"],
) -> Float[Array, "time obs obs"]:
    """Return sum_j p_j (m_j - m)(m_j - m)^T, of nothing but positive terms."""
    obs = mean.shape[1]
    apart = means - mean[:, None]
    if obs > UNROLL:
        return jnp.einsum("tj,tjd,tje->tde", probs, apart, apart)
    # component by component: thousands of products of tiny matrices are slow
    parts = [
        [jnp.sum(probs * apart[:, :, d] * apart[:, :, e], axis=1) for e in range(obs)]
        for d in range(obs)
    ]
    return jnp.stack([jnp.stack(row, axis=1) for row in parts], axis=1)


def mark_impossible(
    log_probs: Float[Array, "time mode"], wrong: Bool[Array, "time obs"]
) -> Float[Array, "time mode"]:
    """Return NaN in the rows that hold a value no mode can show.

    Args:
        log_probs: Log probabilities.
        wrong: True at impossible entries.
    """
    return jnp.where(jnp.any(wrong, axis=1, keepdims=True), jnp.nan, log_probs)


def require_values(
    y: Float[Array, "time obs"],
    mask: Bool[Array, "time obs"],
    possible: Callable[[np.ndarray], np.ndarray],
    wanted: str,
) -> None:
    """Raise where a concrete observed value is impossible.

    Args:
        y: Observed values.
        mask: True where observed.
        possible: Function that tells possible values.
        wanted: What a value should be, for the message.

    Raises:
        InputError: A value is impossible; the message names the first.
    """
    if not (is_concrete(y) and is_concrete(mask)):
        return
    values = np.asarray(y)
    wrong = np.asarray(mask) & ~possible(values)
    if wrong.any():
        row, column = (int(axis[0]) for axis in np.nonzero(wrong))
        raise InputError(
            f"`y` must be {wanted} wherever observed; got {values[row, column]:.6g} at "
            f"row {row}, component {column}. Choose another emission, or mask the row."
        )


def check_units(units: tuple[str, ...] | None, obs: int) -> tuple[str, ...]:
    """Return one unit for each component.

    Args:
        units: Units, or None for numbers without unit.
        obs: The number of components.

    Raises:
        InputError: There are more or fewer units than components.
    """
    if units is None:
        return ("1",) * obs
    if len(units) != obs:
        raise InputError(
            f"`units` must name the unit of each of {obs} components; got {units}. "
            'Pass one string for each, such as ("mm",).'
        )
    return units


def pooled_mean(
    y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]
) -> Float[Array, " obs"]:
    """Return the mean of what was observed of each component.

    Args:
        y: Observed values.
        mask: True where observed.
    """
    count = jnp.sum(mask, axis=0).astype(y.dtype)
    return jnp.sum(jnp.where(mask, y, 0.0), axis=0) / jnp.maximum(count, 1.0)
