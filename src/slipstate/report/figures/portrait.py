"""Where a fault is in its cycle: slip rate against stress and against state."""

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from slipstate.report.style import (
    BLUE,
    DOT,
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
from slipstate.report.view import display_unit

_LN10 = np.log(10.0)
_MOST_POINTS = 12_000


def draw_portrait(run: xr.Dataset) -> Drawing | None:
    """Draw the phase portrait of a fault; None for a run that has none.

    Needs `member` (time, member, state) with states "ln V" and "ln theta"; draws
    `truth` (time, state) and the steady state `steady_tau` over `steady_ln_v` (branch)
    where the run has them.

    Args:
        run: The run.

    Returns:
        The figure or None.
    """
    if "member" not in run:
        return None
    both = {"ln V", "tau"} <= {str(c) for c in run["component"].values}
    shown = (
        "Left: shear stress against slip rate. Right: state θ, about the age of the "
        "contacts, against slip rate."
        if both
        else "State θ, about the age of the contacts, against slip rate."
    )
    steady = "; on the dashed line it would slide steadily." if both else "."
    with house_style():
        figure = new_figure(3.7)
        panels = place_panels(
            figure, [1], [1] * (1 + both), box=(0.62, 0.08, 0.42, 0.32), gap=(0.72, 0)
        )[0]
        if both:
            _draw_stress(panels[0], run)
        _draw_state(panels[-1], run)
        for axes in panels:
            axes.set_xscale("log")
            axes.set_xlabel("slip rate V (m/s)")
        if both:
            label_panels(panels)
        add_legend(figure, _handles(*panels))
        svg = to_svg(figure, "portrait")
    return Drawing(
        name="portrait",
        svg=svg,
        title="Phase portrait of the fault",
        caption=(
            f"{shown} Cloud: members of the posterior at all times, those at the end "
            "in ochre; blue: their mean, a dot each sample. The fault is slow at the "
            "left, while stress builds up, and fast at the right, while it drops"
            f"{steady}"
        ),
        alt=(
            "Phase portrait, "
            f"{'stress and state against slip rate' if both else 'state against rate'}"
            ", with the cloud of posterior members."
        ),
    )


def _draw_stress(axes: Axes, run: xr.Dataset) -> None:
    fault = run.isel(station=0)
    unit = display_unit(run, "tau")
    seen = fault["observed_mask"].values.all(-1)
    both = {c: fault["observed"].sel(component=c).values for c in ("ln V", "tau")}
    axes.plot(
        np.exp(both["ln V"][seen]),
        both["tau"][seen] * unit.factor,
        ".",
        color=DOT,
        ms=2.2,
        mew=0,
        alpha=0.8,
        label="observed",
    )
    if "filtered" in run:
        mean = {c: fault["filtered"].sel(component=c).values for c in ("ln V", "tau")}
        axes.plot(
            np.exp(mean["ln V"]),
            mean["tau"] * unit.factor,
            ".-",
            color=BLUE,
            lw=0.4,
            ms=2.6,
            mew=0,
            label="posterior mean",
            zorder=3,
        )
    _limits(axes, both["ln V"][seen], both["tau"][seen] * unit.factor)
    if "steady_tau" in run:
        axes.plot(
            np.exp(run["steady_ln_v"].values),
            run["steady_tau"].values * unit.factor,
            color=RED,
            ls="--",
            lw=1.0,
            label="steady state",
            zorder=4,
        )
    axes.set_ylabel(f"shear stress {unit.label}")


def _draw_state(axes: Axes, run: xr.Dataset) -> None:
    members = run["member"].transpose("time", "member", "state")
    ln_v, ln_theta = (members.sel(state=s).values for s in ("ln V", "ln theta"))
    flat_v, flat_theta = ln_v.ravel(), ln_theta.ravel()
    every = max(1, flat_v.size // _MOST_POINTS)  # a stride keeps all times and members
    axes.plot(
        np.exp(flat_v[::every]),
        np.exp(flat_theta[::every]),
        ".",
        color=SKY,
        ms=1.6,
        mew=0,
        alpha=0.35,
        rasterized=True,
    )
    axes.plot([], [], ".", color=SKY, ms=6, mew=0, label="posterior members")
    axes.plot(
        np.exp(ln_v.mean(1)),
        np.exp(ln_theta.mean(1)),
        ".-",
        color=BLUE,
        lw=0.4,
        ms=2.6,
        mew=0,
        label="posterior mean",
        zorder=3,
    )
    axes.plot(
        np.exp(ln_v[-1]),
        np.exp(ln_theta[-1]),
        ".",
        color=GOLD,
        ms=3.5,
        mew=0,
        label="members at the end",
        zorder=5,
    )
    if "truth" in run:
        truth = run["truth"]
        axes.plot(
            np.exp(truth.sel(state="ln V").values),
            np.exp(truth.sel(state="ln theta").values),
            color=INK,
            lw=0.6,
            ls=":",
            label="truth",
            zorder=4,
        )
    _limits(axes, flat_v, np.exp(flat_theta), logarithmic=True)
    axes.set_yscale("log")
    axes.set_ylabel("state θ (s)")


def _handles(*panels: Axes) -> list[Artist]:
    """Return one legend entry per label."""
    known: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            known.setdefault(label, handle)
    return list(known.values())


def _limits(
    axes: Axes, ln_v: np.ndarray, other: np.ndarray, *, logarithmic: bool = False
) -> None:
    """Frame what the fault visits, not where the steady state goes."""
    low, high = np.quantile(ln_v, [0.001, 0.999])
    rest = 0.06 * (high - low) + 1e-6
    axes.set_xlim(np.exp(low - rest), np.exp(high + rest))
    a, b = np.quantile(np.log(other) if logarithmic else other, [0.001, 0.999])
    edge = 0.08 * (b - a) + 1e-12
    span = (a - edge, b + edge)
    axes.set_ylim(*(np.exp(span) if logarithmic else span))
