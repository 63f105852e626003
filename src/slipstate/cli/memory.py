"""`slipstate memory DATA`: compress a record and say what the compression loses."""

import enum
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from slipstate.cli.process import begin
from slipstate.ground.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from slipstate.memory import LagMemory


class BasisName(enum.StrEnum):
    """Bases the command knows; the library has more."""

    legendre = "legendre"
    laguerre = "laguerre"
    chebyshev = "chebyshev"
    fourier = "fourier"
    haar = "haar"
    bspline = "bspline"


class ClockName(enum.StrEnum):
    """Clocks the command knows; the library has more."""

    scale = "scale"
    exponential = "exponential"
    power = "power"
    log = "log"
    window = "window"


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


def memory(
    data: Annotated[Path, typer.Argument(help="A record, or a MiniSEED waveform.")],
    basis: Annotated[BasisName, typer.Option(help="Functions of the past.")] = (
        BasisName.legendre
    ),
    modes: Annotated[int, typer.Option(help="Number of functions.")] = 64,
    clock: Annotated[ClockName, typer.Option(help="How old the past looks.")] = (
        ClockName.scale
    ),
    column: Annotated[
        str | None, typer.Option(help="Component or channel; the first if not given.")
    ] = None,
    length: Annotated[
        float | None,
        typer.Option(help="tau, knee or window, in days (s for waveforms); power: g."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Where to draw a picture.")] = None,
) -> None:
    """Compress one column into MODES numbers, reconstruct it, and compare.

    Samples are joined by straight lines, so gaps are bridged. The error is stated by
    the memory itself (its certificate, without the data) and measured on the data.

    Args:
        data: A record, or a MiniSEED waveform (needs the extra `seismic`).
        basis: Functions of the past.
        modes: Number of functions.
        clock: How old the past looks.
        column: Component or channel; the first if None.
        length: tau, knee or window [days; s for waveforms], or the power.
        plot: Where to draw a picture.
    """
    begin()
    series = read_column(data, column)
    chosen = build_memory(basis, clock, modes, length, float(series.times[-1]))
    report(chosen, series, plot)


def read_column(data: Path, column: str | None) -> Series:
    """Read one column of a record or one channel of a waveform.

    Args:
        data: The file.
        column: Component or channel, or None for the first.

    Returns:
        Its observed samples.

    Raises:
        InputError: the file, the column or the package that reads it is missing.
    """
    if not data.exists():
        raise InputError(f"`data` must be a file; {data} does not exist.")
    if data.suffix.lower() in {".mseed", ".miniseed", ".sac"}:
        return _read_waveform(data, column)
    return _read_record(data, column)


def build_memory(
    basis: BasisName, clock: ClockName, modes: int, length: float | None, span: float
) -> "LagMemory":
    """Turn the words of the command line into a memory.

    Args:
        basis: Name of the basis.
        clock: Name of the clock.
        modes: Number of functions.
        length: tau, knee, window or power; a third of the record, or 2, if None.
        span: Length of the record.

    Returns:
        The memory, with a linear hold.
    """
    from slipstate import memory as m

    third = span / 3.0 if length is None else length
    bases: dict[BasisName, Callable[[int], m.AbstractBasis]] = {
        BasisName.legendre: m.Legendre,
        BasisName.laguerre: m.Laguerre,
        BasisName.chebyshev: m.ChebyshevT,
        BasisName.fourier: m.Fourier,
        BasisName.haar: m.Haar,
        BasisName.bspline: m.BSpline,
    }
    clocks: dict[ClockName, Callable[[], m.AbstractClock]] = {
        ClockName.scale: m.ScaleClock,
        ClockName.exponential: lambda: m.ExponentialClock(third),
        ClockName.power: lambda: m.PowerClock(2.0 if length is None else length),
        ClockName.log: lambda: m.LogClock(third),
        ClockName.window: lambda: m.WindowClock(third),
    }
    return m.LagMemory(bases[basis](modes), clocks[clock](), m.LinearHold())


def report(memory: "LagMemory", series: Series, plot: Path | None) -> None:
    """Run the memory, print what it kept and lost, and draw it.

    Args:
        memory: The memory.
        series: The column.
        plot: Where to draw, or None.
    """
    import numpy as np

    # the memory starts at zero; a constant is free to remember, so take it off
    level = float(np.mean(series.values))
    states = memory.scan(series.values[:, None] - level, series.times)
    rebuilt = np.asarray(memory.reconstruct(states.last, series.times))[:, 0] + level
    known = np.isfinite(rebuilt)
    error = rebuilt - series.values
    stated = float(memory.error(states.last)[0])
    measured = float(np.sqrt(np.mean(error[known] ** 2)))
    # the measure of the memory, over the cells between samples
    mass = memory.basis.mass(memory.clock.lag(states.cells.edges, states.last.time))
    weights = -np.diff(np.asarray(mass))[: len(states)]
    middle = 0.5 * (error[1:] ** 2 + error[:-1] ** 2)
    weighted = float(np.sqrt(np.nansum(weights * middle) / np.sum(weights)))
    kind = "exact" if memory.closed else "upper bound"
    spread = float(np.std(series.values))
    unit = series.unit
    typer.echo(f"{series.name}: {len(series.values)} samples over ", nl=False)
    typer.echo(f"{series.times[-1]:.6g} {series.time_unit}, sd {spread:.4g} {unit}")
    typer.echo(
        f"modes                 {memory.basis.modes}  (1 number per "
        f"{len(series.values) / memory.basis.modes:.3g} samples)"
    )
    typer.echo(f"error by certificate  {stated:.4g} {unit}  ({kind}, weighted)")
    typer.echo(f"error measured        {weighted:.4g} {unit}  (at samples, weighted)")
    typer.echo(f"                      {measured:.4g} {unit}  (at samples, unweighted)")
    if plot is not None:
        _draw(series, rebuilt, error, stated, plot)
        typer.echo(f"drawn to              {plot}")


def _draw(
    series: Series,
    rebuilt: "np.ndarray",
    error: "np.ndarray",
    stated: float,
    plot: Path,
) -> None:
    """Draw original, reconstruction and error over age."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(9, 6), sharex=True, height_ratios=[2, 1], layout="constrained"
    )
    age = series.times[-1] - series.times
    top.plot(age, series.values, ".", ms=2, color="0.6", label="observed")
    top.plot(age, rebuilt, lw=1.2, color="C3", label="remembered")
    top.set(ylabel=f"value [{series.unit}]", title=series.name)
    top.legend(loc="best", frameon=False)
    bottom.plot(age, error, lw=0.6, color="C0", label="error")
    bottom.axhspan(-stated, stated, color="C1", alpha=0.2, label="certificate (rms)")
    bottom.set(xlabel=f"age [{series.time_unit}]", ylabel=f"error [{series.unit}]")
    bottom.invert_xaxis()
    bottom.legend(loc="best", frameon=False)
    figure.savefig(plot, dpi=150)
    plt.close(figure)


def _read_record(data: Path, column: str | None) -> Series:
    import numpy as np

    from slipstate.records import read_record

    record = read_record(data)
    names = [str(name) for name in record["component"].values]
    chosen = _choose(column, names, data)
    part = record.sel(component=chosen)
    seen = np.asarray(part["mask"].values, bool)
    if int(seen.sum()) < 2:
        raise InputError(
            f"`column` {chosen} of {data} has fewer than 2 observed samples."
        )
    stamps = part["time"].values[seen]
    times = (stamps - stamps[0]) / np.timedelta64(1, "D")
    unit = str(record["component_units"].sel(component=chosen).values)
    station = str(record["station"].values) if "station" in record.coords else data.name
    values = np.asarray(part["value"].values, float)[seen]
    return Series(times, values, unit, "days", f"{station} {chosen}")


def _read_waveform(data: Path, column: str | None) -> Series:
    import importlib

    import numpy as np

    try:
        obspy = importlib.import_module("obspy")
    except ModuleNotFoundError:
        raise InputError(
            f"Reading the waveform {data} needs obspy, which is not installed. Install "
            "the extra `seismic`: pip install 'slipstate[seismic]'."
        ) from None
    stream = obspy.read(str(data))
    chosen = _choose(column, [trace.stats.channel for trace in stream], data)
    traces = stream.select(channel=chosen).sort(["starttime"])
    start = traces[0].stats.starttime
    times = np.concatenate([tr.times() + (tr.stats.starttime - start) for tr in traces])
    values = np.concatenate([np.asarray(tr.data, float) for tr in traces])
    times, first = np.unique(times, return_index=True)
    return Series(times, values[first], "counts", "s", traces[0].id)


def _choose(column: str | None, names: list[str], data: Path) -> str:
    if column is None:
        return names[0]
    if column not in names:
        raise InputError(
            f"`column` must be one of {', '.join(dict.fromkeys(names))} in {data}; got "
            f"{column}."
        )
    return column
