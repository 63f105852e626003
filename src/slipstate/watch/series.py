"""From a record to what a network filter eats: ticks, masks, scales, a training part.

A daily record becomes a regular grid of ticks. A missing day is a masked row, so time
passes at a constant pace and a gap is never a jump.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from slipstate.ground.errors import InputError

DAY = np.timedelta64(86_400_000_000_000, "ns")
MIN_ROWS = 60
"""Fewest observations of a station that can be watched."""

_MAX_FILL = 200.0  # ticks per observation above which the record is not regular at all


@dataclass(frozen=True)
class TickSeries:
    """Observations of a network on a regular grid.

    Attributes:
        times: Time of each tick.
        tick: Length of a tick [day].
        y: Observations in `unit`s, 0 where masked.
        mask: True where observed.
        sigma: Formal errors in `unit`s, NaN where unknown.
        scale: Factor on the noise scale by formal error, about 1.
        training: True where a station's sample may be used to fit.
        unit: Size of one model unit in units of the record, by component (1 for mm).
        stations: Names.
        components: Names.
    """

    times: np.ndarray
    tick: float
    y: Float[np.ndarray, "time station comp"]
    mask: Bool[np.ndarray, "time station comp"]
    sigma: Float[np.ndarray, "time station comp"]
    scale: Float[np.ndarray, "time station comp"]
    training: Bool[np.ndarray, "time station"]
    unit: Float[np.ndarray, " comp"]
    stations: tuple[str, ...]
    components: tuple[str, ...]

    def values(self) -> Float[np.ndarray, "time station comp"]:
        """Return the observations in model units with NaN where masked."""
        return np.where(self.mask, self.y, np.nan)


def tick_series(record: xr.Dataset, train_fraction: float) -> TickSeries:
    """Lay a record on a regular grid and set its training part aside.

    Args:
        record: Record with dims (time, station, component).
        train_fraction: Part of each station's observations, from its first on, that
            may be used to fit; between 0 and 1.

    Returns:
        The series.

    Raises:
        InputError: Too few observations, or times far from any regular grid.
    """
    times = record["time"].values.astype("datetime64[ns]")
    gaps = np.diff(times)
    if gaps.size == 0:
        raise _too_short(record, 1)
    tick = np.median(gaps)
    if tick > DAY * 0.9 and tick < DAY * 1.1:
        tick = DAY
    index = np.round((times - times[0]) / tick).astype(int)
    if index[-1] + 1 > _MAX_FILL * times.size:
        raise InputError(
            f"`record` must be roughly regular; its median spacing is {tick / DAY:g} "
            f"days, but {times.size} samples span {(times[-1] - times[0]) / DAY:g} "
            "days. Resample it, or cut out the part that is sampled."
        )
    # where two samples fall in one tick the later one counts, and is the truth by then
    count = int(index[-1]) + 1
    grid = times[0] + np.arange(count) * tick
    value = _on_grid(record["value"].values, index, count)
    mask = np.isfinite(value) & _on_grid(record["mask"].values, index, count).astype(
        bool
    )
    sigma = _on_grid(record["sigma"].values, index, count)
    seen = mask.any(-1).sum(0)
    if (seen < MIN_ROWS).any():
        raise _too_short(record, int(seen.min()))
    unit = _unit(record, value)
    y = np.where(mask, value / unit, 0.0)
    return TickSeries(
        times=grid,
        tick=float(tick / DAY),
        y=y,
        mask=mask,
        sigma=sigma / unit,
        scale=_scale(sigma, mask),
        training=_training(mask, train_fraction),
        unit=unit,
        stations=tuple(str(name) for name in np.atleast_1d(record["station"].values)),
        components=tuple(str(name) for name in record["component"].values),
    )


def _on_grid(values: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
    """Scatter samples to ticks; ticks without a sample become NaN (or False)."""
    empty = False if values.dtype == bool else np.nan
    out = np.full((count, *values.shape[1:]), empty, values.dtype)
    out[index] = values
    return out


def _unit(record: xr.Dataset, value: np.ndarray) -> np.ndarray:
    """Return the size of a model unit: 1 for mm, else the day-to-day scatter."""
    units = record["component_units"].values
    steps = np.abs(np.diff(value, axis=0))
    known = np.isfinite(steps).any((0, 1))
    scatter = np.nanmedian(np.where(known, steps, 0.0), axis=(0, 1)) / 0.95
    scatter = np.where(scatter > 0, scatter, 1.0)
    return np.where(units == "mm", 1.0, scatter)


def _scale(sigma: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return formal errors relative to their median, 1 where unknown."""
    known = np.where(mask & (sigma > 0), sigma, np.nan)
    middle = _median(known)
    return np.clip(np.where(np.isfinite(known), known / middle, 1.0), 0.3, 10.0)


def _median(known: np.ndarray) -> np.ndarray:
    """Return the median over time, 1 where nothing is known."""
    filled = np.where(np.isfinite(known).any(0), known, 1.0)
    return np.nanmedian(filled, axis=0)


def _training(mask: np.ndarray, fraction: float) -> np.ndarray:
    """Return the ticks up to each station's last training observation."""
    seen = mask.any(-1)
    number = np.cumsum(seen, 0)
    wanted = np.maximum(np.round(fraction * number[-1]), MIN_ROWS // 2)
    return number <= wanted


def _too_short(record: xr.Dataset, rows: int) -> InputError:
    """Return the error for a record that is too short."""
    source = str(record.attrs.get("source", "the record"))
    return InputError(
        f"{source}: at least {MIN_ROWS} observations of each station are needed to "
        f"watch it; got {rows}. Give a longer record."
    )
