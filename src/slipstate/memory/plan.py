"""How a sequence is cut and treated, decided on the host where its times are known."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.memory.clock.protocol import is_traced
from slipstate.memory.geometry import Geometry
from slipstate.memory.inputs import Samples, check_times
from slipstate.memory.sequence import Cells, Plan

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


def cut_cells(geometry: Geometry, samples: Samples, t: Any) -> tuple[Array, Cells]:
    """Cut a signal into cells.

    Args:
        geometry: The memory.
        samples: The checked signal.
        t: Times as the user gave them, or None.

    Returns:
        The edges, and the cells.
    """
    edges = cell_edges(geometry, samples.values.shape[0], t)
    columns = geometry.hold.columns(samples.values)
    valid = jnp.all(geometry.hold.columns(samples.seen), axis=1)
    return edges, Cells(columns, valid, edges)


def make_plan(geometry: Geometry, edges: Float[Array, " edge"]) -> Plan:
    """Decide how a sequence with these edges is treated.

    Args:
        geometry: The memory.
        edges: Cell edges; traced ones allow for every spacing.

    Returns:
        The plan.
    """
    cells = edges.shape[0] - 1
    chunk = min(_CHUNK, -(-cells // _GROUP) * _GROUP)
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
    lag = geometry.clock.lag(edges[:-1], edges[1:])
    if is_traced(lag.new):
        return otherwise
    share = np.asarray(lag.new)
    stepped, largest = 0, _SHARES[-1]
    for largest in _SHARES:
        large = np.flatnonzero(share > largest)
        stepped = int(large[-1]) + 1 if large.size else 0
        if stepped <= _GROUP:
            break
    # widths as seen from the end of the chunk, where the polynomials are steepest
    host, widest = np.asarray(edges), 0.0
    for start in range(0, cells, chunk):
        inside = host[max(start, stepped) : start + chunk + 1]
        if inside.size < 2:
            continue
        ages = geometry.clock.lag(jnp.asarray(inside), jnp.asarray(inside[-1])).new
        widest = max(widest, float(np.max(-np.diff(np.asarray(ages)))))
    modes = geometry.basis.modes
    # a singular clock or weight at W = 0, then the waves of the highest polynomial
    smooth = math.ceil(18.0 / math.log(4.0 / largest - 2.0)) + 1
    points = smooth + math.ceil(1.3 * modes * math.sqrt(widest))
    return Plan(chunk, stepped, min(points, modes // 2 + 12), regular)


def pad(cells: Cells, chunk: int) -> Cells:
    """Append empty cells up to a multiple of the chunk.

    Args:
        cells: The signal.
        chunk: Samples per chunk.

    Returns:
        The signal with cells of no width at its end.
    """
    missing = -cells.valid.shape[0] % chunk
    if not missing:
        return cells
    return Cells(
        _repeat_last(cells.columns, missing),
        _repeat_last(cells.valid, missing),
        _repeat_last(cells.edges, missing),
    )


def _repeat_last(
    x: Float[Array, "n *rest"] | Bool[Array, "n *rest"], times: int
) -> Array:
    return jnp.concatenate([x, jnp.broadcast_to(x[-1:], (times, *x.shape[1:]))])


def _is_regular(edges: np.ndarray) -> bool:
    """Tell whether all cells are equally wide, to the rounding of the times."""
    width = np.diff(edges)
    slack = 8.0 * np.finfo(edges.dtype).eps * np.max(np.abs(edges))
    slack = min(slack, 1e-9 * width.mean())
    return bool(np.all(np.abs(width - width.mean()) <= slack))
