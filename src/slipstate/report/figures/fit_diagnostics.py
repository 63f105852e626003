"""Whether a fitted model may be believed: its innovations in four views."""

from itertools import pairwise

import numpy as np
import scipy.special
import xarray as xr
from matplotlib.axes import Axes

from slipstate.report.figures.diagnostics import (
    draw_innovations,
    draw_memory,
    draw_normal,
)
from slipstate.report.figures.marks import mark_training
from slipstate.report.fit_view import fit_axis
from slipstate.report.style import (
    BLUE,
    INK,
    RULE,
    Drawing,
    house_style,
    label_panels,
    new_figure,
    place_panels,
    to_svg,
)
from slipstate.report.view import TimeAxis

_WINDOWS = 24
_TICKS = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5)]
_IN_WINDOW = 10  # rows, at least


def draw_fit_diagnostics(fit: xr.Dataset) -> Drawing:
    """Draw innovations in time, their size, their law and their memory.

    Args:
        fit: The fit.

    Returns:
        The figure.
    """
    best = str(fit.attrs["best"])
    axis = fit_axis(fit)
    z = standardised(fit, best)
    low = 0.40 if axis.label else 0.26
    with house_style():
        figure = new_figure(5.3)
        series, sizes = (
            row[0]
            for row in place_panels(
                figure, [1.3, 1.0], [1], box=(0.62, 0.08, 2.42 + low, 0.2), gap=(0, 0.3)
            )
        )
        normal, memory = place_panels(
            figure, [1], [1, 1], box=(0.62, 0.08, 0.42, 3.14), gap=(0.72, 0)
        )[0]
        draw_innovations(series, fit, z[:, None, None], axis)
        _draw_nis(sizes, fit, z, axis)
        draw_normal(normal, z[:, None, None], [best])
        draw_memory(memory, z[:, None, None])
        label_panels([series, sizes, normal, memory])
        svg = to_svg(figure, "fit-diagnostics")
    return Drawing(
        name="fit-diagnostics",
        svg=svg,
        title=f"Innovations of {best}",
        caption=(
            "a: one-step forecast errors over their forecast standard deviation; they "
            "should be white, normal and of size 1 (dotted lines at ±2). b: mean of "
            "their squares (NIS) in windows of equal length; grey, 95 % of the means "
            "of as many squares of independent standard normal numbers. c: their "
            "quantiles against normal ones; grey, 95 %. d: correlation with "
            "themselves; grey, 95 % of white noise."
        ),
        alt=(
            f"Standardised innovations of {best} in time, their mean squares in "
            "windows, normal quantile plot and autocorrelation."
        ),
    )


def standardised(fit: xr.Dataset, model: str) -> np.ndarray:
    """Return innovations of a model over their standard deviations, NaN where none."""
    error = fit["innovation"].sel(model=model).values
    sd = fit["innovation_sd"].sel(model=model).values
    good = np.isfinite(error) & np.isfinite(sd) & (sd > 0)
    return np.where(good, error / np.where(good, sd, 1.0), np.nan)


def _draw_nis(axes: Axes, fit: xr.Dataset, z: np.ndarray, axis: TimeAxis) -> None:
    x = axis.place(fit["time"].values.astype("datetime64[ns]"))
    edges = np.unique(
        np.linspace(0, z.size, max(1, min(_WINDOWS, z.size // _IN_WINDOW)) + 1).astype(
            int
        )
    )
    for first, last in pairwise(edges):
        inside = z[first:last][np.isfinite(z[first:last])]
        if not inside.size:
            continue
        ends = [x[first], x[min(last, z.size - 1)]]
        band = scipy.special.chdtri(inside.size, [0.975, 0.025]) / inside.size
        axes.fill_between(ends, *band, color=RULE, lw=0, zorder=1)
        axes.plot(ends, [np.mean(inside**2)] * 2, color=BLUE, lw=1.6, zorder=3)
    axes.axhline(1.0, color=INK, lw=0.6, ls=":", zorder=2)
    axes.set_yscale("log")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylabel("NIS")
    low, high = axes.get_ylim()
    shown = [tick for tick in _TICKS if low <= tick <= high]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
    axis.dress(axes)
    mark_training(axes, fit, axis, words=False)
