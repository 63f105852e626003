"""The data with the signal a model sees in them, and what it says of the time after."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from slipstate.report.figures.marks import mark_training
from slipstate.report.fit_view import fit_axis, value_label
from slipstate.report.style import (
    BLUE,
    DOT,
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
from slipstate.report.view import TimeAxis, thin

_BAND = 1.6448536269514722  # standard deviations on either side of a 90 % band
_FAN = ((0.05, 0.95, 0.30), (0.25, 0.75, 0.50))
_STRAIGHT = 0.05  # of the variance that a line may leave of a straight series
_CLOSE = 3  # times the horizon that is shown of the past beside a forecast


def draw_fit_series(fit: xr.Dataset) -> Drawing:
    """Draw the whole record with the smoothed signal, and the forecast close up.

    Args:
        fit: The fit, as `slipstate.fit` makes it.

    Returns:
        The figure.
    """
    axis = fit_axis(fit)
    best = str(fit.attrs["best"])
    with house_style():
        figure = new_figure(3.5)
        whole, close = place_panels(
            figure,
            [1.0],
            [2.3, 1.0],
            box=(0.66, 0.08, 0.44 if axis.label else 0.28, 0.42),
            gap=(0.42, 0.14),
        )[0]
        line = straight_line(fit)
        _draw_whole(whole, fit, best, axis, line)
        _draw_close(close, fit, best, axis)
        whole.set_ylabel(value_label(fit, "" if line is None else " less a line"))
        label_panels([whole, close])
        add_legend(figure, _handles())
        svg = to_svg(figure, "fit-series")
    steps = fit.sizes["forecast_time"]
    removed = "" if line is None else "A straight line is removed for display in a. "
    return Drawing(
        name="fit-series",
        svg=svg,
        title=f"Signal and forecast of {best}",
        caption=(
            f"{removed}a: dots, observations; line and band, the noise-free signal "
            "given the whole record, with its 90 % interval; grey background, the part "
            f"that was fitted. b: the end of the record and the forecast of {steps} "
            "further observations, median and 50 % and 90 % intervals; noise included."
        ),
        alt=(
            f"{fit.attrs['series']} with the smoothed signal of the model {best} and "
            f"its forecast of {steps} steps beyond the end."
        ),
    )


def straight_line(fit: xr.Dataset) -> np.ndarray | None:
    """Return the straight line of a series that hardly leaves it, else None.

    Args:
        fit: The fit.
    """
    y = fit["observed"].values
    seen = np.isfinite(y)
    times = fit["time"].values.astype("datetime64[ns]")
    x = (times - times[0]) / (times[-1] - times[0])
    line = np.polyval(np.polyfit(x[seen], y[seen], 1), x)
    rest = np.var((y - line)[seen])
    return line if rest < _STRAIGHT * np.var(y[seen]) else None


def _draw_whole(
    axes: Axes, fit: xr.Dataset, best: str, axis: TimeAxis, line: np.ndarray | None
) -> None:
    x = axis.place(fit["time"].values.astype("datetime64[ns]"))
    shown = fit
    if line is not None:
        names = ["observed", "smoothed"]
        less = xr.DataArray(line, dims="time")
        shown = fit.assign({name: fit[name] - less for name in names})
    _draw_signal(axes, shown, best, x, slice(None), size=_dot_size(x.size))
    axes.set_xlim(x[0], x[-1])
    _limit(axes, shown["observed"].values)
    axis.dress(axes)
    mark_training(axes, fit, axis)


def _draw_close(axes: Axes, fit: xr.Dataset, best: str, axis: TimeAxis) -> None:
    x = axis.place(fit["time"].values.astype("datetime64[ns]"))
    ahead = axis.place(fit["forecast_time"].values.astype("datetime64[ns]"))
    first = max(0, x.size - _CLOSE * ahead.size)
    part = slice(first, None)
    fan = fit["forecast"].sel(model=best)
    for lower, upper, opacity in _FAN:
        low, high = (
            fan.sel(quantile=level, method="nearest").values for level in (lower, upper)
        )
        axes.fill_between(ahead, low, high, color=RED, alpha=opacity, lw=0, zorder=1)
    middle = fan.sel(quantile=0.5, method="nearest").values
    axes.plot(ahead, middle, color=RED, lw=1.0, zorder=3)
    _draw_signal(axes, fit, best, x[part], part, size=_dot_size(x[part].size))
    axes.set_xlim(x[part][0], ahead[-1])
    axis.dress(axes)


def _draw_signal(
    axes: Axes, fit: xr.Dataset, best: str, x: np.ndarray, part: slice, *, size: float
) -> None:
    mean = fit["smoothed"].sel(model=best).values[part]
    sd = fit["smoothed_sd"].sel(model=best).values[part]
    place, line, low, high = thin(x, mean, mean - _BAND * sd, mean + _BAND * sd)
    axes.fill_between(place, low, high, color=SKY, alpha=0.45, lw=0, zorder=1)
    axes.plot(place, line, color=BLUE, lw=0.9, zorder=3)
    axes.plot(
        x,
        fit["observed"].values[part],
        ".",
        color=DOT,
        ms=size,
        mew=0,
        alpha=0.8,
        zorder=2,
        rasterized=x.size > 400,
    )


def _limit(axes: Axes, observed: np.ndarray) -> None:
    """Let outliers leave the panel."""
    seen = observed[np.isfinite(observed)]
    low, high = np.quantile(seen, [0.001, 0.999])
    rest = 0.12 * (high - low) or 1.0
    axes.set_ylim(low - rest, high + rest)


def _dot_size(count: int) -> float:
    return float(np.clip(70.0 / np.sqrt(count), 1.3, 5.0))


def _handles() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=DOT, marker=".", ls="", ms=5, mew=0, label="observed"),
        Line2D([], [], color=BLUE, lw=1.1, label="smoothed signal"),
        Patch(color=SKY, alpha=0.45, lw=0, label="its 90 %"),
        Line2D([], [], color=RED, lw=1.1, label="forecast"),
        Patch(color=RED, alpha=0.65, lw=0, label="50 %"),
        Patch(color=RED, alpha=0.30, lw=0, label="90 %"),
    ]
