"""A tree of arrays in one buffer per width of number.

What a call of a compiled program costs, on a small model, is the number of its buffers
and not the arithmetic; so whatever steps through observations one by one carries its
state like this.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class Layout:
    """Where each array of a tree lies in one buffer per width of number.

    Truth values travel as 0 and 1 and integers by their bits, so that all numbers of
    one width share one buffer: what a call costs is the number of its buffers.
    """

    def __init__(self, tree: Any) -> None:
        """Note where each array of a tree goes.

        Args:
            tree: The tree; shapes and types are enough.
        """
        leaves, self._structure = jax.tree.flatten(tree)
        self._rest = [None if eqx.is_array(leaf) else leaf for leaf in leaves]
        self._arrays = [k for k, leaf in enumerate(leaves) if eqx.is_array(leaf)]
        buffers = [_buffer_of(leaves[k].dtype) for k in self._arrays]
        self._buffers = sorted(set(buffers))
        filled = dict.fromkeys(self._buffers, 0)
        self._places: list[tuple[int, int, int, tuple[int, ...], Any]] = []
        for name, k in zip(buffers, self._arrays):
            leaf, begin = leaves[k], filled[name]
            filled[name] += int(np.prod(leaf.shape))
            # None where the numbers lie in the buffer as they are
            dtype = None if str(leaf.dtype) == name else leaf.dtype
            where = (self._buffers.index(name), begin, filled[name])
            self._places.append((*where, leaf.shape, dtype))

    def pack(self, tree: Any) -> list[Array]:
        """Return the buffers that hold a tree."""
        leaves = jax.tree.leaves(tree)
        parts: list[list[Array]] = [[] for _ in self._buffers]
        for (buffer, *_), k in zip(self._places, self._arrays):
            name, flat = self._buffers[buffer], jnp.reshape(leaves[k], (-1,))
            if flat.dtype == jnp.bool_:
                flat = flat.astype(name)
            elif str(flat.dtype) != name:
                flat = jax.lax.bitcast_convert_type(flat, name)
            parts[buffer].append(flat)
        return [jnp.concatenate(part) for part in parts]

    def unpack(self, buffers: list[Any]) -> Any:
        """Return the tree that buffers hold; views of them where they are NumPy's."""
        leaves = list(self._rest)
        for k, (buffer, begin, end, shape, dtype) in zip(self._arrays, self._places):
            flat = buffers[buffer][begin:end]
            flat = flat if dtype is None else _as_type(flat, dtype)
            leaves[k] = flat.reshape(shape)
        return jax.tree.unflatten(self._structure, leaves)


def _buffer_of(dtype: Any) -> str:
    """Return the type of the buffer that numbers of a type travel in."""
    if str(dtype) == "bool":
        return str(jnp.zeros(0).dtype)
    if jnp.issubdtype(dtype, jnp.integer) and dtype.itemsize in (4, 8):
        return f"float{8 * dtype.itemsize}"
    return str(dtype)


def _as_type(flat: Any, dtype: Any) -> Any:
    """Return numbers of a buffer as what they were."""
    if dtype == np.bool_:
        return flat != 0
    if isinstance(flat, np.ndarray):
        return flat.view(dtype)
    return jax.lax.bitcast_convert_type(flat, dtype)
