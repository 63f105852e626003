"""Measurements seen of a hidden mode: with a mean of its own, or a memory of its own.

    y_k = b_j + sum_l A_jl y_{k-l} + v,   v ~ N(0, C_j),   in mode j.

Without the sum this is a `GaussianEmission`. With it, a row whose earlier rows were not
all observed in full has no distribution given what is known: it is passed over, as the
first rows of a regression are, so that the log-likelihood is a conditional one. Missing
components of other rows are integrated out.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from slipstate.ground.arrays import Numbers, as_real, check_covariance, check_finite
from slipstate.ground.elimination import psd_root
from slipstate.ground.errors import InputError
from slipstate.ground.types import Count, Key, Scalar, ScalarLike
from slipstate.systems.emissions import (
    AbstractEmission,
    Past,
    check_units,
    mixture_of_modes,
    pooled_mean,
    require_values,
)
from slipstate.systems.mode_regression import (
    Weighted,
    covariance_log_prior,
    mode_log_densities,
    regress,
    spread,
)


class GaussianEmission(AbstractEmission):
    """A normal distribution in each mode.

    Attributes:
        means: Mean in each mode.
        covs: Covariance in each mode (mode, obs, obs), or only its diagonal (mode, obs)
            where components are independent once the mode is known.
        units: Unit of each component.
    """

    means: Float[Array, "mode obs"]
    covs: Float[Array, "mode obs *obs"]
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self, means: Numbers, covs: Numbers, units: tuple[str, ...] | None = None
    ) -> None:
        """Check and keep the moments.

        Args:
            means: Mean in each mode (mode, obs).
            covs: Covariances (mode, obs, obs), or variances (mode, obs).
            units: Unit of each component; None for numbers without unit.

        Raises:
            InputError: Shapes disagree, or a covariance is none.
        """
        self.means = as_real("means", means, (None, None))
        modes, obs = self.means.shape
        full = jnp.ndim(jnp.asarray(covs)) == 3
        self.covs = as_real("covs", covs, (modes, obs, obs) if full else (modes, obs))
        self.units = check_units(units, obs)
        check_finite("means", self.means)
        for mode in range(modes):
            cov = self.covs[mode]
            check_covariance(f"covs[{mode}]", cov if full else jnp.diag(cov))

    @property
    def full(self) -> bool:
        """Whether components may be correlated within a mode."""
        return self.covs.ndim == 3

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.means.shape[0]

    @property
    def order(self) -> int:
        """Nothing earlier matters."""
        return 0

    @property
    def free_parameters(self) -> int:
        """Means, and the lower triangle or the diagonal of each covariance."""
        modes, obs = self.means.shape
        return modes * (obs + (obs * (obs + 1) // 2 if self.full else obs))

    def log_probs(
        self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"], past: Past
    ) -> Float[Array, "time mode"]:
        """Return log N(y; mean, cov) over the observed components."""
        apart = y[:, None] - self.means[None]
        if self.full:
            return mode_log_densities(apart, mask, self.covs)
        safe = jnp.where(self.covs > 0, self.covs, jnp.nan)[None]
        each = -0.5 * (apart**2 / safe + jnp.log(2.0 * jnp.pi * safe))
        return jnp.sum(jnp.where(mask[:, None], each, 0.0), axis=2)

    def predict(
        self, probs: Float[Array, "time mode"], past: Past
    ) -> tuple[Float[Array, "time obs"], Float[Array, "time obs obs"]]:
        """Return mean and covariance of the mixture."""
        return mixture_of_modes(probs, self.means[None], self._matrices())

    def draw(self, mode: Count, past: Past, *, key: Key) -> Float[Array, " obs"]:
        """Draw from the normal distribution of `mode`."""
        mean = self.means[mode]
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        return mean + psd_root(self._matrices()[mode]) @ noise

    def check(self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]) -> None:
        """Accept all finite numbers."""
        require_values(y, mask, np.isfinite, "a finite number")

    def order_key(self) -> Float[Array, " mode"]:
        """Return the mean of the first component."""
        return self.means[:, 0]

    def reordered(self, order: Int[Array, " mode"]) -> "GaussianEmission":
        """Return the same emission with mode `order[i]` called i."""
        return GaussianEmission(self.means[order], self.covs[order], self.units)

    def reestimate(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        past: Past,
        weights: Float[Array, "time mode"],
        rows: ScalarLike,
    ) -> "GaussianEmission":
        """Return weighted means and covariances; an inverse Wishart prior on these."""
        centre = pooled_mean(y, mask)[None]
        y = jnp.where(mask, y - centre, 0.0)
        before = self.means - centre
        if not self.full:
            found, variances = self._independent(y, mask, weights, before, rows)
            return GaussianEmission(found + centre, variances, self.units)
        table = Weighted(jnp.ones_like(y[:, :1]), y, mask, weights)
        coefs, covs = regress(table, before[:, None], self.covs, rows, spread(y, mask))
        return GaussianEmission(coefs[:, 0] + centre, covs, self.units)

    def log_prior(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        rows: ScalarLike,
    ) -> Scalar:
        """Return -rows/2 (log det C + trace C^-1 V), V the spread of the series."""
        return covariance_log_prior(self._matrices(), spread(y, mask), rows)

    def _matrices(self) -> Float[Array, "mode obs obs"]:
        """Return the covariances as matrices."""
        return self.covs if self.full else jax.vmap(jnp.diag)(self.covs)

    def _independent(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        weights: Float[Array, "time mode"],
        means: Float[Array, "mode obs"],
        rows: ScalarLike,
    ) -> tuple[Float[Array, "mode obs"], Float[Array, "mode obs"]]:
        """Return weighted means and variances of each component by itself."""
        seen = mask.astype(y.dtype)
        count = weights.T @ seen
        some = count > 0
        found = jnp.where(some, weights.T @ y / jnp.where(some, count, 1.0), means)
        apart = jnp.where(mask[:, None], y[:, None] - found[None], 0.0)
        scatter = jnp.einsum("tj,tjd->jd", weights, apart**2)
        scatter = scatter + rows * spread(y, mask)[None]
        full = count + rows
        variances = scatter / jnp.where(full > 0, full, 1.0)
        return found, jnp.where(full > 0, variances, self.covs)


class AutoregressiveEmission(AbstractEmission):
    """A linear regression on the last rows in each mode.

    Attributes:
        coefs: A, coefficients of the last rows, the latest first.
        offsets: b.
        covs: C, covariance of what is new in a row.
        units: Unit of each component.
    """

    coefs: Float[Array, "mode order obs obs"]
    offsets: Float[Array, "mode obs"]
    covs: Float[Array, "mode obs obs"]
    units: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        coefs: Numbers,
        offsets: Numbers,
        covs: Numbers,
        units: tuple[str, ...] | None = None,
    ) -> None:
        """Check and keep the coefficients.

        Args:
            coefs: Coefficients of the last rows (mode, order, obs, obs), latest first.
            offsets: Offsets (mode, obs).
            covs: Covariances of the noise (mode, obs, obs).
            units: Unit of each component; None for numbers without unit.

        Raises:
            InputError: Shapes disagree, the order is zero, or a covariance is none.
        """
        self.offsets = as_real("offsets", offsets, (None, None))
        modes, obs = self.offsets.shape
        self.coefs = as_real("coefs", coefs, (modes, None, obs, obs))
        self.covs = as_real("covs", covs, (modes, obs, obs))
        self.units = check_units(units, obs)
        if self.coefs.shape[1] == 0:
            raise InputError(
                "`coefs` must reach back at least one row; got order 0. Use "
                "GaussianEmission(means, covs)."
            )
        check_finite("coefs", self.coefs)
        check_finite("offsets", self.offsets)
        for mode in range(modes):
            check_covariance(f"covs[{mode}]", self.covs[mode])

    @property
    def modes(self) -> int:
        """The number of modes."""
        return self.offsets.shape[0]

    @property
    def order(self) -> int:
        """How many earlier rows matter."""
        return self.coefs.shape[1]

    @property
    def free_parameters(self) -> int:
        """Coefficients, offsets and the lower triangle of each covariance."""
        modes, obs = self.offsets.shape
        return self.coefs.size + self.offsets.size + modes * obs * (obs + 1) // 2

    def log_probs(
        self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"], past: Past
    ) -> Float[Array, "time mode"]:
        """Return log N(y; b + A past, C); 0 where an earlier row is missing."""
        known = jnp.all(past.seen, axis=1, keepdims=True)
        return mode_log_densities(
            y[:, None] - self._means(past), mask & known, self.covs
        )

    def predict(
        self, probs: Float[Array, "time mode"], past: Past
    ) -> tuple[Float[Array, "time obs"], Float[Array, "time obs obs"]]:
        """Return mean and covariance of the mixture; a missing row counts as 0."""
        return mixture_of_modes(probs, self._means(past), self.covs)

    def draw(self, mode: Count, past: Past, *, key: Key) -> Float[Array, " obs"]:
        """Draw the next row in `mode`."""
        mean = self._means(jax.tree.map(lambda x: x[None], past))[0, mode]
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        return mean + psd_root(self.covs[mode]) @ noise

    def check(self, y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]) -> None:
        """Accept all finite numbers."""
        require_values(y, mask, np.isfinite, "a finite number")

    def order_key(self) -> Float[Array, " mode"]:
        """Return the offset of the first component."""
        return self.offsets[:, 0]

    def reordered(self, order: Int[Array, " mode"]) -> "AutoregressiveEmission":
        """Return the same emission with mode `order[i]` called i."""
        return AutoregressiveEmission(
            self.coefs[order], self.offsets[order], self.covs[order], self.units
        )

    def reestimate(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        past: Past,
        weights: Float[Array, "time mode"],
        rows: ScalarLike,
    ) -> "AutoregressiveEmission":
        """Return the weighted regression; an inverse Wishart prior on the noise."""
        modes, order, obs, _ = self.coefs.shape
        centre = pooled_mean(y, mask)
        known = jnp.all(past.seen, axis=1)
        lags = jnp.where(past.seen[:, :, None], past.y - centre[None, None], 0.0)
        x = jnp.concatenate(
            [jnp.ones_like(y[:, :1]), lags.reshape(-1, order * obs)], axis=1
        )
        seen = mask & known[:, None]
        table = Weighted(x, jnp.where(seen, y - centre[None], 0.0), seen, weights)
        # b + A (centre + lag) - centre: the offset of centred rows
        moved = self.offsets - centre[None] + jnp.sum(self.coefs, axis=1) @ centre
        slopes = jnp.swapaxes(self.coefs, 2, 3).reshape(modes, order * obs, obs)
        before = jnp.concatenate([moved[:, None], slopes], axis=1)
        found, covs = regress(table, before, self.covs, rows, spread(y, mask))
        coefs = jnp.swapaxes(found[:, 1:].reshape(modes, order, obs, obs), 2, 3)
        offsets = found[:, 0] + centre[None] - jnp.sum(coefs, axis=1) @ centre
        return AutoregressiveEmission(coefs, offsets, covs, self.units)

    def log_prior(
        self,
        y: Float[Array, "time obs"],
        mask: Bool[Array, "time obs"],
        rows: ScalarLike,
    ) -> Scalar:
        """Return -rows/2 (log det C + trace C^-1 V), V the spread of the series."""
        return covariance_log_prior(self.covs, spread(y, mask), rows)

    def _means(self, past: Past) -> Float[Array, "time mode obs"]:
        """Return the mean of each row in each mode."""
        return self.offsets[None] + jnp.einsum("jlde,tle->tjd", self.coefs, past.y)
