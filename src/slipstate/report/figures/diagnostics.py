"""Whether the model may be believed: innovations, their memory, and PIT histograms."""

import numpy as np
import scipy.special
import xarray as xr
from matplotlib.axes import Axes

from slipstate.assimilate.calibration import pit_uniformity
from slipstate.report.figures.marks import mark_training
from slipstate.report.style import (
    BLUE,
    INK,
    RULE,
    SERIES_COLOURS,
    SKY,
    Drawing,
    add_legend,
    house_style,
    label_panels,
    new_figure,
    place_panels,
    to_svg,
)
from slipstate.report.view import TimeAxis, time_axis
from slipstate.watch.verdict import days

_LAGS = 40
_BINS = 20
_SIGMAS = 5.0
_MOST_POINTS = 40_001  # odd, so that a stride goes through all stations


def draw_diagnostics(run: xr.Dataset) -> Drawing:
    """Draw innovations in time, against the normal law and against themselves; PIT.

    Args:
        run: The run.

    Returns:
        The figure.
    """
    z = standardised(run)
    components = [str(c) for c in run["component"].values]
    horizons = run["horizon"].values.astype(float)
    with house_style():
        figure = new_figure(6.2)
        series = place_panels(figure, [1], [1], box=(0.62, 0.08, 4.72, 0.42))[0][0]
        normal, memory = place_panels(
            figure, [1], [1, 1], box=(0.62, 0.08, 2.16, 1.86), gap=(0.72, 0)
        )[0]
        histograms = place_panels(
            figure,
            [1],
            [1] * horizons.size,
            box=(0.62, 0.08, 0.42, 4.72),
            gap=(0.25, 0),
            share="y",
        )[0]
        draw_innovations(series, run, z, time_axis(run))
        draw_normal(normal, z, components)
        draw_memory(memory, z)
        for axes, horizon in zip(histograms, horizons):
            _draw_pit(axes, run, float(horizon))
        histograms[0].set_ylabel("PIT density")
        label_panels([series, normal, memory, *histograms])
        add_legend(figure, normal.get_legend_handles_labels()[0])
        svg = to_svg(figure, "diagnostics")
    return Drawing(
        name="diagnostics",
        svg=svg,
        title="Can the uncertainty be believed?",
        caption=(
            "a: one-step forecast errors over their forecast standard deviation; they "
            "should be white, normal and of size 1 (dotted lines at ±2). b: their "
            "quantiles against normal ones. c: correlation with themselves; grey, 95 % "
            "of white noise. Bottom row: probability integral transforms on the scored "
            "part, flat where calibrated; grey, 95 % of a calibrated forecast. A hump "
            "means timid, a bowl overconfident."
        ),
        alt=(
            "Standardised innovations in time, normal quantile plot, autocorrelation, "
            f"and PIT histograms for {', '.join(days(h) for h in horizons)}."
        ),
    )


def standardised(run: xr.Dataset) -> np.ndarray:
    """Return innovations over their standard deviation (time, station, component)."""
    dims = ("time", "station", "component")
    seen = run["observed_mask"].transpose(*dims).values.astype(bool)
    error = run["innovation"].transpose(*dims).values
    sd = run["innovation_sd"].transpose(*dims).values
    return np.where(seen & (sd > 0), error / np.where(sd > 0, sd, 1.0), np.nan)


def draw_innovations(
    axes: Axes, run: xr.Dataset, z: np.ndarray, axis: TimeAxis
) -> None:
    """Draw standardised innovations in time.

    Args:
        axes: Where to draw.
        run: Its times, and which of them were used for fitting.
        z: Standardised innovations (time, station, component).
        axis: How times become positions.
    """
    x = axis.place(run["time"].values.astype("datetime64[ns]"))
    places = np.repeat(x, z.shape[1])
    every = max(1, places.size // _MOST_POINTS)
    size = float(np.clip(90.0 / np.sqrt(places.size), 1.2, 3.0))
    for number in range(z.shape[2]):
        shown = np.clip(z[:, :, number], -_SIGMAS, _SIGMAS).ravel()
        axes.plot(
            places[::every],
            shown[::every],
            ".",
            color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
            ms=size,
            mew=0,
            alpha=0.6,
            rasterized=True,
        )
    for level in (-2, 2):
        axes.axhline(level, color=INK, lw=0.6, ls=":")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(-_SIGMAS * 1.05, _SIGMAS * 1.05)
    axes.set_ylabel("innovation / sd")
    axis.dress(axes)
    mark_training(axes, run, axis)


def draw_normal(axes: Axes, z: np.ndarray, components: list[str]) -> None:
    """Draw the quantiles of standardised innovations against normal ones.

    Args:
        axes: Where to draw.
        z: Standardised innovations (time, station, component).
        components: Name of each component, for the legend.
    """
    fewest = 0
    for number, name in enumerate(components):
        values = np.sort(z[:, :, number][np.isfinite(z[:, :, number])])
        if values.size < 3:
            continue
        fewest = values.size if fewest == 0 else min(fewest, values.size)
        order = _some_ranks(values.size)
        theory = scipy.special.ndtri((order + 0.5) / values.size)
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        axes.plot(theory, values[order], color=colour, lw=1.2, label=name, zorder=3)
    axes.plot([-4, 4], [-4, 4], color=INK, lw=0.6, ls=":")
    if fewest:
        order = _some_ranks(fewest)
        theory = scipy.special.ndtri((order + 0.5) / fewest)
        low, high = (
            scipy.special.ndtri(
                scipy.special.betaincinv(order + 1.0, fewest - order, level)
            )
            for level in (0.025, 0.975)
        )
        axes.fill_between(theory, low, high, color=RULE, lw=0, zorder=1)
    axes.set_xlim(-4, 4)
    axes.set_ylim(-_SIGMAS, _SIGMAS)
    axes.set_xlabel("normal quantile")
    axes.set_ylabel("innovation / sd")


def _some_ranks(count: int) -> np.ndarray:
    """Return ranks evenly spaced in normal quantiles, the ends included."""
    levels = scipy.special.ndtr(np.linspace(-4.5, 4.5, 161))
    inner = np.round(levels * count - 0.5).astype(int)
    return np.unique(np.clip(inner, 0, count - 1))


def draw_memory(axes: Axes, z: np.ndarray) -> None:
    """Draw the correlation of standardised innovations with themselves.

    Args:
        axes: Where to draw.
        z: Standardised innovations (time, station, component).
    """
    lags = min(_LAGS, z.shape[0] - 2)
    size = 0
    for number in range(z.shape[2]):
        correlation, pairs = autocorrelation(z[:, :, number], lags)
        size = max(size, pairs)
        axes.plot(
            np.arange(1, lags + 1),
            correlation,
            "o-",
            color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
            lw=0.6,
            ms=2.2,
            mew=0,
            zorder=3,
        )
    if size:
        bound = 1.96 / np.sqrt(size)
        axes.axhspan(-bound, bound, color=RULE, lw=0, zorder=1)
    axes.axhline(0.0, color=INK, lw=0.6)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.1), max(high, 0.1))
    axes.set_xlabel("lag (samples)")
    axes.set_ylabel("autocorrelation")


def autocorrelation(z: np.ndarray, lags: int) -> tuple[np.ndarray, int]:
    """Return the autocorrelation of series with gaps, averaged over series.

    Args:
        z: Series as columns, NaN where missing.
        lags: Largest lag [samples].

    Returns:
        Correlations at lags 1 to `lags`, over the pairs of which both are there; and
        the number of pairs at lag 1.
    """
    seen = np.isfinite(z)
    count = np.maximum(seen.sum(0), 1)
    filled = np.where(seen, z, 0.0)
    filled = np.where(seen, filled - filled.sum(0) / count, 0.0)
    size = 2 ** int(np.ceil(np.log2(z.shape[0] + lags)))

    def products(values: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(values, size, axis=0)) ** 2
        return np.fft.irfft(power, size, axis=0)[: lags + 1].sum(1)

    pairs = np.maximum(np.round(products(seen.astype(np.float64))), 1.0)
    covariance = products(filled) / pairs
    return covariance[1:] / (covariance[0] or 1.0), int(pairs[1])


def _draw_pit(axes: Axes, run: xr.Dataset, horizon: float) -> None:
    pit = run["pit"].sel(horizon=horizon).transpose("time", ...).values
    seen = pit[np.isfinite(pit)]
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.set_xlabel("PIT")
    if not seen.size:
        axes.set_title(f"{days(horizon)} ahead; not scored", loc="right", size=7.5)
        return
    effective = independent_count(run, seen.size, horizon)
    counts, edges = np.histogram(seen, _BINS, (0, 1))
    density = counts * _BINS / seen.size
    half = 1.96 * np.sqrt((_BINS - 1) / effective)
    axes.axhspan(max(1 - half, 0), 1 + half, color=RULE, lw=0, zorder=1)
    axes.axhline(1.0, color=INK, lw=0.6, ls=":", zorder=4)
    axes.stairs(density, edges, fill=True, color=SKY, alpha=0.35, zorder=2)
    axes.stairs(density, edges, baseline=None, color=BLUE, lw=1.0, zorder=3)
    test = pit_uniformity(seen, effective=effective)
    axes.set_title(
        f"{days(horizon)} ahead; KS distance {test.statistic:.3f}",
        weight="normal",
        loc="right",
        size=7.5,
    )
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.15 * density.max(), 1.5))


def independent_count(run: xr.Dataset, count: int, horizon: float) -> float:
    """Return how many of `count` forecasts are independent: one per horizon.

    Args:
        run: The run.
        count: Number of forecasts.
        horizon: How far ahead they are [days].

    Returns:
        At least 2.
    """
    steps = np.diff(run["time"].values.astype("datetime64[ns]"))
    step = float(np.median(steps) / np.timedelta64(1, "D")) if steps.size else horizon
    return max(2.0, count / max(1.0, horizon / step))
