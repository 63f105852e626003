"""What a memory keeps of a column: compressed, compared, put into words, drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    from slipstate.memory import LagMemory


class Series(NamedTuple):
    """One column of a record, without its gaps.

    Attributes:
        times: Since the first sample.
        values: Observed values.
        unit: Of the values.
        time_unit: Of the times.
        name: What it is, for titles.
    """

    times: "np.ndarray"
    values: "np.ndarray"
    unit: str
    time_unit: str
    name: str


class Compressed(NamedTuple):
    """What a memory kept of a column.

    Attributes:
        rebuilt: The column from the modes; NaN where the memory says nothing.
        error: `rebuilt` minus the column.
        stated: The certificate.
        measured: The same error from the data.
        at_samples: Root mean square error at the samples.
        exact: Whether the certificate is exact, or a bound.
    """

    rebuilt: "np.ndarray"
    error: "np.ndarray"
    stated: float
    measured: float
    at_samples: float
    exact: bool


def compress(memory: "LagMemory", series: Series) -> Compressed:
    """Run the memory over a column and compare what is left of it.

    Args:
        memory: The memory.
        series: The column.

    Returns:
        The reconstruction, its certificate, and its error as measured.
    """
    import jax.numpy as jnp
    import numpy as np

    # the memory starts at zero; a constant is free to remember, so take it off
    level = float(np.mean(series.values))
    last = memory.scan(series.values[:, None] - level, series.times).last
    rebuild = lambda times: np.asarray(memory.reconstruct(last, times))[:, 0] + level
    rebuilt = rebuild(series.times)
    # Simpson over each cell, a long one cut up, weighed as clock and basis do
    edges = _no_wider_than_usual(series.times)
    points = np.sort(np.append(edges, 0.5 * (edges[1:] + edges[:-1])))
    line = np.interp(points, series.times, series.values)
    square = (rebuild(points) - line) ** 2
    squares = (square[:-2:2] + 4.0 * square[1::2] + square[2::2]) / 6.0
    mass = memory.basis.mass(memory.clock.lag(jnp.asarray(edges), last.time))
    weights = -np.diff(np.asarray(mass))
    known = np.isfinite(squares)
    return Compressed(
        rebuilt=rebuilt,
        error=rebuilt - series.values,
        stated=float(memory.error(last)[0]),
        measured=float(
            np.sqrt(weights[known] @ squares[known] / weights[known].sum())
            if known.any()
            else np.nan
        ),
        at_samples=float(np.sqrt(np.nanmean((rebuilt - series.values) ** 2))),
        exact=memory.closed,
    )


def _no_wider_than_usual(times: "np.ndarray") -> "np.ndarray":
    """Cut the time between samples into pieces of the usual width, 64 at most."""
    import numpy as np

    width = np.diff(times)
    pieces = np.ceil(width / np.median(width) - 1e-9).clip(1, 64).astype(int)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    part = np.arange(first.size) - first
    step = np.repeat(width / pieces, pieces)
    return np.append(np.repeat(times[:-1], pieces) + part * step, times[-1])


def describe(memory: "LagMemory", series: Series, found: Compressed) -> str:
    """Return in words what the memory kept and lost.

    Args:
        memory: The memory.
        series: The column.
        found: What is left of it.

    Returns:
        A few lines.
    """
    import numpy as np

    count, unit = len(series.values), series.unit
    size = lambda value: f"{value:.4g} {unit}".rstrip()
    per = count / memory.basis.modes
    kind = "exact" if found.exact else "an upper bound"
    # an endless past begins before the record, where the signal counts as zero
    endless = not np.isfinite(memory.clock.origin()) and found.exact
    also = ", the zero before the record included" if endless else ""
    return "\n".join(
        [
            f"{series.name}: {count} samples over {series.times[-1]:.6g} "
            f"{series.time_unit}, standard deviation {size(np.std(series.values))}",
            f"modes                 {memory.basis.modes}, one for {per:.3g} samples",
            f"error by certificate  {size(found.stated)}, {kind}, without the data"
            f"{also}",
            f"error measured        {size(found.measured)}, of the line through the "
            "samples, as the clock weighs it",
            f"error at the samples  {size(found.at_samples)}, each sample alike",
        ]
    )


def draw(series: Series, found: Compressed, plot: Path) -> None:
    """Draw original, reconstruction and error over age.

    Args:
        series: The column.
        found: What is left of it.
        plot: Where to draw.
    """
    import numpy as np
    from matplotlib.lines import Line2D

    from slipstate.report import style

    unit = f" [{series.unit}]" if series.unit else ""
    age = series.times[-1] - series.times
    # a window says nothing of what is older; show half as much again
    oldest = min(age[0], 1.5 * np.max(age[np.isfinite(found.error)]))
    shown = age <= oldest
    age, values = age[shown], series.values[shown]
    rebuilt, error = found.rebuilt[shown], found.error[shown]
    dots = {"color": style.DOT, "ls": "", "marker": ".", "ms": 1.6}
    wave = {"color": style.DOT, "lw": 0.8}
    look = wave if series.time_unit == "s" else dots
    with style.house_style():
        figure = style.new_figure(4.6)
        box = (0.85, 0.15, 0.45, 0.4)
        (top,), (bottom,) = style.place_panels(figure, (2, 1), (1,), box=box, share="x")
        top.plot(age, _broken_at_gaps(age, values), **look, rasterized=True)
        top.plot(age, rebuilt, color=style.RED)
        bottom.plot(age, _broken_at_gaps(age, error), color=style.BLUE, lw=0.5)
        for side in (-found.stated, found.stated):
            bottom.axhline(side, color=style.GOLD, lw=1.0, ls="--")
        _keep_in_view(top, age, values, style.DOT)
        _keep_in_view(bottom, age, error, style.BLUE)
        top.set(ylabel=f"{series.name}{unit}")
        bottom.set(xlabel=f"age [{series.time_unit}]", ylabel=f"error{unit}")
        bottom.set_xlim(age[0], age[-1])
        kind = "certificate" if found.exact else "certificate (upper bound)"
        handles = [
            Line2D([], [], **look, label="observed"),
            Line2D([], [], color=style.RED, label="remembered"),
            Line2D([], [], color=style.BLUE, label="remembered - observed"),
            Line2D([], [], color=style.GOLD, ls="--", label=f"{kind}, rms"),
        ]
        handles[0].set_markersize(5)
        style.add_legend(figure, handles, drop=0.12)
        figure.savefig(plot, dpi=200, facecolor="white")


def _broken_at_gaps(age: "np.ndarray", values: "np.ndarray") -> "np.ndarray":
    """Return values with one NaN at each gap, so that no line is drawn across."""
    import numpy as np

    step = -np.diff(age)
    after_gap = np.append(False, step > 1.5 * np.median(step))
    return np.where(after_gap & (age > 0.0), np.nan, values)


def _keep_in_view(
    axes: "Axes", age: "np.ndarray", values: "np.ndarray", colour: str
) -> None:
    """Let a few outliers not squeeze all the rest; mark them at the edge instead."""
    import numpy as np

    known = np.isfinite(values)
    age, values = age[known], values[known]
    low, high = np.quantile(values, [0.001, 0.999])
    room = 0.25 * (high - low)
    if np.ptp(values) < 2.0 * (high - low) or room == 0.0:
        return
    low, high = low - room, high + room
    edges = ((values > high, high, "^", np.max), (values < low, low, "v", np.min))
    for outside, edge, marker, furthest in edges:
        if not outside.any():
            continue
        places = np.full(outside.sum(), edge)
        axes.plot(age[outside], places, marker, ms=4, color=colour, zorder=5)
        axes.annotate(
            f"{outside.sum()} beyond, to {furthest(values):.4g}",
            (1.0, edge),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-4, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            size=7,
            bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1.0},
        )
    axes.set_ylim(low - 0.3 * room, high + 0.3 * room)
