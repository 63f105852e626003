"""Where an observation belongs that may come late, twice, in parts, or corrected.

A row is what was observed at one time. The last rows are kept with the state before
each, so that whatever belongs among them is put there and the rows after it are worked
on again: the answer is that of a run in which everything had come in order. What
belongs before the oldest kept row is too late; it is left out and counted.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from slipstate.ground.arrays import Numbers
from slipstate.ground.errors import InputError


class Arrival(enum.Enum):
    """What came; the value says what was done with it."""

    new = "taken in"
    late = "put in its place; the rows after it were worked on again"
    part = "components joined to the row of their time, which was worked on again"
    revised = "took the place of other values of the same time"
    duplicate = "known already; nothing was done"
    too_late = "older than the oldest kept row; left out"


class Row(NamedTuple):
    """What was observed at one time.

    Attributes:
        t: The time.
        y: Observed values; 0 where masked.
        mask: True where observed.
        u: Exogenous input, or None.
    """

    t: float
    y: Float[np.ndarray, " obs"]
    mask: Bool[np.ndarray, " obs"]
    u: Float[np.ndarray, " input"] | None

    def given(self) -> Float[np.ndarray, " numbers"]:
        """Return the row as the compiled programs take it."""
        parts = [[self.t], self.y, self.mask]
        return np.concatenate(parts if self.u is None else [*parts, self.u])


class Place(NamedTuple):
    """Where a row goes among the kept ones.

    Attributes:
        arrival: What came.
        number: Number of the kept row that it joins or stands before; as many as are
            kept where it comes last.
        row: The row to work on, joined with what was known of its time.
    """

    arrival: Arrival
    number: int
    row: Row


def read_row(
    obs: int, y: Numbers, t: float, mask: Numbers | None, u: Numbers | None
) -> Row:
    """Return an observation as a row, NaN turned into a mask.

    Args:
        obs: Number of components.
        y: The observation, NaN where missing.
        t: Its time.
        mask: True where observed; None for wherever `y` is not NaN.
        u: Exogenous input, or None.

    Raises:
        InputError: A size is wrong, an observed value or the time is not finite.
    """
    values = np.asarray(y, float)
    if values.shape != (obs,):
        raise InputError(
            f"`y` must have {obs} components, as the model's observation has; got "
            f"shape {values.shape}. Put NaN where a component was not observed."
        )
    seen = ~np.isnan(values) if mask is None else np.asarray(mask)
    if seen.shape != values.shape or seen.dtype != bool:
        raise InputError(
            f"`mask` must be bool of shape {values.shape}; got {seen.dtype} "
            f"{seen.shape}. Pass True where observed."
        )
    filled = np.where(seen, values, 0.0)
    if not np.isfinite(filled).all():
        raise InputError(
            f"`y` must be finite wherever it is observed; got {values} at t = {t:.10g}."
            " Set the mask to False there."
        )
    if not np.isfinite(t):
        raise InputError(f"`t` must be finite; got {t}. Pass the time of the row.")
    return Row(float(t), filled, seen, None if u is None else np.asarray(u, float))


def find_place(kept: Sequence[Row], floor: float, row: Row) -> Place:
    """Return where a row belongs.

    Args:
        kept: The kept rows, in order, no two at one time.
        floor: Time of the last row that is kept no more; minus infinity where every
            row is kept.
        row: The row.
    """
    index = len(kept)
    while index and kept[index - 1].t >= row.t:
        index -= 1
    if index < len(kept) and kept[index].t == row.t:
        return _join(kept[index], index, row)
    if index == len(kept) and (kept or row.t > floor):
        return Place(Arrival.new, index, row)
    if row.t <= floor:
        return Place(Arrival.too_late, index, row)
    return Place(Arrival.late, index, row)


def _join(known: Row, index: int, row: Row) -> Place:
    """Join a row with what is known of its time."""
    fresh = row.mask & ~known.mask
    both = row.mask & known.mask
    if (row.y != known.y)[both].any():
        arrival = Arrival.revised
    elif fresh.any():
        arrival = Arrival.part
    else:
        return Place(Arrival.duplicate, index, known)
    y = np.where(row.mask, row.y, known.y)
    u = known.u if row.u is None else row.u
    return Place(arrival, index, Row(known.t, y, known.mask | row.mask, u))
