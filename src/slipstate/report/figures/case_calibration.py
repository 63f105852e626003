"""Whether a benchmark run's uncertainty is right: ranks, coverage, PIT, innovations."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from slipstate.assimilate.calibration import coverage_target
from slipstate.report.figures.diagnostics import draw_memory, draw_normal
from slipstate.report.style import (
    BLUE,
    INK,
    RED,
    RULE,
    SKY,
    Drawing,
    add_legend,
    house_style,
    label_panels,
    new_figure,
    place_panels,
    to_svg,
)

_MOST_RANKS = 26
_MOST_SERIES = 3  # components whose innovations are drawn one by one


def draw_case_calibration(run: xr.Dataset) -> Drawing:
    """Draw rank histograms, coverage against its target, and innovations.

    Args:
        run: The run.

    Returns:
        The figure.
    """
    with house_style():
        figure = new_figure(5.0)
        upper = place_panels(
            figure, [1], [1, 1, 1], box=(0.62, 0.1, 2.96, 0.42), gap=(0.62, 0)
        )[0]
        lower = place_panels(
            figure, [1], [1, 1, 1], box=(0.62, 0.1, 0.42, 2.94), gap=(0.62, 0)
        )[0]
        _draw_ranks(upper[0], run["rank"].values, int(run.attrs["state_size"]))
        upper[0].set_xlabel("rank of the truth")
        _draw_ranks(upper[1], run["rank_y"].values, 1)
        upper[1].set_xlabel("rank of the observation")
        upper[0].set_ylabel("density")
        _draw_coverage(upper[2], run)
        late = run.isel(time=run["scored"].values.astype(bool))
        z = late["standardised"].values[:, None, :_MOST_SERIES]
        names = [str(name) for name in run["obs"].values[:_MOST_SERIES]]
        _draw_pit(lower[0], late["pit"].values, run.sizes["rank_y"])
        draw_normal(lower[1], z, names)
        draw_memory(lower[2], z)
        label_panels([*upper, *lower])
        if len(names) > 1:
            add_legend(figure, lower[1].get_legend_handles_labels()[0])
        svg = to_svg(figure, "case-calibration")
    M = run.sizes["rank"] - 1
    return Drawing(
        name="case-calibration",
        svg=svg,
        title="Can the uncertainty be believed?",
        caption=(
            "a: where the truth falls among the members, all components; b: where an "
            "observation falls among its forecasts, noise added; flat where "
            "calibrated, a bowl where overconfident, a hump where timid; grey, 95 % "
            "of a calibrated ensemble (of as many independent cycles, in a). c: how "
            f"often central intervals of {M} members cover; dotted, what is right for "
            f"{M} members: less than nominal by (M − 1)/(M + 1). d: probability "
            "integral transform of the forecast of the observation. e: standardised "
            "innovations of each component against the normal law; f: their "
            "correlation with themselves; grey, 95 %."
        ),
        alt=(
            "Rank histograms of truth and observations, coverage against target, "
            "PIT histogram, normal quantiles and autocorrelation of innovations."
        ),
    )


def _draw_ranks(axes: Axes, counts: np.ndarray, together: int) -> None:
    """Draw a rank histogram, neighbouring ranks put together where they are many."""
    edges = np.linspace(0, counts.size, min(counts.size, _MOST_RANKS) + 1).astype(int)
    width = np.diff(edges)
    summed = np.add.reduceat(counts, edges[:-1])
    total = counts.sum()
    if not total:
        return
    share = width / counts.size
    density = summed / total / share
    # components of one cycle go together: as many independent values as cycles
    half = 1.96 * np.sqrt((1 - share) / (share * total / together))
    places = edges / counts.size
    low = np.repeat(np.maximum(1.0 - half, 0.0), 2)
    x = np.repeat(places, 2)[1:-1]
    axes.fill_between(x, low, np.repeat(1.0 + half, 2), color=RULE, lw=0, zorder=1)
    axes.axhline(1.0, color=INK, lw=0.6, ls=":", zorder=4)
    axes.stairs(density, places, fill=True, color=SKY, alpha=0.35, zorder=2)
    axes.stairs(density, places, baseline=None, color=BLUE, lw=1.0, zorder=3)
    axes.set_xlim(0, 1)
    axes.set_xticks(
        [0, 0.5, 1], ["0", f"{(counts.size - 1) / 2:g}", f"{counts.size - 1}"]
    )
    axes.set_ylim(0, max(1.6, 1.1 * density.max()))


def _draw_coverage(axes: Axes, run: xr.Dataset) -> None:
    late = run.isel(time=run["scored"].values.astype(bool))
    level = run["level"].values
    M = run.sizes["rank"] - 1
    target = [100 * coverage_target(x, M) for x in level]
    axes.plot(100 * level, target, ":", color=INK, lw=0.9)
    for name, colour, words in (
        ("covered", BLUE, "truth"),
        ("covered_y", RED, "observation"),
    ):
        got = 100 * late[name].mean("time").values
        axes.plot(100 * level, got, "o-", color=colour, lw=0.8, ms=2.8, mew=0)
        axes.annotate(
            words,
            (98, 14 if name == "covered" else 3),
            ha="right",
            size=7.5,
            color=colour,
        )
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    axes.set_xlabel("nominal (%)")
    axes.set_ylabel("covered (%)")


def _draw_pit(axes: Axes, pit: np.ndarray, ranks: int) -> None:
    seen = pit[np.isfinite(pit)]
    axes.set_xlabel("PIT of the forecast")
    axes.set_ylabel("density")
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    if not seen.size:
        return
    # whole ranks to a bin, so that none gets more values than its share
    bins = max(k for k in range(1, 21) if ranks % k == 0)
    bins = bins if bins >= 5 else min(20, ranks)
    counts, edges = np.histogram(seen, bins, (0, 1))
    density = counts * bins / seen.size
    half = 1.96 * np.sqrt((bins - 1) / seen.size)
    axes.axhspan(max(1 - half, 0), 1 + half, color=RULE, lw=0, zorder=1)
    axes.axhline(1.0, color=INK, lw=0.6, ls=":", zorder=4)
    axes.stairs(density, edges, fill=True, color=SKY, alpha=0.35, zorder=2)
    axes.stairs(density, edges, baseline=None, color=BLUE, lw=1.0, zorder=3)
    axes.set_ylim(0, max(1.6, 1.1 * density.max()))
