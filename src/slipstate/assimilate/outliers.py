"""A cheap robust update for long daily series: weight the noise, keep the Gaussian.

The prediction error v of a scalar is given Student's density with the squared scale
q = s + r of signal and noise; the update then uses the noise r / lambda with the
expected precision lambda = (dof + 1) / (dof + v^2 / q). One pass, no integral: for the
exact posterior of heavy-tailed noise see `slipstate.assimilate.robust`.

References:
    West, J. R. Stat. Soc. B 43, 157 (1981); Meinhold and Singpurwalla, JASA 84 (1989).
"""

import jax.numpy as jnp
import jax.scipy.special as special
from jaxtyping import Array, Float

from slipstate.ground.types import ScalarLike


def student_log_density(
    v: Float[Array, "*batch"], q: Float[Array, "*batch"], dof: ScalarLike
) -> Float[Array, "*batch"]:
    """Return log t_dof(v; 0, q) [nats] for errors v of squared scale q."""
    half = 0.5 * dof
    constant = special.gammaln(half + 0.5) - special.gammaln(half)
    scale = jnp.log(dof * jnp.pi * q)
    return constant - 0.5 * scale - (half + 0.5) * jnp.log1p(v * v / (dof * q))


def precision_weight(
    v: Float[Array, "*batch"], q: Float[Array, "*batch"], dof: ScalarLike
) -> Float[Array, "*batch"]:
    """Return lambda, near 1 for an ordinary error and small for an outlier."""
    return (dof + 1.0) / (dof + v * v / q)


def update_series(
    mean: Float[Array, "*batch state"],
    cov: Float[Array, "*batch state state"],
    h: Float[Array, " state"],
    innovation: Float[Array, "*batch"],
    noise: Float[Array, "*batch"],
    dof: ScalarLike,
) -> tuple[
    Float[Array, "*batch state"],
    Float[Array, "*batch state state"],
    Float[Array, "*batch"],
]:
    """Condition many states, each on one scalar of its own.

    Args:
        mean: Predicted means.
        cov: Predicted covariances.
        h: Observation row, shared.
        innovation: y - h.m; must be 0 where nothing was observed.
        noise: Squared scale r of the noise; infinite where nothing was observed, so
            that the gain vanishes.
        dof: Degrees of freedom of the noise.

    Returns:
        Updated means and covariances, and the signal variance h P h^T.
    """
    ph = cov @ h
    signal = ph @ h
    weight = precision_weight(innovation, signal + noise, dof)
    precise = 1.0 / (signal + noise / weight)
    mean = mean + ph * (precise * innovation)[..., None]
    cov = cov - precise[..., None, None] * (ph[..., :, None] * ph[..., None, :])
    return mean, 0.5 * (cov + jnp.swapaxes(cov, -1, -2)), signal
