"""What was observed, what was believed, and what had been forecast."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from slipstate.report.figures.marks import event_handles, mark_events, mark_training
from slipstate.report.style import (
    BLUE,
    DOT,
    SKY,
    Drawing,
    add_legend,
    house_style,
    label_panels,
    new_figure,
    place_panels,
    to_svg,
)
from slipstate.report.view import (
    DAY,
    Unit,
    choose_horizon,
    display_unit,
    event_times,
    smooth_part,
    thin,
    time_axis,
)
from slipstate.watch.verdict import days

_FAN = ((0.05, 0.95, 0.35), (0.25, 0.75, 0.55))  # lower, upper, opacity


def draw_series(
    run: xr.Dataset, events: pd.DataFrame, station: str, horizon: float | None = None
) -> Drawing:
    """Draw all components of one station: whole record and the latest event close up.

    Args:
        run: The run.
        events: Its table of events.
        station: Which station.
        horizon: Horizon of the forecast fan [days]; None: the middle one.

    Returns:
        The figure.
    """
    ahead = choose_horizon(run, horizon)
    axis = time_axis(run)
    mine = events_at(events, station)
    components = [str(c) for c in run["component"].values]
    start, end = _close_up(run, mine)
    with house_style():
        figure = new_figure(0.75 + 1.3 * len(components))
        panels = place_panels(
            figure,
            [1.0] * len(components),
            [2.6, 1.0],
            box=(0.62, 0.08, 0.42 if axis.label else 0.28, 0.42),
            gap=(0.42, 0.14),
            share="x",
        )
        for number, (row, component) in enumerate(zip(panels, components)):
            unit = display_unit(run, component)
            trend = smooth_part(run, events, station, component)
            columns = _columns(run, station, component, ahead, trend, unit)
            x = axis.place(run["time"].values.astype("datetime64[ns]"))
            _draw(row[0], x, columns, size=1.3)
            close = (run["time"].values >= start) & (run["time"].values <= end)
            _draw(row[1], x[close], {k: v[close] for k, v in columns.items()}, size=3.2)
            row[0].set_ylabel(unit.label)
            for axes, place in zip(row, (x, x[close])):
                axes.set_xlim(place[0], place[-1])
                _limit(axes, columns, x)
                mark_events(axes, mine, axis)
                mark_training(axes, run, axis, words=number == 0)
        for axes in panels[-1]:
            axis.dress(axes)
        label_panels([axes for row in panels for axes in row])
        add_legend(figure, _handles(ahead, "filtered" in run) + event_handles(mine))
        svg = to_svg(figure, f"series-{station}")
    gnss = run.attrs.get("kind") == "gnss"
    who = "Fault" if run.attrs.get("kind") == "fault" else station
    removed = "A straight line and seasons are removed for display. " if gnss else ""
    return Drawing(
        name=f"series-{station}",
        svg=svg,
        title=f"{who}: observations, filtered signal and forecasts",
        caption=(
            f"{removed}Dots: observations. Line: signal as known at the time. Bands: "
            f"50 % and 90 % of the forecast of each observation issued {days(ahead)} "
            "before it. Grey background: part used for fitting. Right column: close-up."
        ),
        alt=(
            f"Time series of {', '.join(components)} at {who} with forecast bands "
            f"{days(ahead)} ahead and {len(mine)} flagged events."
        ),
    )


def events_at(events: pd.DataFrame, station: str) -> pd.DataFrame:
    """Return the events that involve `station`."""
    if not len(events):
        return events
    named = events["stations"].fillna("").astype(str).str.split(";")
    here = np.array([station in [s.strip() for s in names] for names in named])
    return events.loc[here]


def _columns(
    run: xr.Dataset,
    station: str,
    component: str,
    horizon: float,
    trend: np.ndarray,
    unit: Unit,
) -> dict[str, np.ndarray]:
    """Return what is drawn, detrended and in the displayed unit."""
    here = {"station": station, "component": component}
    seen = run["observed_mask"].sel(here).values.astype(bool)
    columns = {"observed": np.where(seen, run["observed"].sel(here).values, np.nan)}
    if "filtered" in run:
        columns["filtered"] = run["filtered"].sel(here).values
    fan = run["forecast"].sel({**here, "horizon": horizon})
    for lower, upper, _ in _FAN:
        for level in (lower, upper):
            columns[f"{level}"] = fan.sel(quantile=level, method="nearest").values
    return {name: (values - trend) * unit.factor for name, values in columns.items()}


def _draw(
    axes: Axes, x: np.ndarray, columns: dict[str, np.ndarray], *, size: float
) -> None:
    for lower, upper, opacity in _FAN:
        place, low, high = thin(x, columns[f"{lower}"], columns[f"{upper}"])
        axes.fill_between(place, low, high, color=SKY, alpha=opacity, lw=0, zorder=1)
    axes.plot(
        x,
        columns["observed"],
        ".",
        color=DOT,
        ms=size,
        mew=0,
        alpha=0.8,
        zorder=2,
        rasterized=x.size > 400,
    )
    if "filtered" in columns:
        place, line = thin(x, columns["filtered"])
        axes.plot(place, line, color=BLUE, lw=0.9, zorder=3)


def _limit(axes: Axes, columns: dict[str, np.ndarray], x: np.ndarray) -> None:
    """Let outliers and the first wide forecasts leave the panel."""
    low, high = axes.get_xlim()
    inside = (x >= low) & (x <= high)
    shown = columns["observed"][inside]
    shown = shown[np.isfinite(shown)]
    if shown.size < 5:
        return
    a, b = np.quantile(shown, [0.002, 0.998])
    rest = 0.12 * (b - a) or 1.0
    axes.set_ylim(a - rest, b + rest)


def _close_up(
    run: xr.Dataset, events: pd.DataFrame
) -> tuple[np.datetime64, np.datetime64]:
    """Return a twelfth of the record around the latest event, or at its end."""
    times = run["time"].values.astype("datetime64[ns]")
    step = np.median(np.diff(times)) if times.size > 1 else DAY
    width = max((times[-1] - times[0]) / 12, 60 * step)
    start = times[-1] - width
    if len(events):
        start = min(start, event_times(events, "onset")[-1] - width / 3)
    start = max(start, times[0])
    return start, start + width


def _handles(horizon: float, filtered: bool) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], color=DOT, marker=".", ls="", ms=5, mew=0, label="observed")
    ]
    if filtered:
        handles.append(Line2D([], [], color=BLUE, lw=1.1, label="filtered"))
    ahead = days(horizon)
    handles.append(
        Patch(color=SKY, alpha=0.75, lw=0, label=f"50 % forecast, {ahead} ahead")
    )
    handles.append(Patch(color=SKY, alpha=0.35, lw=0, label="90 %"))
    return handles
