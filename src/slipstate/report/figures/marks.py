"""How events and the training part are marked on a time axis, the same everywhere."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from slipstate.report.style import GOLD, RED, RULE, SOFT
from slipstate.report.view import TimeAxis, event_times, training_end

_LINES = {"step": "--", "rupture": "-"}


def mark_events(axes: Axes, events: pd.DataFrame, axis: TimeAxis) -> None:
    """Shade what lasts (slow slip) and draw a line where a jump is.

    Args:
        axes: Where to draw.
        events: The table of events.
        axis: How times become positions.
    """
    if not len(events):
        return
    starts = axis.place(event_times(events, "onset"))
    lengths = axis.length(events["duration"].fillna(0.0).to_numpy(dtype=np.float64))
    kinds = events["type"].to_numpy(dtype=str)
    low, high = axes.get_xlim()
    least = 0.003 * (high - low)  # a thin event must still be seen
    upright = axes.get_xaxis_transform()
    lasting = ~np.isin(kinds, list(_LINES))
    spans = [(s, max(n, least)) for s, n in zip(starts[lasting], lengths[lasting])]
    axes.broken_barh(
        spans, (0, 1), transform=upright, color=GOLD, alpha=0.30, lw=0, zorder=0.5
    )
    for kind, line in _LINES.items():
        axes.vlines(
            starts[kinds == kind],
            0,
            1,
            transform=upright,
            color=RED,
            lw=0.9,
            ls=line,
            zorder=2.5,
        )
    axes.set_xlim(low, high)


def mark_training(
    axes: Axes, run: xr.Dataset, axis: TimeAxis, *, words: bool = True
) -> None:
    """Grey out the part that was used for fitting.

    Args:
        axes: Where to draw.
        run: The run.
        axis: How times become positions.
        words: Write what the two parts are.
    """
    end = training_end(run)
    if end is None:
        return
    low, high = axes.get_xlim()
    at = float(axis.place(np.array([end]))[0])
    if not low < at < high:
        return
    axes.axvspan(low, at, color=RULE, alpha=0.35, lw=0, zorder=0.1)
    axes.set_xlim(low, high)
    if words:
        for text, side, shift in (("fitted", "right", -4), ("scored", "left", 4)):
            axes.annotate(
                text,
                (at, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(shift, 2),
                textcoords="offset points",
                ha=side,
                va="bottom",
                size=7,
                color=SOFT,
                annotation_clip=False,
            )


def event_handles(events: pd.DataFrame) -> list[Artist]:
    """Return legend entries for the types of event that occur."""
    handles: list[Artist] = []
    kinds = set(events["type"]) if len(events) else set()
    for kind in sorted(kinds):
        if kind in _LINES:
            handles.append(
                Line2D([], [], color=RED, lw=0.9, ls=_LINES[kind], label=kind)
            )
        else:
            handles.append(Patch(color=GOLD, alpha=0.30, lw=0, label=kind))
    return handles
