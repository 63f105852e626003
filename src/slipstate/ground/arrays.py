"""How a caller's numbers become arrays, and what is checked on the way.

Shapes are known while jax traces, values are not: so shapes are always checked, and
values only where they are concrete. A model can therefore be built inside a jitted
function that fits its parameters.
"""

from collections.abc import Sequence
from typing import Any

import jax.core
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from slipstate.ground.errors import InputError

Numbers = ArrayLike | Sequence[Any]
"""What a caller may give where an array is meant: an array, a number, nested lists."""


def is_concrete(value: Any) -> bool:
    """Tell whether `value` has numbers now, that is, is not being traced by jax."""
    return not isinstance(value, jax.core.Tracer)


def as_real(name: str, value: Numbers, shape: tuple[int | None, ...]) -> Array:
    """Turn `value` into a floating-point array and check its shape.

    Args:
        name: The argument's name, for the message.
        value: Numbers in any form; integers become the default float.
        shape: Expected shape; None where any length will do.

    Returns:
        The array, of the value's own floating type.

    Raises:
        InputError: The shape differs or the numbers are not real.
    """
    array = jnp.asarray(value)
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise InputError(f"`{name}` must be real; got {array.dtype}. Pass real parts.")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(float)
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape)
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise InputError(
            f"`{name}` must have shape ({wanted}); got {array.shape}. Check the order "
            "of its axes and the sizes of the other matrices."
        )
    return array


def check_covariance(name: str, matrix: Float[Array, "n n"]) -> None:
    """Raise unless `matrix` is symmetric and positive semi-definite.

    Judged after scaling to unit diagonal, so units do not matter. Values that jax is
    tracing are not known yet and pass.

    Args:
        name: The argument's name, for the message.
        matrix: The covariance.

    Raises:
        InputError: It is not finite, not symmetric or not positive semi-definite.
    """
    if not is_concrete(matrix):
        return
    values = np.asarray(matrix, float)
    if not np.isfinite(values).all():
        raise InputError(f"`{name}` must be finite; got NaN or infinity in it.")
    tolerance = float(np.sqrt(jnp.finfo(matrix.dtype).eps))
    scale = np.sqrt(np.abs(np.diagonal(values)))
    size = np.outer(scale, scale)
    if (np.abs(values - values.T) > tolerance * size).any():
        raise InputError(
            f"`{name}` must be symmetric; it differs from its transpose by "
            f"{np.abs(values - values.T).max():.3g}. Pass (A + A.T) / 2."
        )
    unit = np.where(scale > 0, scale, 1.0)
    lowest = np.linalg.eigvalsh(values / np.outer(unit, unit)).min(initial=0.0)
    if lowest < -tolerance * len(values):
        raise InputError(
            f"`{name}` must be positive semi-definite; scaled to unit diagonal its "
            f"lowest eigenvalue is {lowest:.3g}. Check signs and correlations."
        )


def check_finite(name: str, array: Float[Array, "*shape"]) -> None:
    """Raise if a concrete `array` holds NaN or infinity.

    Args:
        name: The argument's name, for the message.
        array: What to look at.

    Raises:
        InputError: It holds NaN or infinity; the message names the first place.
    """
    if not is_concrete(array):
        return
    bad = ~np.isfinite(np.asarray(array))
    if bad.any():
        place = tuple(int(axis[0]) for axis in np.nonzero(bad))
        raise InputError(f"`{name}` must be finite; it is not at index {place}.")
