"""A network at one glance: one trace per station, and how much each one moved."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.lines import Line2D

from slipstate.report.figures.marks import event_handles, mark_events, mark_training
from slipstate.report.style import (
    BLUE,
    DOT,
    SOFT,
    Drawing,
    add_legend,
    house_style,
    new_figure,
    place_panels,
    to_svg,
)
from slipstate.report.view import (
    display_unit,
    event_times,
    smooth_part,
    thin,
    time_axis,
)


def draw_network(run: xr.Dataset, events: pd.DataFrame) -> Drawing:
    """Draw the component that moves most, one trace per station above the other.

    Args:
        run: The run.
        events: Its table of events.

    Returns:
        The figure.
    """
    axis = time_axis(run)
    component = loudest_component(run, events)
    unit = display_unit(run, component)
    stations = [str(s) for s in run["station"].values]
    x = axis.place(run["time"].values.astype("datetime64[ns]"))
    traces, lines = [], []
    for station in stations:
        here = {"station": station, "component": component}
        trend = smooth_part(run, events, station, component)
        seen = run["observed_mask"].sel(here).values.astype(bool)
        y = np.where(seen, run["observed"].sel(here).values, np.nan)
        traces.append((y - trend) * unit.factor)
        signal = run["smoothed" if "smoothed" in run else "filtered"].sel(here).values
        lines.append((signal - trend) * unit.factor)
    spacing = _spacing(traces)
    with house_style():
        figure = new_figure(0.9 + 0.36 * len(stations))
        axes = place_panels(figure, [1], [1], box=(0.4, 0.5, 0.3, 0.42))[0][0]
        axes.set_xlim(x[0], x[-1])
        for row, (station, trace, line) in enumerate(zip(stations, traces, lines)):
            base = -row * spacing
            middle = np.nanmedian(trace) if np.isfinite(trace).any() else 0.0
            shown = np.where(
                np.abs(trace - middle) < 1.5 * spacing, trace - middle, np.nan
            )
            axes.plot(
                x,
                shown + base,
                ".",
                color=DOT,
                ms=1.0,
                mew=0,
                alpha=0.55,
                zorder=1.5,
                rasterized=True,
            )
            place, signal = thin(x, line - middle, most=700)
            axes.plot(place, signal + base, color=BLUE, lw=0.8, zorder=3)
            axes.annotate(
                station,
                (1, base),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                size=7,
            )
        axes.set_ylim(-(len(stations) - 0.2) * spacing, 0.9 * spacing)
        axes.set_yticks([])
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        mark_events(axes, events, axis)
        mark_training(axes, run, axis)
        axis.dress(axes)
        _scale_bar(axes, spacing, unit.symbol)
        handles = [
            Line2D([], [], color=DOT, marker=".", ls="", ms=5, mew=0, label="observed"),
            Line2D([], [], color=BLUE, lw=1.1, label="smoothed"),
        ]
        add_legend(figure, handles + event_handles(events))
        svg = to_svg(figure, "network")
    return Drawing(
        name="network",
        svg=svg,
        title=f"The network: {component} component of {len(stations)} stations",
        caption=(
            "Each trace is one station, without its straight line and seasons; the bar "
            "at the left gives the scale. Vertical bands and lines: flagged events. "
            "Grey background: part used for fitting."
        ),
        alt=(
            f"Stacked {component} time series of {len(stations)} stations with "
            f"{len(events)} flagged events."
        ),
    )


def draw_offsets(run: xr.Dataset, events: pd.DataFrame) -> Drawing | None:
    """Draw how far each station moved in each event; None where there is none.

    Args:
        run: The run.
        events: Its table of events, with columns `offset_<STATION>_<component>_<unit>`.

    Returns:
        The figure or None.
    """
    component = loudest_component(run, events)
    stations = [str(s) for s in run["station"].values]
    table = np.stack([_offsets(events, s, component, "offset") for s in stations])
    sigma = np.stack([_offsets(events, s, component, "sigma") for s in stations])
    if not len(events) or not np.isfinite(table).any():
        return None
    unit = display_unit(run, component)
    table, sigma = table * unit.factor, sigma * unit.factor
    quiet = (events["type"] == "slow slip").to_numpy()
    finite = table[:, quiet] if np.isfinite(table[:, quiet]).any() else table
    top = float(np.nanmax(np.abs(finite))) or 1.0
    with house_style():
        figure = new_figure(1.05 + 0.21 * len(stations))
        axes, edge = place_panels(
            figure, [1], [1, 0.016], box=(0.6, 0.55, 0.85, 0.1), gap=(0.15, 0)
        )[0]
        image = axes.imshow(table, cmap="RdBu", vmin=-top, vmax=top, aspect="auto")
        weak = np.argwhere(np.abs(table) < 2.0 * sigma)
        axes.plot(weak[:, 1], weak[:, 0], "x", color=DOT, ms=3, mew=0.6)
        axes.set_yticks(np.arange(len(stations)), stations)
        onsets = event_times(events, "onset").astype("datetime64[D]")
        every = max(1, int(np.ceil(len(events) / 30)))
        axes.set_xticks(
            np.arange(len(events))[::every],
            [str(day) for day in onsets[::every]],
            rotation=55,
            ha="right",
            rotation_mode="anchor",
        )
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        bar = figure.colorbar(image, cax=edge, extend="both")
        bar.set_label(f"{component} offset ({unit.symbol or '1'})")
        edge.grid(visible=False)
        svg = to_svg(figure, "offsets")
    return Drawing(
        name="offsets",
        svg=svg,
        title=f"Who moved: {component} offset of each station in each event",
        caption=(
            "Red: negative, blue: positive. A cross marks offsets smaller than two "
            "standard deviations; white: no estimate. The scale follows the slow slip "
            "events, larger steps saturate it."
        ),
        alt=(
            f"Matrix of {component} offsets, {len(stations)} stations by "
            f"{len(events)} events."
        ),
    )


def loudest_component(run: xr.Dataset, events: pd.DataFrame) -> str:
    """Return the component whose offsets stand out most from their errors."""
    components = [str(c) for c in run["component"].values]
    stations = [str(s) for s in run["station"].values]
    best, found = 0.0, components[0]
    for component in components:
        ratios = [
            np.abs(_offsets(events, s, component, "offset"))
            / np.maximum(_offsets(events, s, component, "sigma"), 1e-300)
            for s in stations
        ]
        flat = np.concatenate(ratios) if ratios else np.zeros(0)
        flat = flat[np.isfinite(flat)]
        if flat.size and float(np.median(flat)) > best:
            best, found = float(np.median(flat)), component
    return found


def _offsets(
    events: pd.DataFrame, station: str, component: str, what: str
) -> np.ndarray:
    """Return one column of the table of events, whatever its unit is called."""
    for name in events.columns:
        if name.startswith(f"{what}_{station}_{component}_"):
            return events[name].to_numpy(dtype=np.float64)
    return np.full(len(events), np.nan)


def _spacing(traces: list[np.ndarray]) -> float:
    """Return a distance at which neighbouring traces do not run into each other."""
    ranges = []
    for trace in traces:
        seen = trace[np.isfinite(trace)]
        if seen.size > 5:
            low, high = np.quantile(seen, [0.02, 0.98])
            ranges.append(float(high - low))
    return (float(np.median(ranges)) if ranges else 1.0) or 1.0


def _scale_bar(axes, spacing: float, symbol: str) -> None:
    """Draw a vertical bar of round length at the left edge."""
    magnitude = 10.0 ** np.floor(np.log10(spacing))
    length = max(m * magnitude for m in (1, 2, 5) if m * magnitude <= spacing)
    top = axes.get_ylim()[1]
    axes.plot(
        [-0.012, -0.012],
        [top - length, top],
        transform=axes.get_yaxis_transform(),
        color=SOFT,
        lw=1.6,
        solid_capstyle="butt",
        clip_on=False,
    )
    axes.annotate(
        f"{length:g} {symbol}".strip(),
        (-0.02, top - length / 2),
        xycoords=("axes fraction", "data"),
        rotation=90,
        ha="right",
        va="center",
        size=7,
    )
