"""The command: it answers at once, it teaches, and it fails in one line."""

import os
import signal
import subprocess
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

import slipstate
from slipstate.cli.app import Verbs, app
from slipstate.ground.errors import (
    CheckpointError,
    InputError,
    OutputError,
    RecordError,
)

HEAVY = ("jax", "numpy", "pandas", "xarray", "matplotlib", "scipy", "equinox", "h5py")


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "slipstate", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_teaches(flag):
    done = run(flag, COLUMNS="100")
    assert done.returncode == 0
    assert done.stderr == ""
    for words in ("slipstate watch", "--out", "--resume", "report.html", "scorecard"):
        assert words in done.stdout
    assert done.stdout.count("  slipstate watch") == 3
    assert "doctor" in done.stdout


def test_no_argument_shows_the_help():
    assert "Examples" in run().stdout + run().stderr


def test_the_version():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"slipstate {slipstate.__version__}\n")


def test_an_unknown_verb_is_a_usage_error():
    done = run("forecast")
    assert done.returncode == 2
    assert "forecast" in done.stderr


def test_the_help_comes_within_a_second():
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        run("--help")
        spent.append(time.perf_counter() - start)
    assert min(spent) < 1.0


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom slipstate.cli.app import app\n"
        "app(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def failing(error):
    broken = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)

    @broken.command()
    def fail():
        raise error

    @broken.command()
    def other():
        pass

    return CliRunner().invoke(broken, ["fail"])


@pytest.mark.parametrize(
    "error",
    [
        RecordError("a.csv", "a number", "`x`", "Correct it.", line=3),
        InputError("`dt` must be positive [s]; got -1.\nPass seconds."),
        OutputError("out: expected to write; found `No space left on device`."),
        CheckpointError("out: expected the same data; found other."),
    ],
)
def test_what_is_raised_on_purpose_becomes_one_line(error):
    result = failing(error)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == f"error: {' '.join(str(error).split())}\n"


def test_an_interruption_says_how_to_go_on():
    result = failing(KeyboardInterrupt())
    assert result.exit_code == 130
    assert "--resume" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_unexpected_keeps_its_traceback():
    result = failing(ZeroDivisionError("a bug"))
    assert isinstance(result.exception, ZeroDivisionError)
    assert result.exc_info is not None
    assert result.exc_info[2] is not None


SCRIPT = """
import signal, sys, time, typer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from slipstate.cli.app import Verbs
app = typer.Typer(cls=Verbs, pretty_exceptions_enable=False)
@app.command()
def wait():
    print("ready", flush=True)
    time.sleep(60)
@app.command()
def bug():
    raise ZeroDivisionError("a bug")
app([sys.argv[1]], prog_name="x")
"""


def test_control_c_ends_with_130():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--resume" in said
    assert "Traceback" not in said


def test_a_bug_shows_where_it_is():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "bug"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError: a bug" in done.stderr


def test_every_verb_says_what_it_does():
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
