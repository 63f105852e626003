"""Excursions: a station that goes and comes back has not ruptured.

Snow on an antenna, a loose monument or a failing receiver moves a station for days to
weeks. Its return looks like a step, and so does its departure where that is sudden.
"""

import numpy as np
from jaxtyping import Bool, Float

_SEASON_DAYS, _REMAINS = 120.0, 0.35  # how steps that undo each other are known
_GONE_DAYS, _LEVEL_DAYS = 20.0, 60.0  # longest drift away; days that make a level
_FEWEST = 10  # observations that make a level


def excursions(
    days: Float[np.ndarray, " step"],
    station: np.ndarray,
    offset: Float[np.ndarray, "step comp"],
    sd: Float[np.ndarray, "step comp"],
) -> Bool[np.ndarray, " step"]:
    """Tell which steps of a station undo each other: an excursion is no rupture.

    Steps of one station that follow each other within a season are one excursion if
    what remains of them is small against what they moved.

    Args:
        days: Times of the steps [day], increasing.
        station: Station of each step.
        offset: Offsets.
        sd: Their standard errors, to weigh components.

    Returns:
        True for steps to drop.
    """
    drop = np.zeros(len(days), bool)
    for name in np.unique(station):
        mine = np.flatnonzero(station == name)
        starts = np.flatnonzero(np.diff(days[mine], prepend=-np.inf) > _SEASON_DAYS)
        for group in np.split(mine, starts[1:]):
            scaled = np.nan_to_num(offset[group] / sd[group])
            moved = np.linalg.norm(scaled, axis=1).sum()
            left = np.linalg.norm(scaled.sum(0))
            drop[group] = len(group) > 1 and left < _REMAINS * moved
    return drop


def came_back(
    values: Float[np.ndarray, "time comp"],
    first: int,
    rate: Float[np.ndarray, " comp"],
    offset: Float[np.ndarray, " comp"],
    sd: Float[np.ndarray, " comp"],
    tick: float,
) -> bool:
    """Tell whether a step only ends an excursion that had drifted in.

    The level of the two months after the step is compared with the level of two months
    that end three weeks before it: what broke for good stands elsewhere, an excursion
    stands where it stood.

    Args:
        values: Observations of the station, NaN where missing.
        first: First tick after the step.
        rate: Secular rate [per day], in units of `values`.
        offset: Offsets of the step, in units of `values`.
        sd: Their standard errors, to weigh components.
        tick: Length of a tick [day].

    Returns:
        True for a step to drop; False where too little is known.
    """
    days = (np.arange(len(values)) - first) * tick
    after = (days >= 0) & (days < _LEVEL_DAYS)
    before = (days < -_GONE_DAYS) & (days >= -_GONE_DAYS - _LEVEL_DAYS)
    known = np.isfinite(offset)
    for part in (after, before):
        known &= np.isfinite(values[part]).sum(0) >= _FEWEST
    if not known.any():
        return False
    level = np.nanmedian(values[after][:, known], 0)
    level = level - np.nanmedian(values[before][:, known], 0)
    left = (level - rate[known] * (_LEVEL_DAYS + _GONE_DAYS)) / sd[known]
    step = offset[known] / sd[known]
    moved = np.linalg.norm(step) + np.linalg.norm(left - step)
    return bool(np.linalg.norm(left) < _REMAINS * moved)
