"""Which observations each place listens to, as lists and not as a matrix.

A field of 10,000 components with 10,000 observations has a taper of 10^8 entries,
nearly all zero; the lists hold the others.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from slipstate.assimilate.localise import Localisation, gaspari_cohn
from slipstate.ground.errors import InputError


class Neighbours(eqx.Module):
    """The observations near each state component, and how much they matter there.

    Attributes:
        index: Observations near each component; filled up with any where fewer.
        taper: Their weights, 0 to 1; 0 where filled up.
    """

    index: Int[Array, "state near"]
    taper: Float[Array, "state near"]


def near_observations(localisation: Localisation) -> Neighbours:
    """Return the lists of a localisation that is given as a matrix.

    Args:
        localisation: Weight of each observation at each state component.

    Returns:
        Lists as long as the longest needs to be.
    """
    taper = np.asarray(localisation.taper)
    longest = max(int((taper > 0.0).sum(axis=1).max()), 1)
    index = np.argsort(-taper, axis=1, kind="stable")[:, :longest]
    return Neighbours(
        jnp.asarray(index), jnp.asarray(np.take_along_axis(taper, index, axis=1))
    )


def ring_neighbours(size: int, half_width: float, every: int = 1) -> Neighbours:
    """Return the lists of a ring of places, each or some observed.

    Args:
        size: Number of places.
        half_width: c of the Gaspari-Cohn taper, in places; zero from 2 c on.
        every: Places between observations; 1 where each is observed.

    Returns:
        The lists.

    Raises:
        InputError: The taper reaches around the ring.
    """
    reach = int(np.ceil(2.0 * half_width)) - 1
    if 2 * reach + 1 > size:
        raise InputError(
            f"`half_width` must be below {(size + 1) / 4:g} for {size} places; got "
            f"{half_width}. Pass near_observations(Localisation(...)) instead."
        )
    offsets = np.arange(-reach, reach + 1)
    places = (np.arange(size)[:, None] + offsets[None, :]) % size
    taper = np.asarray(gaspari_cohn(jnp.asarray(np.abs(offsets) / half_width)))
    taper = np.where(places % every == 0, taper[None, :], 0.0)
    longest = max(int((taper > 0.0).sum(axis=1).max()), 1)
    order = np.argsort(-taper, axis=1, kind="stable")[:, :longest]
    index = np.take_along_axis(places, order, axis=1) // every
    return Neighbours(
        jnp.asarray(index), jnp.asarray(np.take_along_axis(taper, order, axis=1))
    )
