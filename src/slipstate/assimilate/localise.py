"""Localisation: observations matter where they are near.

An ensemble of M members knows M - 1 directions. Where what is far apart is known to be
independent, each place may use its own, and a few members serve a whole field.

`Localisation` holds the taper of every pair of a state component and an observation.
Domain localisation (`LocalEnsembleTransformKalman`) multiplies the precision of an
observation by it; covariance localisation (serial filters) multiplies the gain.

References:
    Gaspari & Cohn (1999), Construction of correlation functions in two and three
    dimensions, QJRMS 125, eq. 4.10.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.ground.arrays import Numbers, as_real, check_finite, is_concrete
from slipstate.ground.errors import InputError
from slipstate.ground.types import ScalarLike

GAUSSIAN_WIDTH = (10.0 / 3.0) ** 0.5
"""A Gaspari-Cohn taper with c = 1.83 L falls off like exp(-r^2 / (2 L^2)) at first."""


class Localisation(eqx.Module):
    """How much each observation matters to each state component, from 0 to 1.

    Attributes:
        taper: Weight of each observation at each state component.
        between: Weight of each observation at the place of each other one.
    """

    taper: Float[Array, "state obs"]
    between: Float[Array, "obs obs"]

    def __init__(self, taper: Numbers, between: Numbers | None = None) -> None:
        """Check and keep the weights.

        Args:
            taper: Weight of each observation at each state component (state, obs).
            between: Weight of each observation at each other one (obs, obs), for
                serial filters; None where the observations are state components that
                `taper` itself tells (its square), or no serial filter is used.

        Raises:
            InputError: A weight is outside 0 to 1, or the shapes disagree.
        """
        self.taper = as_real("taper", taper, (None, None))
        obs = self.taper.shape[1]
        if between is None:
            square = self.taper.shape[0] == obs
            between = self.taper if square else jnp.ones((obs, obs))
        self.between = as_real("between", between, (obs, obs))
        for name, value in (("taper", self.taper), ("between", self.between)):
            check_finite(name, value)
            if is_concrete(value) and not bool(((value >= 0) & (value <= 1)).all()):
                raise InputError(
                    f"`{name}` must lie between 0 and 1; got {float(value.min()):.4g} "
                    f"to {float(value.max()):.4g}. Pass gaspari_cohn(distance / c)."
                )


def gaspari_cohn(ratio: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the compactly supported correlation function of fifth order.

    Args:
        ratio: Distance over the half-width c.

    Returns:
        1 at 0, 5/24 at 1, and 0 from 2 on.
    """
    r = jnp.abs(ratio)
    near = 1.0 + r**2 * (-5.0 / 3.0 + r * (5.0 / 8.0 + r * (0.5 - 0.25 * r)))
    far = jnp.maximum(r, 1.0)
    tail = far**2 * (5.0 / 3.0 + far * (5.0 / 8.0 + far * (-0.5 + far / 12.0)))
    tail = 4.0 - 5.0 * far + tail - 2.0 / (3.0 * far)
    return jnp.clip(jnp.where(r < 1.0, near, jnp.where(r < 2.0, tail, 0.0)), 0.0, 1.0)


def step_taper(ratio: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return 1 up to a ratio of 1, and 0 beyond."""
    return (jnp.abs(ratio) <= 1.0).astype(ratio.dtype)


def ring_distances(
    size: int, first: Numbers | None = None, second: Numbers | None = None
) -> Float[Array, "first second"]:
    """Return distances along a ring of `size` places, in places.

    Args:
        size: Number of places.
        first: Places of the rows; None for all.
        second: Places of the columns; None for all.

    Returns:
        The shorter way round between each pair.
    """
    every = jnp.arange(float(size))
    rows = every if first is None else as_real("first", first, (None,))
    columns = every if second is None else as_real("second", second, (None,))
    apart = jnp.abs(rows[:, None] - columns[None, :]) % size
    return jnp.minimum(apart, size - apart)


def on_ring(
    size: int, radius: ScalarLike, observed: Numbers | None = None
) -> Localisation:
    """Return the Gaspari-Cohn localisation of a ring of places.

    Args:
        size: Number of state components, one per place.
        radius: Standard deviation of the Gaussian that the taper resembles, in
            places; the taper ends at 3.65 times that.
        observed: Place of each observation; None for one per place.

    Returns:
        The localisation.

    Raises:
        InputError: `radius` is not positive.
    """
    if is_concrete(radius) and not float(radius) > 0.0:
        raise InputError(f"`radius` must be positive; got {float(radius)}. Pass 4.")
    half = radius * GAUSSIAN_WIDTH
    taper = gaspari_cohn(ring_distances(size, None, observed) / half)
    between = gaspari_cohn(ring_distances(size, observed, observed) / half)
    return Localisation(taper, between)
