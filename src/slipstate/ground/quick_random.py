"""Random numbers at a few operations each, where their law hardly matters.

jax's generator is made for every purpose and on a processor runs as a loop of its own;
in a filter for a small system that loop costs more than the update. Here a counter and
the words of a key go through a mixing function, which the compiler writes into the
loop around it.

References:
    Wellons (2018), Prospecting for hash functions, nullprogram.com; the constants with
    bias 0.17 of 32-bit "lowbias32".
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from slipstate.ground.types import Key

_GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio: spreads neighbouring counters


def quick_uniform(
    key: Key, shape: tuple[int, int], dtype: np.dtype
) -> Float[Array, "row column"]:
    """Return numbers uniform on [-1, 1), in steps of 2^-23, from a key of jax.

    Good for directions and shuffles; for noise that a result depends on, use
    `jax.random`.

    Args:
        key: Random key; the numbers are not those that jax makes of it.
        shape: Rows and columns.
        dtype: Kind of number.
    """
    words = jax.random.key_data(key).reshape(-1)
    count = jnp.arange(shape[0] * shape[1], dtype=jnp.uint32)
    bits = count * jnp.uint32(_GOLDEN)
    for word in words:
        bits = _mix(bits ^ word)
    return (bits >> 8).astype(dtype).reshape(shape) * 2.0**-23 - 1.0


def _mix(x: UInt32[Array, " count"]) -> UInt32[Array, " count"]:
    """Return each word with every bit depending on all bits of what came in."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
