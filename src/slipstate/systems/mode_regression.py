"""Gaussian densities in each mode, and the regression that re-estimates them.

    y_t = B_j^T x_t + v,   v ~ N(0, C_j),   with weight w_tj in mode j.

A missing component of a row is filled in with its conditional mean in each mode, and
its conditional covariance counts towards C_j: the M-step of Little and Rubin, which
never lowers the likelihood. Rows are whole or missing in most series, so the general
road is taken only where one is not.

References:
    Little & Rubin (2002), Statistical analysis with missing data, section 11.2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from slipstate.ground.elimination import UNROLL, decorrelate
from slipstate.ground.linalg import symmetric
from slipstate.ground.types import Flag, Scalar, ScalarLike
from slipstate.systems.beliefs import masked_log_density


class Weighted(NamedTuple):
    """Rows with weights, as a regression takes them.

    Attributes:
        x: What a row is explained by.
        y: Observed values; 0 where missing.
        mask: True where observed.
        weights: Weight of each row in each mode; 0 where a row does not count.
    """

    x: Float[Array, "time regressor"]
    y: Float[Array, "time obs"]
    mask: Bool[Array, "time obs"]
    weights: Float[Array, "time mode"]


def mode_log_densities(
    apart: Float[Array, "time mode obs"],
    mask: Bool[Array, "time obs"],
    covs: Float[Array, "mode obs obs"],
) -> Float[Array, "time mode"]:
    """Return log N(apart; 0, C_j) [nats] over the observed components of each row.

    Args:
        apart: Observation minus its mean in each mode.
        mask: True where observed.
        covs: Covariance in each mode; NaN comes of one that is not positive definite.
    """

    def whole() -> Float[Array, "time mode"]:
        pivots, white = _whitening(covs)
        safe = jnp.where(pivots > 0, pivots, jnp.nan)
        square = _square_length(apart, safe, white)
        constant = jnp.sum(jnp.log(2.0 * jnp.pi * safe), axis=1)
        seen = jnp.any(mask, axis=1, keepdims=True)
        return jnp.where(seen, -0.5 * (square + constant[None]), 0.0)

    def in_part() -> Float[Array, "time mode"]:
        modes = jax.vmap(masked_log_density, in_axes=(0, 0, None))
        return jax.vmap(modes, in_axes=(0, None, 0))(apart, covs, mask)

    return jax.lax.cond(all_whole(mask), whole, in_part)


def regress(
    rows: Weighted,
    coefs: Float[Array, "mode regressor obs"],
    covs: Float[Array, "mode obs obs"],
    pseudo: ScalarLike,
    variances: Float[Array, " obs"],
) -> tuple[Float[Array, "mode regressor obs"], Float[Array, "mode obs obs"]]:
    """Return coefficients and covariances under which weighted rows are most likely.

    Args:
        rows: The rows.
        coefs: Coefficients B_j so far.
        covs: Covariances C_j so far; they say how missing components are filled in.
        pseudo: How many further rows count towards each C_j.
        variances: The spread that those rows showed.

    Returns:
        B_j and C_j; as they were in a mode without any weight.
    """
    x, y, mask, weights = rows
    modes, obs = covs.shape[:2]
    seen = jnp.any(mask, axis=1, keepdims=True)
    w = jnp.where(seen, weights, 0.0)

    def whole() -> tuple[Array, Array]:
        filled = jnp.broadcast_to(y[:, None], (*w.shape, obs))
        return filled, jnp.zeros_like(covs)

    def in_part() -> tuple[Array, Array]:
        fitted = jnp.einsum("tp,jpd->tjd", x, coefs)

        def fill(y: Array, mask: Array, mean: Array, cov: Array) -> tuple[Array, Array]:
            known = mask.astype(cov.dtype)
            marginal = cov * known[:, None] * known[None] + jnp.diag(1.0 - known)
            inverse = psd_inverse(marginal) * known[:, None] * known[None]
            gain = cov @ inverse
            filled = mean + gain @ jnp.where(mask, y - mean, 0.0)
            return jnp.where(mask, y, filled), symmetric(cov - gain @ cov)

        each = jax.vmap(fill, in_axes=(None, None, 0, 0))
        filled, unsure = jax.vmap(each, in_axes=(0, 0, 0, None))(y, mask, fitted, covs)
        return filled, jnp.einsum("tj,tjde->jde", w, unsure)

    filled, unsure = jax.lax.cond(all_whole(mask), whole, in_part)
    square = (x[:, :, None] * x[:, None]).reshape(x.shape[0], -1)
    moments = (w.T @ square).reshape(modes, x.shape[1], x.shape[1])
    inverse = jax.vmap(psd_inverse)(moments)
    cross = jnp.einsum("tj,tp,tjd->jpd", w, x, filled)
    total = jnp.sum(w, axis=0)
    some = (total > 0)[:, None, None]
    found = jnp.where(some, inverse @ cross, coefs)
    residual = filled - jnp.einsum("tp,jpd->tjd", x, found)
    scatter = jnp.einsum("tj,tjd,tje->jde", w, residual, residual) + unsure
    scatter = scatter + pseudo * jnp.diag(variances)[None]
    count = (total + pseudo)[:, None, None]
    cov = scatter / jnp.where(count > 0, count, 1.0)
    return found, jnp.where(count > 0, cov, covs)


def covariance_log_prior(
    covs: Float[Array, "mode obs obs"],
    variances: Float[Array, " obs"],
    pseudo: ScalarLike,
) -> Scalar:
    """Return the log density of the prior of `pseudo` rows, up to a constant.

    Args:
        covs: Covariance in each mode.
        variances: The spread that those rows showed.
        pseudo: Their number.
    """
    pivots, white = _whitening(covs)
    safe = jnp.where(pivots > 0, pivots, jnp.nan)
    square = jnp.sum(white**2 / safe[:, :, None] * variances[None, None], axis=(1, 2))
    return -0.5 * pseudo * jnp.sum(square + jnp.sum(jnp.log(safe), axis=1))


def spread(
    y: Float[Array, "time obs"], mask: Bool[Array, "time obs"]
) -> Float[Array, " obs"]:
    """Return the variance of what was observed of each component.

    Args:
        y: Observed values.
        mask: True where observed.
    """
    count = jnp.maximum(jnp.sum(mask, axis=0).astype(y.dtype), 1.0)
    mean = jnp.sum(jnp.where(mask, y, 0.0), axis=0) / count
    apart = jnp.where(mask, y - mean[None], 0.0)
    return jnp.sum(apart**2, axis=0) / count


def psd_inverse(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return an inverse of a semi-definite matrix that is zero where it is singular."""
    pivots, white = decorrelate(matrix, jnp.eye(matrix.shape[0], dtype=matrix.dtype))
    scale = jnp.where(pivots > 0, 1.0 / jnp.where(pivots > 0, pivots, 1.0), 0.0)
    return white.T @ (scale[:, None] * white)


def all_whole(mask: Bool[Array, "time obs"]) -> Flag:
    """Tell whether every row was observed in all components or in none."""
    return jnp.all(jnp.all(mask, axis=1) | ~jnp.any(mask, axis=1))


def _whitening(
    covs: Float[Array, "mode obs obs"],
) -> tuple[Float[Array, "mode obs"], Float[Array, "mode obs obs"]]:
    """Return D and U^-1 of C = U D U^T for each mode."""
    eye = jnp.eye(covs.shape[1], dtype=covs.dtype)
    return jax.vmap(decorrelate, in_axes=(0, None))(covs, eye)


def _square_length(
    apart: Float[Array, "time mode obs"],
    pivots: Float[Array, "mode obs"],
    white: Float[Array, "mode obs obs"],
) -> Float[Array, "time mode"]:
    """Return x^T C^-1 x of each vector, from D and the lower triangular U^-1.

    Written out for few components: the compiler then does it in one loop over modes.
    """
    obs = apart.shape[2]
    if obs > UNROLL:
        turned = jnp.einsum("tjc,jdc->tjd", apart, white)
        return jnp.sum(turned**2 / pivots[None], axis=2)
    total = jnp.zeros(apart.shape[:2], apart.dtype)
    for row in range(obs):
        turned = apart[:, :, row]
        for d in range(row):
            turned = turned + white[None, :, row, d] * apart[:, :, d]
        total = total + turned**2 / pivots[None, :, row]
    return total
