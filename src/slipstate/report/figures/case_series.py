"""A benchmark run in time: truth and ensemble, error and spread."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from slipstate.report.style import (
    BLUE,
    GOLD,
    INK,
    RED,
    SKY,
    Drawing,
    add_legend,
    house_style,
    label_panels,
    new_figure,
    place_panels,
    to_svg,
)
from slipstate.report.view import thin

_CYCLES = 100  # that are shown of the state, the last ones
_FAN = ((0.05, 0.95, 0.30), (0.25, 0.75, 0.50))


def draw_case_series(run: xr.Dataset) -> Drawing:
    """Draw truth and ensemble of the first components at the end of the run.

    Args:
        run: The run.

    Returns:
        The figure.
    """
    late = run.isel(time=slice(-_CYCLES, None))
    names = [str(name) for name in run["state"].values]
    with house_style():
        figure = new_figure(1.15 * len(names) + 0.85)
        rows = place_panels(
            figure,
            [1.0] * len(names),
            [1.0, 1.0],
            box=(0.62, 0.08, 0.42, 0.42),
            gap=(0.66, 0.12),
            share="x",
        )
        for (whole, apart), name in zip(rows, names):
            _draw_component(whole, late, name)
            _draw_deviation(apart, late, name)
        for axes in rows[-1]:
            axes.set_xlabel(str(run.attrs["time_words"]))
        label_panels([axes for column in zip(*rows) for axes in column])
        add_legend(
            figure,
            [
                Line2D([], [], color=INK, lw=1.0, label="truth"),
                Line2D([], [], color=BLUE, lw=1.1, label="mean of the analysis"),
                Patch(color=SKY, alpha=0.75, lw=0, label="50 % of the members"),
                Patch(color=SKY, alpha=0.35, lw=0, label="90 %"),
            ],
        )
        svg = to_svg(figure, "case-series")
    more = int(run.attrs["state_size"]) - len(names)
    others = f" {more} more components are not shown." if more else ""
    return Drawing(
        name="case-series",
        svg=svg,
        title="Truth and analysis",
        caption=(
            f"The last {late.sizes['time']} cycles: the simulated truth, and mean and "
            "quantiles of the members after each observation. Right: the same less the "
            f"truth, which should leave the 90 % band in one of ten cycles.{others}"
        ),
        alt=f"Truth and analysis of {', '.join(names)} over the last cycles.",
    )


def _draw_component(axes: Axes, late: xr.Dataset, name: str) -> None:
    x = late["time"].values
    part = late.sel(state=name)
    for low, high, opacity in _FAN:
        lower, upper = (part["quantiles"].sel(quantile=q).values for q in (low, high))
        axes.fill_between(x, lower, upper, color=SKY, alpha=opacity, lw=0, zorder=1)
    axes.plot(x, part["mean"].values, color=BLUE, lw=1.0, zorder=3)
    axes.plot(x, part["truth"].values, color=INK, lw=0.8, zorder=4)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylabel(name)


def _draw_deviation(axes: Axes, late: xr.Dataset, name: str) -> None:
    x = late["time"].values
    part = late.sel(state=name)
    truth = part["truth"].values
    for low, high, opacity in _FAN:
        lower, upper = (part["quantiles"].sel(quantile=q).values for q in (low, high))
        axes.fill_between(
            x, lower - truth, upper - truth, color=SKY, alpha=opacity, lw=0, zorder=1
        )
    axes.plot(x, part["mean"].values - truth, color=BLUE, lw=0.8, zorder=3)
    axes.axhline(0.0, color=INK, lw=0.8, zorder=4)
    axes.set_xlim(x[0], x[-1])
    axes.set_ylabel(f"{name} − truth")


def draw_case_errors(run: xr.Dataset) -> Drawing:
    """Draw error and spread of every cycle, and how they go together.

    Args:
        run: The run.

    Returns:
        The figure.
    """
    with house_style():
        figure = new_figure(2.7)
        time, bins = place_panels(
            figure, [1.0], [2.6, 1.0], box=(0.62, 0.1, 0.42, 0.42), gap=(0.66, 0)
        )[0]
        _draw_errors(time, run)
        _draw_bins(bins, run)
        label_panels([time, bins])
        add_legend(
            figure,
            [
                Line2D([], [], color=RED, lw=1.1, label="error of the mean"),
                Line2D([], [], color=BLUE, lw=1.1, label="spread"),
                *_burn_in(run),
            ],
        )
        svg = to_svg(figure, "case-errors")
    return Drawing(
        name="case-errors",
        svg=svg,
        title="Error and spread",
        caption=(
            "a: root mean square over components, every cycle. b: cycles sorted by "
            "spread into bins of equal size; a point on the dotted line has as much "
            "error as its members promise, with the factor √((M + 1)/M) of a finite "
            "ensemble on the spread. Bars: 95 % by the scatter in the bin."
        ),
        alt="Error and spread of every cycle, and mean error in bins of the spread.",
    )


def _burn(run: xr.Dataset) -> int:
    return int((~run["scored"].values).sum())


def _burn_in(run: xr.Dataset) -> list[Patch]:
    """Return the mark of the burn-in, where there is one."""
    mark = Patch(color=GOLD, alpha=0.25, lw=0, label="burn-in, not scored")
    return [mark] if _burn(run) else []


def _draw_errors(axes: Axes, run: xr.Dataset) -> None:
    x = run["time"].values
    for name, colour in (("error", RED), ("spread", BLUE)):
        axes.plot(*thin(x, run[name].values), color=colour, lw=0.8)
    if _burn_in(run):
        axes.axvspan(x[0], x[_burn(run)], color=GOLD, alpha=0.2, lw=0, zorder=0)
    axes.set_xlim(x[0], x[-1])
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 100.0 * low:  # few powers of ten: name what lies between
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(str(run.attrs["time_words"]))
    axes.set_ylabel("root mean square")


def _draw_bins(axes: Axes, run: xr.Dataset) -> None:
    late = run.isel(time=run["scored"].values.astype(bool))
    error, spread = late["error"].values, late["spread"].values
    M = run.sizes["rank"] - 1
    good = np.isfinite(error) & np.isfinite(spread)
    error, spread = error[good], spread[good] * np.sqrt((M + 1) / M)
    if error.size < 20:
        return
    parts = np.array_split(np.argsort(spread), min(10, error.size // 10))
    x = np.array([np.sqrt(np.mean(spread[part] ** 2)) for part in parts])
    square = np.array([np.mean(error[part] ** 2) for part in parts])
    doubt = np.array(
        [1.96 * np.std(error[part] ** 2) / np.sqrt(part.size) for part in parts]
    )
    y = np.sqrt(square)
    ends = np.sqrt(np.maximum(square + np.outer([-1.0, 1.0], doubt), 0.0))
    axes.vlines(x, ends[0], ends[1], color=BLUE, lw=0.9)
    axes.plot(x, y, "o", color=BLUE, ms=3, mew=0)
    top = 1.08 * max(x.max(), ends[1].max())
    axes.plot([0, top], [0, top], color=INK, lw=0.6, ls=":")
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_xlabel("spread, finite ensemble")
    axes.set_ylabel("error")


def draw_case_weights(run: xr.Dataset) -> Drawing | None:
    """Draw what the weights were worth and the bandwidth, where a method has them.

    Args:
        run: The run.

    Returns:
        The figure, None where there is nothing to draw.
    """
    labels = {"effective": "effective members", "bandwidth": "bandwidth h"}
    there = [name for name in labels if np.isfinite(run[name].values).any()]
    if not there:
        return None
    x = run["time"].values
    with house_style():
        figure = new_figure(1.3 * len(there) + 0.6)
        rows = place_panels(
            figure,
            [1.0] * len(there),
            [1.0],
            box=(0.62, 0.1, 0.42, 0.12),
            gap=(0, 0.16),
            share="x",
        )
        panels = [row[0] for row in rows]
        for axes, name in zip(panels, there):
            axes.plot(*thin(x, run[name].values), color=BLUE, lw=0.8)
            axes.set_xlim(x[0], x[-1])
            axes.set_ylim(0, 1.25 * float(np.nanmax(run[name].values)))
            axes.set_ylabel(labels[name])
        panels[-1].set_xlabel(str(run.attrs["time_words"]))
        label_panels(panels)
        svg = to_svg(figure, "case-weights")
    bridge = (
        " The bridge raises h until they are worth enough: h = 1 is an ensemble Kalman "
        "filter, h = 0 a particle filter."
    )
    return Drawing(
        name="case-weights",
        svg=svg,
        title="What the weights are worth",
        caption=(
            "1 / Σw² after each observation: so many equal weights are worth as much."
            + (bridge if "bandwidth" in there else "")
        ),
        alt="Effective number of members, and bandwidth, over the run.",
    )
