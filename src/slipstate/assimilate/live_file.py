"""A run in real time on the disk: all it remembers, to go on bit for bit."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from slipstate import __version__
from slipstate.assimilate.arrivals import Row
from slipstate.assimilate.health import Condition
from slipstate.assimilate.ladder import Cost
from slipstate.assimilate.live import Kept, Watch
from slipstate.assimilate.programs import Carry, Programs
from slipstate.assimilate.state_file import (
    as_leaf,
    as_numbers,
    content_digest,
    fingerprint_model,
    read_archive,
)
from slipstate.ground.archive import pack
from slipstate.ground.errors import CheckpointError
from slipstate.ground.files import replace_file

_KIND = "slipstate run in real time"


class Stand(NamedTuple):
    """Where a run stands, with all it remembers.

    Attributes:
        carry: The running state.
        watch: What is remembered beside it.
        kept: The last rows.
        floor: Time of the last row that is kept no more.
        costs: What each rung takes.
        tally: What came how often.
    """

    carry: Carry
    watch: Watch
    kept: list[Kept]
    floor: float
    costs: list[Cost]
    tally: dict[str, int]


def save_stand(path: str | os.PathLike[str], stand: Stand, programs: Programs) -> None:
    """Write where a run stands, whole or not at all.

    Args:
        path: The file.
        stand: Where the run stands.
        programs: What it runs.

    Raises:
        OutputError: The file cannot be written; an older one is untouched.
    """
    arrays = _moment("now", stand.carry, stand.watch)
    rows = []
    for k, kept in enumerate(stand.kept):
        arrays |= _moment(f"kept/{k}", kept.carry, kept.watch)
        arrays[f"kept/{k}/y"], arrays[f"kept/{k}/mask"] = kept.row.y, kept.row.mask
        if kept.row.u is not None:
            arrays[f"kept/{k}/u"] = kept.row.u
        rows.append([kept.row.t, kept.rung, list(kept.watch.condition)])
    meta = {
        "kind": _KIND,
        "version": __version__,
        "marks": _marks(programs),
        "condition": list(stand.watch.condition),
        "rows": rows,
        "floor": stand.floor,
        "costs": [list(cost) for cost in stand.costs],
        "tally": stand.tally,
        "sha256": content_digest(arrays),
    }
    replace_file(path, pack(arrays, meta))


def load_stand(path: str | os.PathLike[str], programs: Programs) -> Stand:
    """Read where a run stood.

    Args:
        path: The file.
        programs: What goes on.

    Returns:
        All that `save_stand` was given, bit for bit.

    Raises:
        CheckpointError: The file is absent, damaged, or of a run of another model,
            method or ladder.
    """
    place = Path(path)
    arrays, meta = read_archive(place, _KIND)
    for name, mark in _marks(programs).items():
        if meta["marks"].get(name) != mark:
            raise CheckpointError(
                f"{place}: expected a run with the same {name}; found one with "
                "another. Resume with what the run began with, or start afresh."
            )
    carry = lambda name: [
        as_leaf(arrays[f"{name}/{k}"], like) for k, like in enumerate(programs.like)
    ]
    watch = lambda name, condition: Watch(
        Condition(*condition), arrays[f"{name}/log_q"]
    )
    kept = []
    for k, (t, rung, condition) in enumerate(meta["rows"]):
        name = f"kept/{k}"
        y, mask, u = (arrays.get(f"{name}/{part}") for part in ("y", "mask", "u"))
        assert y is not None
        assert mask is not None
        row = Row(t, y, mask, u)
        kept.append(Kept(carry(name), watch(name, condition), row, rung))
    return Stand(
        carry("now"),
        watch("now", meta["condition"]),
        kept,
        meta["floor"],
        [Cost(*cost) for cost in meta["costs"]],
        meta["tally"],
    )


def _moment(name: str, carry: Carry, watch: Watch) -> dict[str, np.ndarray]:
    """Return a running state, and what is remembered beside it, by name."""
    buffers = {
        f"{name}/{k}": np.asarray(as_numbers(part)) for k, part in enumerate(carry)
    }
    return {**buffers, f"{name}/log_q": watch.log_q}


def _marks(programs: Programs) -> dict[str, Any]:
    """Return what must be the same for a run to go on."""
    methods = [rung.method for rung in programs.rungs]
    return {
        "model": fingerprint_model(programs.model),
        "ladder": [
            [rung.name, repr(jax.tree.structure(method)), fingerprint_model(method)]
            for rung, method in zip(programs.rungs, methods)
        ],
    }
