"""The rank histogram filter: a serial filter without a Gaussian assumption."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.assimilate.inflation import (
    AbstractInflation,
    Multiplicative,
    as_inflation,
)
from slipstate.assimilate.localise import Localisation
from slipstate.assimilate.members import check_members
from slipstate.assimilate.serial import AbstractSerialFilter
from slipstate.ground.types import Scalar


class RankHistogramFilter(AbstractSerialFilter):
    """Each scalar is updated through its cumulative distribution.

    Between two neighbouring predicted values the prior density is flat with mass
    1 / (M + 1), beyond the outermost it is a Gaussian tail of the ensemble's spread
    with the same mass. It is multiplied by the likelihood (the mean of both ends in an
    interval; in a tail exactly, product of Gaussians) and the i-th smallest value moves
    to the quantile i / (M + 1).

    Attributes:
        members: Size of the ensemble, at least 2.
        localisation: Weight of each observation at each place, or None.
        inflation: Factor on the anomalies after each update, or an inflation rule.
        rotate: Whether to turn the anomalies at random afterwards; that undoes what is
            not Gaussian.

    References:
        Anderson (2010), A non-Gaussian ensemble filter update for data assimilation,
        Monthly Weather Review 138.
    """

    members: int = eqx.field(static=True, default=50)
    localisation: Localisation | None = None
    inflation: AbstractInflation = eqx.field(
        converter=as_inflation, default_factory=Multiplicative
    )
    rotate: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        """Refuse ensembles without spread."""
        check_members(self.members)

    def increments(self, z: Float[Array, " ens"], y: Scalar) -> Float[Array, " ens"]:
        """Return the moves to the quantiles of the posterior."""
        order = jnp.argsort(z)
        var = jnp.sum((z - jnp.mean(z)) ** 2) / (self.members - 1)
        some = var > 0.0
        spread = jnp.sqrt(jnp.where(some, var, 1.0))
        x = z[order]
        moved = _quantiles(x, y, spread)
        change = jnp.where(some, moved - x, 0.0)
        return jnp.zeros_like(z).at[order].set(change)


def _quantiles(x: Float[Array, " ens"], y: Scalar, sd: Scalar) -> Float[Array, " ens"]:
    """Return the quantiles i / (M + 1) of the posterior of sorted values `x`."""
    M = x.shape[0]
    log_cdf, inverse = jax.scipy.stats.norm.logcdf, jax.scipy.special.ndtri
    # a tail: N(c, sd^2), placed so that 1 / (M + 1) lies beyond the end, times N(y, 1)
    reach = -inverse(1.0 / (M + 1.0)) * sd
    var = sd**2 / (sd**2 + 1.0)
    root = jnp.sqrt(var)

    def tail(end: Scalar, side: float) -> tuple[Scalar, Scalar, Scalar]:
        """Return log mass, mean and log probability beyond of the product."""
        centre = end - side * reach
        mean = centre + var * (y - centre)
        scale = -0.5 * (y - centre) ** 2 / (1.0 + sd**2) - 0.5 * jnp.log1p(sd**2)
        beyond = log_cdf(side * (mean - end) / root)
        return scale + beyond, mean, beyond

    low_mass, low_mean, low_beyond = tail(x[0], -1.0)
    high_mass, high_mean, high_beyond = tail(x[-1], 1.0)
    log_l = -0.5 * (x - y) ** 2
    inner = jnp.logaddexp(log_l[:-1], log_l[1:]) - jnp.log(2.0 * (M + 1.0))
    # the left part of the Gaussians' tails already has mass 1 / (M + 1)
    log_mass = jnp.concatenate([low_mass[None], inner, high_mass[None]])
    mass = jax.nn.softmax(log_mass)
    upto = jnp.cumsum(mass)
    wanted = jnp.arange(1.0, M + 1.0) / (M + 1.0)
    box = jnp.clip(jnp.searchsorted(upto, wanted), 0, M)
    # inside: linear between the ends
    left = jnp.clip(box - 1, 0, M - 2)
    share = (wanted - upto[left]) / jnp.where(mass[left + 1] > 0, mass[left + 1], 1.0)
    within = x[left] + jnp.clip(share, 0.0, 1.0) * (x[left + 1] - x[left])

    def beyond(
        share: Array, mean: Scalar, log_all: Scalar, side: float, here: Array
    ) -> Array:
        """Return the point beyond which lies `share` of the product's tail."""
        # so deep in a tail that it has no quantiles: its end stands for it
        usable = here & (log_all > -600.0) & (share > 0.0) & (share < 1.0)
        p = jnp.where(usable, share, 0.5) * jnp.exp(jnp.maximum(log_all, -600.0))
        p = jnp.where(usable & (p < 1.0), p, 0.5)
        point = mean - side * root * inverse(p)
        return jnp.where(usable, point, x[0 if side < 0 else -1])

    some = mass > 0.0
    safe = jnp.where(some, mass, 1.0)
    high = beyond((1.0 - wanted) / safe[-1], high_mean, high_beyond, 1.0, box == M)
    low = beyond(wanted / safe[0], low_mean, low_beyond, -1.0, box == 0)
    high, low = jnp.maximum(high, x[-1]), jnp.minimum(low, x[0])
    return jnp.where(box == 0, low, jnp.where(box == M, high, within))
