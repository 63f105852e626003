"""How a sequence is cut and treated, decided on the host where its times are known."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from slipstate.memory.clock.protocol import is_traced
from slipstate.memory.geometry import Geometry
from slipstate.memory.inputs import Samples, check_times, host_or_device
from slipstate.memory.sequence import Plan

_CHUNK = 1024
# cells are stepped side by side in groups, so chunks are multiples of this
_GROUP = 32
# the direct form of a linear hold treats cells that add at most this share of W;
# the smaller it is, the shorter the rule, but no more than _GROUP cells are stepped
_SHARES = (1.0 / 32.0, 0.501)


def cell_edges(geometry: Geometry, count: int, t: Any) -> Float[Array, " edge"]:
    """Return the checked cell edges of `count` samples.

    Args:
        geometry: The memory.
        count: Number of samples.
        t: Times as the user gave them, or None.

    Returns:
        Increasing edges, not before the origin of the clock.
    """
    ticks = None if t is None else check_times(t, None, None)
    edges = geometry.hold.cells(count, ticks)
    return check_times(edges, geometry.clock.origin(), None, increasing=True)


def make_plan(geometry: Geometry, edges: Float[Array, " edge"]) -> Plan:
    """Decide how a sequence with these edges is treated.

    Args:
        geometry: The memory.
        edges: Cell edges; traced ones allow for every spacing.

    Returns:
        The plan.
    """
    cells = edges.shape[0] - 1
    # a power of two, so that short signals of any length share a few programs
    chunk = max(_GROUP, min(_CHUNK, 1 << (cells - 1).bit_length()))
    known = not is_traced(edges)
    regular = known and _is_regular(np.asarray(edges))
    every = -(-cells // chunk) * chunk
    if not geometry.closed or geometry.buffered:
        return Plan(chunk, every, 0, regular)
    # a cell hold has a primitive, but its differences cost digits float32 lacks
    held = geometry.hold.inputs == 1
    otherwise = Plan(chunk, 0 if held else every, 0, regular)
    if not known or (held and edges.dtype == jnp.float64):
        return otherwise
    host = np.asarray(edges)
    share = _shares(geometry, jnp.asarray(host[:-1]), jnp.asarray(host[1:]))
    if is_traced(share):
        return otherwise
    share = np.asarray(share)
    stepped, largest = 0, _SHARES[-1]
    for largest in _SHARES:
        large = np.flatnonzero(share > largest)
        stepped = int(large[-1]) + 1 if large.size else 0
        if stepped <= _GROUP:
            break
    # widths as seen from the end of the chunk, where the polynomials are steepest
    widest = 0.0
    for start in range(0, cells, chunk):
        inside = host[max(start, stepped) : start + chunk + 1]
        if inside.size < 2:
            continue
        starts, now = jnp.asarray(inside), jnp.asarray(inside[-1])
        ages = np.asarray(_shares(geometry, starts, now))
        widest = max(widest, float(np.max(-np.diff(ages))))
    modes = geometry.basis.modes
    # a singular clock or weight at W = 0, then the waves of the highest polynomial
    smooth = math.ceil(18.0 / math.log(4.0 / largest - 2.0)) + 1
    points = smooth + math.ceil(1.3 * modes * math.sqrt(widest))
    return Plan(chunk, stepped, min(points, modes // 2 + 12), regular)


def pad(
    samples: Samples, edges: Float[Array, " edge"], chunk: int
) -> tuple[Samples, Float[Array, " padded"]]:
    """Repeat the last sample, in cells of no width, up to a multiple of the chunk.

    Signals of many lengths then share one compiled program.

    Args:
        samples: The signal.
        edges: Its cell edges.
        chunk: Samples per chunk.

    Returns:
        The longer signal and its edges.
    """
    missing = -(edges.shape[0] - 1) % chunk
    if not missing:
        return samples, edges
    xp = host_or_device(samples, edges)

    def fill(x):
        x = xp.asarray(x)
        return jnp.asarray(xp.concatenate([x, xp.repeat(x[-1:], missing, axis=0)]))

    return Samples(fill(samples.values), fill(samples.seen)), fill(edges)


@eqx.filter_jit
def _shares(
    geometry: Geometry, t0: Float[Array, "*#tick"], t1: Float[Array, "*#tick"]
) -> Float[Array, "*tick"]:
    """Return what share of the past is newer than t0, seen from t1."""
    return geometry.clock.lag(t0, t1).new


def _is_regular(edges: np.ndarray) -> bool:
    """Tell whether all cells are equally wide, to the rounding of the times."""
    width = np.diff(edges)
    slack = 8.0 * np.finfo(edges.dtype).eps * np.max(np.abs(edges))
    slack = min(slack, 1e-9 * width.mean())
    return bool(np.all(np.abs(width - width.mean()) <= slack))
