"""Which mode ruled when, of the models that have modes."""

import numpy as np
import xarray as xr

from slipstate.report.figures.marks import mark_training
from slipstate.report.fit_view import fit_axis
from slipstate.report.style import (
    DOT,
    SERIES_COLOURS,
    Drawing,
    add_legend,
    house_style,
    new_figure,
    place_panels,
    to_svg,
)
from slipstate.report.view import thin


def draw_fit_modes(fit: xr.Dataset, model: str) -> Drawing | None:
    """Draw the probability of every mode of one model but the commonest, in time.

    Args:
        fit: The fit.
        model: Which model.

    Returns:
        The figure; None where the model has no modes.
    """
    if "mode_probability" not in fit:
        return None
    known = fit["mode_probability"].sel(model=model).dropna("mode", how="all")
    late = fit["mode_probability_smoothed"].sel(model=model).dropna("mode", how="all")
    if not known.sizes["mode"]:
        return None
    axis = fit_axis(fit)
    x = axis.place(fit["time"].values.astype("datetime64[ns]"))
    commonest = str(late["mode"].values[int(np.argmax(late.mean("time").values))])
    shown = [str(mode) for mode in late["mode"].values if str(mode) != commonest]
    with house_style():
        figure = new_figure(1.0 + 0.95 * len(shown))
        panels = place_panels(
            figure,
            [1.0] * len(shown),
            [1],
            box=(0.62, 0.08, 0.44 if axis.label else 0.28, 0.42),
            gap=(0, 0.16),
            share="x",
        )
        for number, (row, mode) in enumerate(zip(panels, shown)):
            axes = row[0]
            colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
            place, now = thin(x, known.sel(mode=mode).values, peaks=True)
            axes.plot(place, now, color=DOT, lw=0.7, zorder=2, label="as known then")
            place, after = thin(x, late.sel(mode=mode).values, peaks=True)
            axes.fill_between(place, 0.0, after, color=colour, alpha=0.30, lw=0)
            axes.plot(
                place, after, color=colour, lw=1.0, zorder=3, label="given everything"
            )
            axes.set_ylim(0, 1.02)
            axes.set_xlim(x[0], x[-1])
            axes.set_ylabel(f"P(mode {mode})")
            mark_training(axes, fit, axis, words=number == 0)
        axis.dress(panels[-1][0])
        add_legend(figure, panels[0][0].get_legend_handles_labels()[0])
        svg = to_svg(figure, f"fit-modes-{model}")
    return Drawing(
        name=f"fit-modes-{model}",
        svg=svg,
        title=f"Modes of {model}",
        caption=(
            f"Probability of each mode but the commonest ({commonest}): grey, given "
            "the observations up to each time; coloured, given all of them. "
            "Where a pixel holds many times the largest is drawn."
        ),
        alt=f"Probability of the modes {', '.join(shown)} of {model} in time.",
    )
