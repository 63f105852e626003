"""The command itself: its verbs, its help, and how it fails.

Nothing heavy is imported here, so that `slipstate --help` answers at once; each verb
imports what it needs when it is called.
"""

import atexit
import contextlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from slipstate import __version__
from slipstate.cli.assimilate import assimilate
from slipstate.cli.doctor import doctor
from slipstate.cli.fit import fit
from slipstate.cli.memory import memory
from slipstate.cli.simulate import app as simulate
from slipstate.cli.watch import watch
from slipstate.ground.errors import SlipstateError

# One source line a paragraph: the help keeps line ends as they stand.
HELP = """
Follow the solid Earth as data arrive: forecast it, notice ruptures, keep score.

[bold]slipstate watch[/bold] reads observations (GNSS positions, a laboratory or a \
simulated series), follows them in arrival order with a state-space model whose parts \
have a physical meaning, says with calibrated uncertainty what comes next, and reports \
ruptures: sudden steps and slow slip. It ends with a scorecard on data it did not \
learn from, against persistence, a trajectory fit and climatology, and says so first \
when it does not beat one of them.

[bold]Examples[/bold]

  slipstate watch
      [dim]no data: a simulated slow-slip fault, observed every ten days[/dim]

  slipstate watch ALBH.pbo.nam08.csv SC02.pbo.nam08.csv --out cascadia
      [dim]two stations that share one slip switch[/dim]

  slipstate watch slip.csv --out lab --resume
      [dim]go on after an interruption; the result is the same, bit for bit[/dim]

[bold]What it reads[/bold]

  PBO csv, NGL tenv3, netCDF, and plain csv with units in its header:
  `date,east (mm),east sd (mm)` or `time (s),tau (MPa)`

[bold]Where the output goes[/bold], the folder given by --out

  [bold]report.html[/bold]  open it first: figures, events, scorecard
  [bold]run.nc[/bold]       forecasts, states, probabilities; xarray opens it
  [bold]events.csv[/bold]   one row a rupture
  [bold]checkpoint/[/bold]  what --resume goes on from
"""

_GO_ON = (
    "interrupted: what is complete is saved; the same command with --resume goes on "
    "from there"
)


_NOTHING = "interrupted: nothing was written"
_WHOLE = {"fit", "memory", "doctor"}  # verbs that write at their end or not at all


class Verbs(TyperGroup):
    """The verbs, and the one place where their failures become one line."""

    # `Any`: the class of contexts is not the same in all versions of typer
    def invoke(self, ctx: Any) -> Any:
        """Run a verb; what slipstate raises on purpose becomes one line, status 2."""
        try:
            return TyperGroup.invoke(self, ctx)
        except SlipstateError as error:
            typer.echo(f"error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            whole = ctx.invoked_subcommand in _WHOLE
            typer.echo(_NOTHING if whole else _GO_ON, err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    name="slipstate",
    cls=Verbs,
    help=HELP,
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is for those who can read it
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"slipstate {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version and stop.",
    ),
) -> None:
    """Options that stand before the verb.

    Args:
        version: Print the version and stop.
    """


def _help(verb: Callable[..., None]) -> str:
    """Return what a verb does; its arguments are taught one by one below it."""
    words = vars(sys.modules[verb.__module__]).get("HELP") or inspect.getdoc(verb) or ""
    return words.split("\nArgs:")[0]


for verb in (watch, fit, assimilate, memory, doctor):
    app.command(help=_help(verb))(verb)
app.add_typer(simulate, name="simulate")


def main() -> None:
    """Run the command with the arguments of the process, then leave at once.

    Taking apart a process that holds compiled programs and figures takes half a
    second; the operating system does the same in no time. What was registered to
    happen at the end happens, and what was printed is written out.
    """
    try:
        app(prog_name="slipstate")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.flush()
        os._exit(code)
