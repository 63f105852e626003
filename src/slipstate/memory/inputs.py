"""What a memory accepts from its user, and the messages when it does not."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.ground.errors import InputError
from slipstate.memory.clock.protocol import is_traced
from slipstate.memory.state import MemoryState


class Samples(NamedTuple):
    """A checked signal.

    Attributes:
        values: Samples; 0 where nothing was observed.
        seen: True where a sample was observed.
    """

    values: Float[Array, "time channel"]
    seen: Bool[Array, "time channel"]


def working(value: Any) -> Array:
    """Bring a number or numbers to the device in the working precision of jax."""
    return jnp.asarray(value, jnp.result_type(float))


def check_signal(u: Any, mask: Any) -> Samples:
    """Check samples and their mask.

    Args:
        u: (time, channel), or (time,) for one channel.
        mask: (time, channel), (time,) or None.

    Returns:
        The signal.

    Raises:
        InputError: complex, not finite where observed, or of wrong shape.
    """
    values, seen = _check_samples(u, mask)
    return Samples(jnp.asarray(values), jnp.asarray(seen))


def check_sample(u: Any, mask: Any, state: MemoryState) -> tuple[Array, Array]:
    """Check one sample.

    Args:
        u: (channel,), or a number for one channel.
        mask: (channel,) or None.
        state: The state it goes to.

    Returns:
        The sample and where it was observed.
    """
    row = host_or_device(u).atleast_1d(u)
    channels = state.coefficients.shape[1]
    if row.shape != (channels,):
        raise InputError(
            f"`u` must have shape ({channels},), one number per channel of the state; "
            f"got {row.shape}."
        )
    if mask is not None:
        mask = host_or_device(mask).atleast_1d(mask)[None]
    values, seen = _check_samples(row[None], mask)
    return jnp.asarray(values[0]), jnp.asarray(seen[0])


def host_or_device(*given: Any) -> Any:
    """Return numpy where all numbers are known, so that checks compile nothing."""
    return jnp if any(map(is_traced, jax.tree.leaves(given))) else np


def _check_samples(u: Any, mask: Any) -> tuple[Any, Any]:
    """Return samples, 0 where none was observed, and where one was."""
    xp = host_or_device(u, mask)
    array = xp.asarray(u)
    if jnp.iscomplexobj(array):
        raise InputError(
            "`u` must be real; got complex samples. Pass real and imaginary part as "
            "two channels."
        )
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"`u` must have shape (time, channel) with at least one sample; got "
            f"{jnp.shape(u)}. For a batch use `jax.vmap`."
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(jnp.result_type(float))
    if mask is None:
        _check_finite("u", array, "True where observed; at the others time passes")
        return array, np.ones(array.shape, bool)
    seen = xp.asarray(mask)
    if seen.dtype != bool:
        raise InputError(f"`mask` must be boolean; got {seen.dtype}.")
    if seen.ndim == 1:
        seen = xp.broadcast_to(seen[:, None], (seen.shape[0], array.shape[1]))
    if seen.shape != array.shape:
        raise InputError(
            f"`mask` must have the shape of `u`, {array.shape}; got {seen.shape}."
        )
    array = xp.where(seen, array, xp.zeros_like(array))
    _check_finite("u", array, "False there too")
    return array, seen


def check_times(
    times: Any, lowest: Any, highest: Any, *, increasing: bool = False
) -> Float[Array, " tick"]:
    """Check a list of times.

    Args:
        times: (tick,).
        lowest: Smallest time allowed, or None.
        highest: Largest time allowed, or None.
        increasing: Whether they must increase strictly.

    Returns:
        The times in working precision.

    Raises:
        InputError: not one-dimensional, complex, not finite, or out of order or range.
    """
    if jnp.iscomplexobj(times):
        raise InputError("`t` must be real; got complex times.")
    ticks = working(times)
    if ticks.ndim != 1:
        raise InputError(f"`t` must have shape (tick,); got {ticks.shape}.")
    if is_traced(ticks):
        return ticks
    _check_finite("t", ticks, None)
    host = np.asarray(ticks)
    if increasing and np.any(np.diff(host) <= 0.0):
        at = int(np.argmax(np.diff(host) <= 0.0))
        raise InputError(
            f"`t` must increase strictly; got {host[at]} then {host[at + 1]} at index "
            f"{at + 1}. Sort the samples by time and merge equal times."
        )
    if lowest is not None and not is_traced(lowest) and host.min() < float(lowest):
        raise InputError(
            f"`t` must not lie before {float(lowest)}, the oldest time of the memory; "
            f"got {host.min()}. Shift the times, or move the `start` of the clock."
        )
    if highest is not None and not is_traced(highest) and host.max() > float(highest):
        raise InputError(
            f"`t` must not lie after {float(highest)}, the last time of the sequence; "
            f"got {host.max()}."
        )
    return ticks


def check_interval(t0: Any, t1: Any, origin: Any) -> tuple[Array, Array]:
    """Check the two ends of a step.

    Args:
        t0: Time before the step.
        t1: Time after it.
        origin: Oldest time allowed.

    Returns:
        Both in working precision.

    Raises:
        InputError: the step goes back in time, or begins before the origin.
    """
    start, end = working(t0), working(t1)
    if start.ndim or end.ndim:
        raise InputError(
            f"`t0` and `t1` must be numbers; got shapes {start.shape} and {end.shape}. "
            "For many steps use `scan`, or `jax.vmap`."
        )
    if is_traced(start) or is_traced(end) or is_traced(origin):
        return start, end
    if not float(end) >= float(start):
        raise InputError(
            f"`t1` must not lie before `t0`: time runs forward (dt >= 0); got t0 = "
            f"{float(start)}, t1 = {float(end)}."
        )
    if float(start) < float(origin):
        raise InputError(
            f"`t0` must not lie before {float(origin)}, the oldest time of the clock; "
            f"got {float(start)}."
        )
    return start, end


def _check_finite(name: str, array: Any, meaning: str | None) -> None:
    if is_traced(array):
        return
    bad = ~np.isfinite(np.asarray(array))
    if not bad.any():
        return
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    remedy = "" if meaning is None else f" Pass `mask` ({meaning})."
    raise InputError(
        f"`{name}` must be finite; got {int(bad.sum())} NaN or infinite values, the "
        f"first at index {first}.{remedy}"
    )
