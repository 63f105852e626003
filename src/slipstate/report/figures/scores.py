"""The scorecard as a figure: CRPS against the baselines, coverage, spread and error."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

from slipstate.report.style import (
    BLUE,
    DOT,
    INK,
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
from slipstate.report.view import significant
from slipstate.watch.verdict import days

_MARKERS = "osD^v"
_FEW_METHODS, _ROW = (
    4,
    0.26,
)  # methods that fit as it is; height of a further one [inch]
_LOG_BEYOND = 8.0  # ratio of scores that a linear axis cannot show


def draw_scores(run: xr.Dataset) -> Drawing:
    """Draw the pooled scores of every method at every horizon.

    Args:
        run: The run, with `score`, `crps_gain` and `crps_gain_se`.

    Returns:
        The figure.
    """
    horizons = run["horizon"].values.astype(float)
    methods = [str(m) for m in run["method"].values]
    units = str(run["crps_gain"].attrs.get("units", "")) if "crps_gain" in run else ""
    # a row for each method, and room for its number above it
    extra = _ROW * max(len(methods) - _FEW_METHODS, 0)
    with house_style():
        figure = new_figure(3.9 + 2.0 * extra)
        tops = place_panels(
            figure,
            [1],
            [1] * horizons.size,
            box=(0.85, 0.12, 2.45 + extra, 0.25),
            gap=(0.25, 0),
            share="y",
        )[0]
        panels = place_panels(
            figure,
            [1],
            [1, 1, 1],
            box=(0.85, 0.12, 0.55, 2.2 + extra),
            gap=(0.25, 0),
            share="y",
        )[0]
        for axes, horizon in zip(tops, horizons):
            _draw_crps(axes, run, float(horizon), methods)
            axes.set_title(f"{days(float(horizon))} ahead", weight="normal")
            axes.set_xlabel(f"CRPS ({units})" if units not in ("", "1") else "CRPS")
        for axes, metric, title in zip(
            panels,
            ("coverage50", "coverage90", "spread_skill"),
            ("50 % intervals cover", "90 % intervals cover", "spread / error"),
        ):
            _draw_points(axes, run, metric, methods)
            axes.set_title(title, weight="normal")
        for axes in (tops[0], panels[0]):
            axes.set_yticks(range(len(methods)), methods)
            axes.set_ylim(len(methods) - 0.4, -0.95)
        for axes in (*tops, *panels):
            axes.grid(visible=False, axis="y")
            axes.tick_params(axis="y", length=0)
        label_panels([*tops, *panels])
        if horizons.size > 1:
            handles = panels[0].get_legend_handles_labels()[0]
            add_legend(figure, handles, drop=3.72 + 2.0 * extra)
        svg = to_svg(figure, "scores")
    return Drawing(
        name="scores",
        svg=svg,
        title="Forecasts against baselines, outside the part used for fitting",
        caption=(
            "Top: continuous ranked probability score, smaller is better; whiskers, "
            "95 % interval of the difference to slipstate. Bottom: how often intervals "
            "cover, and forecast spread over error; dotted lines mark calibration."
        ),
        alt=f"Scores of {', '.join(methods)} at {len(horizons)} horizons.",
    )


def _draw_crps(axes: Axes, run: xr.Dataset, horizon: float, methods: list[str]) -> None:
    place = {"metric": "crps", "horizon": horizon}
    values = run["score"].sel(place).values.astype(float)
    ours = methods.index("slipstate")
    rows = np.arange(len(methods))
    seen = values[np.isfinite(values) & (values > 0)]
    if seen.size and seen.max() > _LOG_BEYOND * seen.min():
        axes.set_xscale("log")
    known = np.zeros(rows.size)
    if "crps_gain_se" in run:
        error = run["crps_gain_se"].sel(horizon=horizon).values.astype(float)
        known = 1.96 * np.where((rows != ours) & np.isfinite(error), error, 0.0)
    for row, value, half in zip(rows, values, known):
        if not np.isfinite(value):
            continue
        worse = row != ours and value <= values[ours]
        colour = BLUE if row == ours else RED if worse else DOT
        axes.errorbar(
            value, row, xerr=half, fmt="o", color=colour, ms=5, mew=0, elinewidth=1.1
        )
        axes.annotate(
            significant(value, 3),
            (value, row),
            xytext=(0, 4.5),
            textcoords="offset points",
            ha="center",
            size=7,
            weight="bold" if worse or row == ours else "normal",
        )
    if np.isfinite(values[ours]):
        axes.axvline(values[ours], color=BLUE, lw=0.8, ls=":", zorder=1)
    if seen.size and axes.get_xscale() == "log":
        axes.set_xlim(seen.min() / 2.5, seen.max() * 1.5)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=6))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_locator(NullLocator())
    elif seen.size:
        axes.set_xlim(0.0, 1.12 * seen.max())


def _draw_points(axes: Axes, run: xr.Dataset, metric: str, methods: list[str]) -> None:
    table = run["score"].sel({"metric": metric}).transpose("method", "horizon").values
    horizons = run["horizon"].values.astype(float)
    target = float(run["score"].attrs.get(f"{metric}_target", _nominal(metric)))
    axes.axvline(target, color=INK, lw=0.8, ls=":", zorder=1)
    spread = np.linspace(-0.2, 0.2, horizons.size) if horizons.size > 1 else [0.0]
    for number, horizon in enumerate(horizons):
        for row in range(len(methods)):
            ours = methods[row] == "slipstate"
            axes.plot(
                table[row, number],
                row + spread[number],
                _MARKERS[number % len(_MARKERS)],
                color=BLUE if ours else DOT,
                ms=4.0,
                mew=0,
                zorder=3,
            )
        axes.plot(
            [],
            [],
            _MARKERS[number % len(_MARKERS)],
            color=SOFT,
            ms=4.0,
            mew=0,
            ls="",
            label=f"{days(float(horizon))} ahead",
        )
    seen = table[np.isfinite(table)]
    low, high = (
        (min(seen.min(), target), max(seen.max(), target))
        if seen.size
        else (
            target - 0.1,
            target + 0.1,
        )
    )
    rest = 0.12 * (high - low) + 0.01
    axes.set_xlim(low - rest, high + rest)


def _nominal(metric: str) -> float:
    return {"coverage50": 0.5, "coverage90": 0.9}.get(metric, 1.0)
