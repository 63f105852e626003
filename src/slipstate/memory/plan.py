"""How a sequence is cut and treated, decided on the host where its times are known."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from slipstate.memory.clock.protocol import is_traced
from slipstate.memory.geometry import Geometry
from slipstate.memory.sequence import Cells, Plan

_CHUNK = 1024
# the direct form of a linear hold treats cells that at most double the warped past
_LARGEST = math.log(2.0) * 1.001


def make_plan(geometry: Geometry, edges: Float[Array, " edge"]) -> Plan:
    """Decide how a sequence with these edges is treated.

    Args:
        geometry: The memory.
        edges: Cell edges; traced ones allow for every spacing.

    Returns:
        The plan.
    """
    cells = edges.shape[0] - 1
    chunk = min(_CHUNK, cells)
    known = not is_traced(edges)
    regular = known and _is_regular(np.asarray(edges))
    if not geometry.closed or geometry.buffered:
        return Plan(chunk, cells, 0, regular)
    if geometry.hold.inputs == 1:
        return Plan(chunk, 0, 0, regular)
    lag = geometry.clock.lag(edges[:-1], edges[1:])
    if not known or is_traced(lag.new):
        return Plan(chunk, cells, 0, regular)
    kept = np.asarray(lag.kept)
    large = np.flatnonzero(kept < math.exp(-_LARGEST))
    stepped = int(large[-1]) + 1 if large.size else 0
    chunk = min(chunk, max(64, stepped)) if stepped < cells // 4 else chunk
    # widths as seen from the end of the chunk, where the polynomials are steepest
    head = -(-stepped // chunk) * chunk
    widest = 0.0
    for start in range(head, cells, chunk):
        inside = np.asarray(edges)[start : start + chunk + 1]
        ages = geometry.clock.lag(jnp.asarray(inside), jnp.asarray(inside[-1])).new
        widest = max(widest, float(np.max(-np.diff(np.asarray(ages)), initial=0.0)))
    modes = geometry.basis.modes
    points = 10 + math.ceil(1.3 * modes * math.sqrt(widest))
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
