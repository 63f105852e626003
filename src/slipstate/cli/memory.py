"""`slipstate memory DATA`: compress a record and say what the compression loses."""

import enum
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipstate.cli.compression import Series, compress, describe, draw
from slipstate.cli.process import begin
from slipstate.ground.errors import InputError

if TYPE_CHECKING:
    from slipstate.memory import AbstractBasis, AbstractClock, LagMemory


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


# One source line a paragraph: the help keeps line ends as they stand.
HELP = """
Compress one column of a record into MODES numbers, reconstruct it, and compare.

The past is projected, sample by sample, onto functions of a warped time; samples are \
joined by straight lines, so gaps are bridged. The memory itself states what it has \
lost (its certificate, without the data); then the error is measured on the data.

[bold]Examples[/bold]

  slipstate memory ALBH.pbo.nam08.csv --column east --plot east.png

  slipstate memory ALBH.pbo.nam08.csv --clock exponential --length 365
      [dim]a fading past, one year deep[/dim]

  slipstate memory day.mseed --column LHZ --clock window --length 600
      [dim]the last ten minutes of a waveform[/dim]
"""


def memory(
    data: Annotated[
        Path,
        typer.Argument(
            help="PBO csv, NGL tenv3, netCDF, plain csv with units in its header, or a "
            "miniSEED or SAC waveform (needs `pip install 'slipstate\\[seismic]'`)."
        ),
    ],
    basis: Annotated[
        BasisName, typer.Option(help="Functions in which the past is written.")
    ] = BasisName.legendre,
    modes: Annotated[int, typer.Option(help="How many of them: what is kept.")] = 64,
    clock: Annotated[
        ClockName,
        typer.Option(
            help="How the past counts: all alike (scale), fading (exponential, power), "
            "the early part stretched (log), or only the last stretch (window)."
        ),
    ] = ClockName.scale,
    column: Annotated[
        str | None,
        typer.Option(help="Component or channel.", show_default="the first"),
    ] = None,
    length: Annotated[
        float | None,
        typer.Option(
            help="Memory time of the exponential, log or window clock, in days (in "
            "seconds where samples are less than half an hour apart); the exponent of "
            "the power clock.",
            show_default="a third of the record; exponent 2",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture to draw: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Compress one column into MODES numbers, reconstruct it, and compare.

    Args:
        data: A record or a waveform.
        basis: Functions of the past.
        modes: Number of functions.
        clock: How the past counts.
        column: Component or channel; the first if None.
        length: tau, knee or window [days, or s for fast samples], or the power.
        plot: Where to draw a picture.
    """
    begin()
    if plot is not None:
        check_plot(plot)
    series = read_column(data, column)
    chosen = build_memory(basis, clock, modes, length, float(series.times[-1]))
    found = compress(chosen, series)
    typer.echo(describe(chosen, series, found))
    if plot is not None:
        draw(series, found, plot)
        typer.echo(f"drawn to              {plot}")


def check_plot(plot: Path) -> None:
    """Raise unless a picture can be drawn there, before anything is computed.

    Args:
        plot: Where to draw.

    Raises:
        InputError: another format, or no such folder.
    """
    if plot.suffix.lower() not in {".png", ".svg", ".pdf"}:
        raise InputError(
            f"`plot` must end in .png, .svg or .pdf; got {plot.name}. Pass for "
            f"example `--plot {plot.stem or 'memory'}.png`."
        )
    if not plot.parent.is_dir():
        raise InputError(
            f"`plot` must lie in an existing folder; got {plot}. Create "
            f"{plot.parent} first."
        )


def read_column(data: Path, column: str | None) -> Series:
    """Read one column of a record or one channel of a waveform.

    Args:
        data: The file.
        column: Component or channel, or None for the first.

    Returns:
        Its observed samples.

    Raises:
        InputError: no such column, several stations, or fewer than two samples.
    """
    import numpy as np

    from slipstate.records import read_record

    record = read_record(data)
    if "station" in record.dims:
        raise InputError(
            f"`data` must hold one station; got {record.sizes['station']} in {data}. "
            "Write one with `record.isel(station=0)` and `records.write_record`."
        )
    names = [str(name) for name in record["component"].values]
    chosen = names[0] if column is None else column
    if chosen not in names:
        raise InputError(
            f"`column` must be one of {', '.join(names)} in {data}; got {chosen}."
        )
    part = record.sel(component=chosen)
    seen = np.asarray(part["mask"].values, bool)
    if int(seen.sum()) < 2:
        raise InputError(
            f"`column` {chosen} of {data} must have at least 2 observed samples; got "
            f"{int(seen.sum())}. Choose another of {', '.join(names)}."
        )
    stamps = part["time"].values[seen]
    fast = np.median(np.diff(stamps)) < np.timedelta64(30, "m")
    times = (stamps - stamps[0]) / np.timedelta64(1, "s" if fast else "D")
    unit = str(record["component_units"].sel(component=chosen).values)
    return Series(
        times=times,
        values=np.asarray(part["value"].values, float)[seen],
        unit="" if unit == "1" else unit,
        time_unit="s" if fast else "days",
        name=f"{record['station'].values} {chosen}",
    )


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
    bases: dict[BasisName, Callable[[int], AbstractBasis]] = {
        BasisName.legendre: m.Legendre,
        BasisName.laguerre: m.Laguerre,
        BasisName.chebyshev: m.ChebyshevT,
        BasisName.fourier: m.Fourier,
        BasisName.haar: m.Haar,
        BasisName.bspline: m.BSpline,
    }
    clocks: dict[ClockName, Callable[[], AbstractClock]] = {
        ClockName.scale: m.ScaleClock,
        ClockName.exponential: lambda: m.ExponentialClock(third),
        ClockName.power: lambda: m.PowerClock(2.0 if length is None else length),
        ClockName.log: lambda: m.LogClock(third),
        ClockName.window: lambda: m.WindowClock(third),
    }
    return m.LagMemory(bases[basis](modes), clocks[clock](), m.LinearHold())
