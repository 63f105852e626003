"""What a memory has lost, without the history.

Where the pair of basis and clock is closed, the coefficients are the orthogonal
projection of the held past, so by Pythagoras the squared error of the reconstruction is
E - |c|^2, exactly. Otherwise every step's loss is measured as it happens, and since an
ageing past never grows in the majorant measure, the losses add up to a bound.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from slipstate.memory.geometry import Geometry
from slipstate.memory.state import MemoryState


@eqx.filter_jit
def state_error(geometry: Geometry, state: MemoryState) -> Float[Array, " channel"]:
    """Return the L2 error of the reconstruction of the held past, or a bound.

    Args:
        geometry: The memory.
        state: One state.

    Returns:
        Per channel, in the unit of the signal and the measure of the memory: exact for
        closed memories (down to sqrt(rounding) |f|), otherwise the smaller of the sum
        of the losses and of |f| + |c|.
    """
    size = jnp.sum(state.coefficients**2, axis=0)
    if geometry.closed:
        return safe_root(state.energy - size)
    chain = jnp.sum(state.losses, axis=0)
    # the measure is a probability, so |f| is below the largest sample
    reach = jnp.minimum(state.peak, safe_root(state.energy))
    return jnp.minimum(chain, reach + safe_root(size))


def safe_root(square: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return sqrt(max(x, 0)), with derivative 0 where x <= 0."""
    positive = square > 0.0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
