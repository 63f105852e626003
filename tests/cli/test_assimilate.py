"""`slipstate assimilate`: what comes out, what is refused, and going on."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from slipstate.cli.app import app
from slipstate.watch.case_choices import CASES, METHODS

ARGUMENTS = ["assimilate", "--case", "constant_velocity", "--method", "etkf"]
ARGUMENTS += ["--members", "12", "--cycles", "230"]


def call(*arguments):
    return CliRunner().invoke(app, [*ARGUMENTS, *map(str, arguments)])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assimilate") / "run"
    return folder, call("--out", folder)


def test_a_run_leaves_a_page_a_dataset_and_a_table(done):
    folder, result = done
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["checkpoint", "report.html", "run.nc", "scores.csv"]
    with xr.open_dataset(folder / "run.nc") as run:
        assert run.sizes["time"] == 230
        assert run.sizes["rank"] == 13
        assert float(run["rank"].sum()) == (230 - 50) * 4
        assert float(run["rank_y"].sum()) == (230 - 50) * 2
        late = run.isel(time=slice(50, None))
        rmse = float(run["score"].sel(score_name="rmse"))
        np.testing.assert_allclose(rmse, late["error"].mean(), rtol=1e-12)
        # a model that is right and linear: calibrated within the sampling error
        score = dict(zip(run["score_name"].values, run["score"].values))
        assert 0.8 < score["spread_skill"] < 1.2
        apart = abs(score["coverage90"] - score["coverage90_target"])
        assert apart < 0.15  # over seeds its standard deviation is .05
        assert score["rank_p"] > 1e-4
        assert all(run[name].attrs["long_name"] for name in run.data_vars)
    page = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("constant velocity", "Rank", "rank of the truth", "Calibration"):
        assert words in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    text = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert not re.search(r"\bnan\b", text)
    table = (folder / "scores.csv").read_text()
    assert table.startswith("score,value,standard_error\nrmse,")


def test_the_same_again_gives_the_same_and_resuming_repeats_nothing(done, tmp_path):
    folder, _ = done
    other = tmp_path / "run"
    assert call("--out", other).exit_code == 0
    for chunk in (other / "checkpoint").glob("chunk-000002*"):
        chunk.unlink()  # as if it had been killed in its last chunk
    assert call("--out", other, "--resume").exit_code == 0
    with (
        xr.open_dataset(folder / "run.nc") as one,
        xr.open_dataset(other / "run.nc") as two,
    ):
        for name in one.data_vars:
            np.testing.assert_array_equal(one[name], two[name], err_msg=str(name))
    result = call("--out", other, "--resume", "--seed", 2)
    assert result.exit_code == 2
    assert "resume with the same setting `seed`" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--case", "lorenz"], "`--case` must be one of lorenz63_sakov2012"),
        (["--method", "enkff"], "`--method` must be one of bridge"),
        (["--members", 1], "`--members` must be at least 2"),
        (["--cycles", 60], "`--cycles` must be at least 70"),
        (["--seed", -1], "`--seed` must not be negative"),
        (["--case", "lorenz63_noise", "--method", "kalman"], "Kalman"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, arguments, words):
    result = call(*arguments, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.count("\n") == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    result = call("--out", tmp_path)
    assert result.exit_code == 2
    assert "thesis.txt" in result.output


def test_help_names_every_case_and_method():
    text = CliRunner().invoke(app, ["assimilate", "--help"]).output
    words = set(re.findall(r"[\w-]+", text))
    assert set(CASES) <= words
    assert {method.name for method in METHODS} <= words


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_bit_for_bit(done, tmp_path):
    folder, _ = done
    out = tmp_path / "run"
    command = [sys.executable, "-m", "slipstate", *ARGUMENTS, "--out", str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120.0
    while not (out / "checkpoint" / "state.json").exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "run.nc").exists()
    subprocess.run([*command, "--resume"], check=True, capture_output=True, timeout=120)
    with (
        xr.open_dataset(folder / "run.nc") as one,
        xr.open_dataset(out / "run.nc") as two,
    ):
        for name in one.data_vars:
            np.testing.assert_array_equal(one[name], two[name], err_msg=str(name))
