"""`slipstate fit FILE`: models of one series, compared on what they did not see."""

import time
from pathlib import Path
from typing import Annotated

import typer

# One source line a paragraph: the help keeps line ends as they stand.
HELP = """
Fit state-space models to one column of a record and say which predicts best.

Each model is fitted to the first part of the column and predicts the rest one \
observation ahead; they are ranked by the log score of these predictions, beside \
persistence and climatology. The report shows the best one: signal, forecast, \
parameters with standard errors, and whether its innovations are white.

[bold]Examples[/bold]

  slipstate fit ALBH.pbo.nam08.csv --column east
      [dim]all models that suit the data; the best by held-out log score[/dim]

  slipstate fit nile.csv --model local-level --model trend --train 0.8

  slipstate fit counts.csv --model hmm --out counts
      [dim]whole numbers without unit are counts: Poisson modes[/dim]

[bold]Models[/bold]

  local-level      a random walk seen through white noise
  trend            a level with a slope, both walking
  trend-seasonal   the same with a year and half a year (of seconds: a day, half a day)
  markov           a trend and first-order Gauss-Markov noise
  markov-seasonal  the same with seasons
  matern           a constant and a smooth process (Matern 3/2)
  switching        a level that drifts in one of two modes
  hmm              a hidden Markov model of two or three modes

[bold]What comes out[/bold], in the folder given by --out

  [bold]report.html[/bold]     open it first
  [bold]fit.nc[/bold]          signal, innovations, forecast quantiles, modes
  [bold]parameters.csv[/bold]  values, standard errors, units
  [bold]models.csv[/bold]      scores, log-likelihood, BIC
"""


def fit(
    data: Annotated[
        Path,
        typer.Argument(
            help="PBO csv, NGL tenv3, netCDF, or plain csv with units in its header."
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Model to fit; may be given several times.",
            show_default="all that suit the data",
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="Column to fit.", show_default="the first"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path(
        "slipstate-fit"
    ),
    train: Annotated[
        float,
        typer.Option(help="Part of the samples to fit to; the rest is scored."),
    ] = 0.7,
    horizon: Annotated[
        int, typer.Option(help="Steps to forecast beyond the last sample.")
    ] = 30,
) -> None:
    """Fit models to one column of a record and say which predicts best.

    Args:
        data: The record.
        model: Names of models; None for all that suit the data.
        column: Column to fit; None for the first.
        out: Folder of the results.
        train: Part of the samples to fit to.
        horizon: Steps to forecast.
    """
    from rich.console import Console

    from slipstate.cli.process import begin

    begin()
    from slipstate.fit.job import fit_models
    from slipstate.fit.output import prepare_fit_folder, write_fit
    from slipstate.fit.progress import BarProgress
    from slipstate.records import read_record

    started = time.monotonic()
    progress = BarProgress(Console(stderr=True))
    record = read_record(data)
    folder = prepare_fit_folder(out)
    found = fit_models(
        record, model, column=column, train=train, horizon=horizon, progress=progress
    )
    with progress.task("writing the report", "page") as advance:
        advance(0, 1)
        from slipstate.report.fit_page import write_fit_page

        page = write_fit_page(found.fit, found.parameters, found.models)
        write_fit(
            folder,
            fit=found.fit,
            parameters=found.parameters,
            models=found.models,
            report=page,
        )
        advance(1, 1)
    words = Console(highlight=False, soft_wrap=True)
    words.print(str(found.fit.attrs["verdict"]), markup=False)
    words.print(_ranking(found.models), markup=False)
    took = time.monotonic() - started
    words.print(f"{folder / 'report.html'}  ({took:.1f} s)", markup=False)


def _ranking(models: object) -> str:
    """Return the table of models for the terminal."""
    import pandas as pd

    assert isinstance(models, pd.DataFrame)
    scored = models.loc[models["log_score_nats"].notna()]
    heads = {
        "model": "model",
        "log_score_nats": "log score",
        "behind_best_nats": "behind",
        "behind_best_standard_error_nats": "+-",
        "nis": "NIS",
        "coverage90": "cover90",
        "bic": "BIC",
    }
    table = scored.loc[:, list(heads)]
    table.columns = list(heads.values())
    form = "{:.3f}".format
    return table.to_string(index=False, na_rep="-", float_format=form)
