"""When something slipped: probabilities in time, alarms, onsets with intervals."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from slipstate.report.figures.marks import event_handles, mark_events, mark_training
from slipstate.report.style import (
    BLUE,
    GOLD,
    RED,
    SOFT,
    Drawing,
    add_legend,
    house_style,
    label_panels,
    new_figure,
    place_panels,
    to_svg,
)
from slipstate.report.view import TimeAxis, event_times, thin, time_axis

_ALARM = 0.5


def draw_probabilities(run: xr.Dataset, events: pd.DataFrame) -> Drawing | None:
    """Draw the probabilities of slip and of a step; None where the run has neither.

    Args:
        run: The run.
        events: Its table of events.

    Returns:
        The figure or None.
    """
    rows = [name for name in ("slip", "step") if f"{name}_probability" in run]
    if not rows:
        return None
    axis = time_axis(run)
    x = axis.place(run["time"].values.astype("datetime64[ns]"))
    alarms = 0
    many = run.sizes["station"] > 1
    most = "The step probability is the largest of all stations. " if many else ""
    with house_style():
        figure = new_figure(0.85 + 1.15 * len(rows) + 0.5)
        grid = place_panels(
            figure,
            [1.0] * len(rows) + [0.42],
            [1.0],
            box=(0.62, 0.08, 0.42 if axis.label else 0.28, 0.42),
            share="x",
        )
        panels = [row[0] for row in grid]
        for number, (axes, name) in enumerate(zip(panels, rows)):
            axes.set_xlim(x[0], x[-1])
            alarms += _draw_row(axes, run, name, x)
            mark_training(axes, run, axis, words=number == 0)
        _draw_onsets(panels[-1], events, axis)
        axis.dress(panels[-1])
        label_panels(panels)
        handles: list[Artist] = [
            Line2D([], [], color=BLUE, lw=1.1, label="as known at the time")
        ]
        late = any(f"{name}_probability_smoothed" in run for name in rows)
        if late:
            handles.append(Line2D([], [], color=GOLD, lw=1.1, label="in hindsight"))
        if alarms:
            handles.append(
                Line2D([], [], color=RED, marker="v", ls="", ms=4, mew=0, label="alarm")
            )
        add_legend(figure, handles + event_handles(events))
        svg = to_svg(figure, "probabilities")
    return Drawing(
        name="probabilities",
        svg=svg,
        title="Probability that the fault is slipping, and flagged events",
        caption=(
            "Blue: filtered, from the data up to each time; this is what raises an "
            "alarm (triangle) when it passes 0.5. "
            f"{'Ochre: smoothed, from all data. ' if late else ''}{most}"
            "Bottom: onsets with their 90 % intervals and durations."
        ),
        alt=(
            f"Timeline of {' and '.join(rows)} probability with {alarms} alarms and "
            f"{len(events)} flagged events."
        ),
    )


def _draw_row(axes: Axes, run: xr.Dataset, name: str, x: np.ndarray) -> int:
    """Draw one probability, and return the number of alarms."""
    filtered = _largest(run, f"{name}_probability")
    place, line = thin(x, filtered, most=1800, peaks=True)
    if f"{name}_probability_smoothed" in run:
        smoothed = _largest(run, f"{name}_probability_smoothed")
        late, curve = thin(x, smoothed, most=1800, peaks=True)
        axes.fill_between(late, 0, curve, color=GOLD, alpha=0.30, lw=0, zorder=1)
        axes.plot(late, curve, color=GOLD, lw=0.7, zorder=2)
    axes.plot(place, line, color=BLUE, lw=0.8, zorder=3)
    axes.axhline(_ALARM, color=SOFT, lw=0.6, ls=":")
    above = np.nan_to_num(filtered) > _ALARM
    rises = np.flatnonzero(above & ~np.r_[False, above[:-1]])
    axes.plot(
        x[rises],
        np.full(rises.size, 1.06),
        "v",
        color=RED,
        ms=3.4,
        mew=0,
        clip_on=False,
        zorder=4,
    )
    axes.set_ylim(0, 1.12)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel(f"P({name})")
    return rises.size


def _largest(run: xr.Dataset, name: str) -> np.ndarray:
    """Return a probability in time, the largest over stations where it has them."""
    values = np.asarray(run[name].transpose("time", ...).values, dtype=np.float64)
    return values if values.ndim == 1 else values.max(axis=1)


def _draw_onsets(axes: Axes, events: pd.DataFrame, axis: TimeAxis) -> None:
    """Draw each event as a bar from onset on, with the interval of its onset."""
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.grid(visible=False, axis="y")
    axes.set_ylabel("events", rotation=0, ha="right", va="center")
    if not len(events):
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center")
        return
    mark_events(axes, events, axis)
    start, low, high = (
        axis.place(event_times(events, name))
        for name in ("onset", "onset_lo", "onset_hi")
    )
    axes.errorbar(
        start,
        np.zeros(start.size),
        xerr=np.maximum([start - low, high - start], 0.0),
        fmt="|",
        ms=7,
        color=RED,
        elinewidth=1.6,
        mew=0.9,
        zorder=4,
    )
