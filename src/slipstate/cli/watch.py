"""`slipstate watch`: the main job."""

import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slipstate.fit.progress import Progress
    from slipstate.watch.pipeline import Watched

HELP = """
Follow observations in arrival order, forecast, report ruptures, keep score.

Several stations are watched together: they share one slow-slip switch, step each on \
their own, and their common mode is told from both.

A fault (no file, or a record of slip rate and stress) is followed by a Schroedinger \
bridge; an ensemble Kalman and a particle filter follow the same data for comparison.

Examples:
  slipstate watch

  slipstate watch ALBH.pbo.nam08.csv --out albh

  slipstate watch *.csv --out network --resume

  slipstate watch --method etkf --out etkf
"""

METHODS = ("bridge", "etkf", "particle", "enkf", "denkf", "enkf-n", "netf")
"""Names of `watch.fault_methods`, here so that the help needs no imports."""


def watch(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Observations, one file per station: PBO csv, NGL tenv3, netCDF, or "
            "plain csv with units in its header. None: an embedded simulated fault.",
            show_default="a simulated slow-slip fault",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for report.html, run.nc and events.csv.")
    ] = Path("slipstate-watch"),
    resume: Annotated[
        bool,
        typer.Option(help="Go on where an interrupted run of the same data stopped."),
    ] = False,
    train: Annotated[
        float,
        typer.Option(
            help="Part of each record that may be used to fit; the rest is scored."
        ),
    ] = 0.5,
    method: Annotated[
        str | None,
        typer.Option(
            help="Filter that follows a fault (not GNSS positions): "
            f"{', '.join(METHODS)}.",
            show_default=METHODS[0],
        ),
    ] = None,
) -> None:
    """Follow observations in arrival order, forecast, report ruptures, keep score.

    Args:
        data: Observations, one file per station; None for the embedded fault.
        out: Folder of the results.
        resume: Whether to go on where an interrupted run stopped.
        train: Part of each record that may be used to fit.
        method: Name of the filter that follows a fault; None for the bridge.

    Raises:
        InputError: There is no such filter, or what is watched is no fault.
    """
    from rich.console import Console

    from slipstate.cli.process import begin

    begin()
    from slipstate.fit.progress import BarProgress
    from slipstate.watch.output import write_results

    started = time.monotonic()
    progress = BarProgress(Console(stderr=True))
    library = "matplotlib.backends.backend_svg"
    with ThreadPoolExecutor(max_workers=1) as pool:
        # the drawing library is read beside the computing; nothing else asks for it
        # before it is there, so no module can be met half read
        drawing = pool.submit(importlib.import_module, library)
        found, folder = _watched(data, out, resume, train, method, progress)
        drawing.result()
    from slipstate.report import write_report

    with progress.task("writing the report", "page") as advance:
        advance(0, 1)
        report = write_report(found.run, found.events)
        write_results(folder, run=found.run, events=found.events, report=report)
        advance(1, 1)
    words = Console(highlight=False, soft_wrap=True)
    words.print(str(found.run.attrs["verdict"]))
    words.print(_events(found.events), markup=False)
    took = time.monotonic() - started
    words.print(f"{folder / 'report.html'}  ({took:.1f} s)", markup=False)


def _watched(
    data: list[Path] | None,
    out: Path,
    resume: bool,
    train: float,
    method: str | None,
    progress: "Progress",
) -> "tuple[Watched, Path]":
    """Return the finished run and its folder; arguments as of the verb."""
    from slipstate.cli.process import imported
    from slipstate.ground.errors import InputError
    from slipstate.watch.output import prepare_folder
    from slipstate.watch.pipeline import fault_among, watch_files

    imported()
    fault = fault_among(data) if data else None
    if data and fault is None:
        if method is not None:
            raise InputError(
                f"`--method` chooses how a fault is followed; {data[0]} is no record "
                "of one. Leave it out."
            )
        folder = prepare_folder(out)
        found = watch_files(
            data, folder, resume=resume, progress=progress, train_fraction=train
        )
        return found, folder
    # only here, because the integrators of faults take their time to import
    from slipstate.watch.fault_job import watch_fault, watch_twin
    from slipstate.watch.fault_methods import choose_method

    chosen = choose_method(METHODS[0] if method is None else method)
    folder = prepare_folder(out)
    if not data or fault is None:
        found = watch_twin(folder, resume=resume, progress=progress, chosen=chosen)
    else:
        found = watch_fault(
            fault, data[0], folder, resume=resume, progress=progress, chosen=chosen
        )
    return found, folder


def _events(events: object) -> str:
    """Return a table of the events for the terminal."""
    import pandas as pd

    assert isinstance(events, pd.DataFrame)
    if events.empty:
        return "No event was flagged."
    shown = [c for c in events if str(c).startswith("offset_")][:2]
    table = events[["onset", "type", "duration", "probability", "latency_days", *shown]]
    table = table.assign(onset=[str(onset)[:10] for onset in table["onset"]])
    lines = table.to_string(index=False, na_rep="-", float_format="{:.3g}".format)
    return f"{len(events)} events:\n{lines}"
