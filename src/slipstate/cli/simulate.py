"""`slipstate simulate`: make data whose truth is known."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipstate.cli.simulate_fault import HELP as FAULT_HELP, simulate_fault

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from slipstate.earth import LimitCycle, SpringSlider

app = typer.Typer(
    help="Make data whose truth is known: simulated faults.", no_args_is_help=True
)

SLIDER_HELP = """
Simulate a spring-slider with rate-and-state friction, on its limit cycle.

Prints recurrence, peak slip rate and stress drop, and writes ln V, ln theta, stress and
slip as netCDF, sampled densely where the fault is fast. Each law has a fault of its
own; any of its parameters can be changed:

  ageing   earthquakes every 44 years, 1.3 m/s (heals at rest)

  slip     earthquakes every 38 years, 1.2 m/s (heals only by slip)

  cutoff   slow slip every 2.7 years, 8e-7 m/s (strengthens above 1e-7 m/s)

  viscous  slow slip every 2.6 years, 4e-7 m/s (ageing law, strong damping)

Examples:
  slipstate simulate slider --law ageing --cycles 5 --out run.nc

  slipstate simulate slider --law cutoff --k 1e6 --out slow.nc
"""


class Law(StrEnum):
    """The state laws there are to choose from."""

    ageing = "ageing"
    slip = "slip"
    cutoff = "cutoff"
    viscous = "viscous"


@app.callback()
def simulate() -> None:
    """Make data whose truth is known: simulated faults."""


app.command("fault", help=FAULT_HELP)(simulate_fault)


@app.command("slider", help=SLIDER_HELP)
def simulate_slider(
    law: Annotated[
        Law, typer.Option(help="How the state of the fault evolves.")
    ] = Law.ageing,
    cycles: Annotated[
        int, typer.Option(min=1, help="How many cycles to simulate.")
    ] = 3,
    out: Annotated[Path, typer.Option(help="The netCDF file to write.")] = Path(
        "slider.nc"
    ),
    samples: Annotated[
        int, typer.Option(min=10, help="Samples per cycle, about half near events.")
    ] = 1000,
    a: Annotated[float | None, typer.Option(help="Direct effect.")] = None,
    b: Annotated[float | None, typer.Option(help="Evolution effect.")] = None,
    dc: Annotated[
        float | None, typer.Option(help="Slip over which the state evolves, in m.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Effective normal stress, in Pa.")
    ] = None,
    k: Annotated[
        float | None, typer.Option(help="Stiffness of the spring, in Pa/m.")
    ] = None,
    vpl: Annotated[
        float | None, typer.Option(help="Speed of the plate, in m/s.")
    ] = None,
    eta: Annotated[
        float | None, typer.Option(help="Radiation damping, in Pa s/m.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Slip rate above which an event is counted, in m/s; unless given 1e-3 "
            "for earthquakes and ten times --vpl for slow slip."
        ),
    ] = None,
    rtol: Annotated[
        float, typer.Option(help="Tolerance of the integrator, per step.")
    ] = 1e-10,
) -> None:
    """Simulate a spring-slider on its limit cycle and write it as netCDF.

    Args:
        law: How the state evolves.
        cycles: How many cycles.
        out: The file to write, whole or not at all.
        samples: Samples per cycle.
        a: Direct effect [-].
        b: Evolution effect [-].
        dc: Slip distance over which the state evolves [m].
        sigma: Effective normal stress [Pa].
        k: Stiffness [Pa/m].
        vpl: Plate speed [m/s].
        eta: Radiation damping [Pa s/m].
        threshold: Slip rate above which an event is counted [m/s].
        rtol: Tolerance of the integrator.

    Raises:
        InputError: A parameter is impossible, or the slider creeps.
        OutputError: The file cannot be written.
    """
    from slipstate.cli.process import begin

    begin()
    from slipstate.earth import CycleOutcome
    from slipstate.ground.errors import InputError
    from slipstate.ground.files import replace_file
    from slipstate.records import netcdf_bytes

    slider = _slider(law, a=a, b=b, dc=dc, sigma=sigma, k=k, vpl=vpl, eta=eta)
    fast = law in (Law.ageing, Law.slip)
    count_from = threshold or (1e-3 if fast else 10.0 * float(slider.Vpl))
    cycle = slider.limit_cycle(rtol=rtol, threshold=count_from)
    if not bool(cycle.outcome == CycleOutcome.successful):
        raise InputError(_message(slider, cycle))
    run = _run(slider, cycle, law.value, cycles, samples, rtol)
    replace_file(out, netcdf_bytes(run))
    for line in _summary(slider, cycle, count_from):
        typer.echo(line)
    typer.echo(f"{out}: {cycles} cycles, {run.sizes['time']} samples")


def _slider(
    law: Law,
    *,
    a: float | None,
    b: float | None,
    dc: float | None,
    sigma: float | None,
    k: float | None,
    vpl: float | None,
    eta: float | None,
) -> "SpringSlider":
    from slipstate.earth import AgeingLaw, CutoffLaw, SlipLaw, SpringSlider
    from slipstate.earth.slider import RADIATION_DAMPING

    slow = law in (Law.cutoff, Law.viscous)
    laws = {Law.slip: SlipLaw(), Law.cutoff: CutoffLaw(1e-7)}
    springs = {Law.cutoff: 1.25e6, Law.viscous: 1.5e6}
    damping = 1e11 if law is Law.viscous else RADIATION_DAMPING

    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    return SpringSlider(
        a=given(a, 0.010),
        b=given(b, 0.015),
        Dc=given(dc, 4e-3 if slow else 1e-2),
        sigma=given(sigma, 2e6 if slow else 50e6),
        k=given(k, springs.get(law, 5e6)),
        Vpl=given(vpl, 1e-9),
        eta=given(eta, damping),
        law=laws.get(law, AgeingLaw()),
    )


def _message(slider: "SpringSlider", cycle: "LimitCycle") -> str:
    """Return what to do where there is no limit cycle."""
    from slipstate.earth import CycleOutcome

    k, critical = float(slider.k), float(slider.critical_stiffness())
    if bool(cycle.outcome == CycleOutcome.creeps):
        return (
            f"`--k` must lie below the critical stiffness {critical:.5g} Pa/m for the "
            f"slider to slip in events; got {k:.5g}, with which it creeps. Lower --k."
        )
    return (
        f"`--k` {k:.5g} Pa/m: the recurrence did not stand still. Raise --rtol, or "
        f"move --k away from the critical stiffness {critical:.5g} Pa/m."
    )


def _run(
    slider: "SpringSlider",
    cycle: "LimitCycle",
    law: str,
    cycles: int,
    samples: int,
    rtol: float,
) -> "xr.Dataset":
    import numpy as np
    import xarray as xr

    from slipstate.records import history_line

    times = _times(float(cycle.recurrence), float(cycle.time_to_peak), cycles, samples)
    run = slider.simulate(times, cycle.onset, rtol=rtol)

    def along(values: object, units: str, name: str) -> tuple:
        return "time", np.asarray(values), {"units": units, "long_name": name}

    numbers = ("a", "b", "Dc", "sigma", "k", "Vpl", "eta", "f0", "V0")
    attributes = {name: float(getattr(slider, name)) for name in numbers}
    return xr.Dataset(
        {
            "ln_speed": along(run.ln_speed, "1", "ln V, V in m/s"),
            "ln_state": along(run.ln_state, "1", "ln theta, theta in s"),
            "stress": along(run.stress, "Pa", "spring stress"),
            "slip": along(run.slip, "m", "slip since the first sample"),
        },
        {"time": ("time", times, {"units": "s", "long_name": "time since an onset"})},
        {
            "Conventions": "CF-1.11",
            "title": f"Spring-slider, {law} law",
            "history": history_line(f"simulated by slipstate, rtol {rtol:g}"),
            "recurrence_s": float(cycle.recurrence),
            "peak_rate_m_s": float(cycle.peak_rate),
            "stress_drop_Pa": float(cycle.stress_drop),
        }
        | attributes,
    )


def _times(
    recurrence: float, to_peak: float, cycles: int, samples: int
) -> "np.ndarray":
    """Return even times, and times that close in on each peak by equal ratios."""
    import numpy as np

    even = np.linspace(0.0, recurrence, samples // 2, endpoint=False)
    near = recurrence * np.geomspace(1e-9, 0.5, samples // 4)
    one = np.concatenate([even, to_peak - near, [to_peak], to_peak + near])
    one = np.mod(one, recurrence)
    starts = recurrence * np.arange(cycles)
    return np.unique((starts[:, None] + one[None, :]).ravel())


def _summary(
    slider: "SpringSlider", cycle: "LimitCycle", threshold: float
) -> list[str]:
    year = 365.25 * 86_400.0
    ratio = float(slider.k / slider.critical_stiffness())
    seconds = float(cycle.recurrence)
    lines = [
        f"recurrence    {seconds:.8g} s ({seconds / year:.4f} yr)",
        f"peak rate     {float(cycle.peak_rate):.7g} m/s",
        f"stress drop   {float(cycle.stress_drop) / 1e6:.7g} MPa",
        f"slip a cycle  {float(cycle.slip):.7g} m",
        f"stiffness     {ratio:.3g} of the critical one",
    ]
    if float(cycle.event_duration) > 0.0:
        lines.insert(
            3,
            f"above {threshold:g} m/s: {float(cycle.event_duration):.6g} s, "
            f"{float(cycle.event_drop) / 1e6:.7g} MPa, "
            f"{float(cycle.event_slip):.6g} m",
        )
    return lines
