"""`slipstate assimilate`: any benchmark case with any method."""

import time
from pathlib import Path
from typing import Annotated

import typer

# One source line a paragraph: the help keeps line ends as they stand.
HELP = """
Follow a benchmark case with a filter and say whether to believe it.

The case simulates a truth and observes it; the filter follows. The report shows \
truth and ensemble, error against spread, rank histograms, coverage against what is \
right for so many members, and whether innovations are white.

[bold]Examples[/bold]

  slipstate assimilate
      [dim]Lorenz-63 with the Schroedinger-bridge filter[/dim]

  slipstate assimilate --case lorenz96_sakov2008 --method letkf --cycles 2000

  slipstate assimilate --case double_well --method particle --members 200 --out well

  slipstate assimilate --cycles 20000 --resume
      [dim]go on after an interruption; the result is the same, bit for bit[/dim]

[bold]Cases[/bold], named after their papers

  lorenz63_noise lorenz63_sakov2012 lorenz63_wiljes2017 lorenz63_mandel2016
  lorenz63_distance lorenz96_sakov2008 lorenz96_bocquet2013 lorenz96_spantini2019
  lorenz96_bao2024 kuramoto_sivashinsky_bocquet2019 double_well double_well_linear
  constant_velocity slider_twin slider_twin_A slider_twin_low slider_twin_high
  slider_twin_slip_law

[bold]Methods[/bold]

  bridge        Schroedinger bridge       bridge-local  the same, localised
  etkf          ensemble transform        letkf         the same, localised
  enkf          perturbed observations    denkf         deterministic
  enkf-n        finite size               eakf          serial adjustment
  rhf           rank histogram            netf          nonlinear transform
  ienks         iterative smoother        particle      bootstrap particles
  gaussian-sum  Gaussian mixture          3dvar 4dvar   variational
  kalman        exact, linear models      ekf ukf       extended, unscented
  score flow foellmer sinkhorn            generative and transport updates

[bold]What comes out[/bold], in the folder given by --out

  [bold]report.html[/bold]  open it first
  [bold]run.nc[/bold]       every cycle; xarray opens it
  [bold]scores.csv[/bold]   scores with standard errors
  [bold]checkpoint/[/bold]  what --resume goes on from
"""


def assimilate(
    case: Annotated[
        str, typer.Option(help="Benchmark case; names above.")
    ] = "lorenz63_noise",
    method: Annotated[str, typer.Option(help="Filter; names above.")] = "bridge",
    members: Annotated[
        int | None,
        typer.Option(
            help="Size of the ensemble, or draws from a belief that has none.",
            show_default="as in the paper",
        ),
    ] = None,
    cycles: Annotated[int, typer.Option(help="Number of observations.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of truth, noise and ensemble.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path(
        "slipstate-assimilate"
    ),
    resume: Annotated[
        bool, typer.Option(help="Go on where an interrupted run stopped.")
    ] = False,
) -> None:
    """Follow a benchmark case with a filter and say whether to believe it.

    Args:
        case: Name of the case.
        method: Name of the method.
        members: Size of the ensemble; None for that of the paper.
        cycles: Number of observations.
        seed: Seed of truth, noise and ensemble.
        out: Folder of the results.
        resume: Whether to go on where an interrupted run stopped.
    """
    from rich.console import Console

    from slipstate.cli.process import begin

    begin()
    from slipstate.fit.progress import BarProgress
    from slipstate.watch.case_job import run_case
    from slipstate.watch.case_output import prepare_case_folder, write_case

    started = time.monotonic()
    progress = BarProgress(Console(stderr=True))
    folder = prepare_case_folder(out)
    run = run_case(
        folder,
        case=case,
        method=method,
        members=members,
        cycles=cycles,
        seed=seed,
        resume=resume,
        progress=progress,
    )
    with progress.task("writing the report", "page") as advance:
        advance(0, 1)
        from slipstate.report.case_page import scores_shown, write_case_page

        write_case(folder, run=run, report=write_case_page(run))
        advance(1, 1)
    words = Console(highlight=False, soft_wrap=True)
    words.print(str(run.attrs["verdict"]), markup=False)
    table = scores_shown(run)
    width = max(len(row[0]) for row in table.rows)
    for name, value, right in table.rows:
        shown = f"   ({right})" if right else ""
        words.print(f"{name:<{width}}  {value}{shown}", markup=False)
    took = time.monotonic() - started
    words.print(f"{folder / 'report.html'}  ({took:.1f} s)", markup=False)
