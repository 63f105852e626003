"""`slipstate fit`: a file in, a page and three tables out; or one clear line."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from slipstate.cli.app import app

FILES = ["fit.nc", "models.csv", "parameters.csv", "report.html"]


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    """Counts of two kinds of years, a few of them missing."""
    rng = np.random.default_rng(11)
    path = tmp_path_factory.mktemp("fit") / "counts.csv"
    rows = ["# station: QUAKES", "time (yr),count (1),depth (km)"]
    for k in range(120):
        if k not in (30, 31, 90):
            rate = 5.0 if (k // 20) % 2 else 16.0
            rows.append(f"{1900 + k},{rng.poisson(rate)},{10 + rng.random()}")
    path.write_text("\n".join(rows) + "\n")
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["fit", *map(str, arguments)])


@pytest.fixture(scope="module")
def done(counts):
    out = counts.parent / "out"
    models = ("--model", "local-level", "--model", "hmm")
    result = run(counts, *models, "--out", out, "--horizon", 12, "--train", 0.829)
    assert result.exit_code == 0, result.output
    return out, result.output


def test_four_files_come_out_and_the_terminal_says_who_won(done):
    out, text = done
    assert sorted(path.name for path in out.iterdir()) == FILES
    models = pd.read_csv(out / "models.csv")
    assert set(models["model"]) == {
        "local-level", "hmm", "persistence", "climatology",
    }  # fmt: skip
    scores = models["log_score_nats"].to_numpy()
    assert (np.diff(scores) >= 0).all()
    assert len(set(models["scored"])) == 1
    words = " ".join(text.split())
    assert f"{models['model'][0]} predicts the held-out part best" in words
    assert "report.html" in text


def test_the_numbers_can_be_opened(done):
    out, _ = done
    fit = xr.load_dataset(out / "fit.nc")
    assert fit.sizes["forecast_time"] == 12
    assert fit.sizes["time"] == 120  # with rows for what is missing
    for name, variable in fit.data_vars.items():
        assert variable.attrs["units"], name
        assert variable.attrs["long_name"], name
    assert fit.attrs["Conventions"] == "CF-1.11"
    best = fit.sel(model=fit.attrs["best"])
    steps = np.diff(fit["time"].values.astype("datetime64[Y]").astype(int))
    assert (steps == 1).all()
    assert str(fit["forecast_time"].values[0])[:4] == "2020"
    assert (np.diff(best["forecast"].values, axis=1) >= 0).all()
    assert np.isnan(best["innovation"].values[30])
    assert np.isfinite(best["smoothed"].values).all()
    sums = fit["mode_probability"].sel(model="hmm").sum("mode")
    assert np.allclose(sums, 1.0)
    # the table of scores is the mean of what the dataset holds
    held = ~fit["training"].values & np.isfinite(fit["observed"].values)
    models = pd.read_csv(out / "models.csv").set_index("model")
    mean = -float(best["log_density"].values[held].mean())
    assert np.isclose(mean, models.loc[fit.attrs["best"], "log_score_nats"])


def test_parameters_have_units_and_errors(done):
    out, _ = done
    table = pd.read_csv(out / "parameters.csv")
    level = table[table["model"] == "local-level"]
    assert list(level["unit"].astype(str)) == ["1", "1/sqrt(year)"]
    assert (table["standard_error"].to_numpy(float) > 0).all()
    rates = table[table["parameter"].str.startswith("rate in mode")]
    for value, error, true in zip(rates["value"], rates["standard_error"], (5, 16)):
        assert abs(value - true) < 3 * error


def test_the_page_is_one_file_that_loads_nothing(done):
    out, _ = done
    page = (out / "report.html").read_text()
    assert "<script" not in page
    for link in re.findall(r"(?:src|href)=\"([^\"]+)\"", page):
        assert link.startswith(("#", "data:")), link[:80]
    ids = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    for words in ("QUAKES count", "local-level", "hmm", "persistence", "Innovations of",
                  "Modes of hmm", "Standard error", "Log score"):  # fmt: skip
        assert words in page
    drawn = re.sub(r"base64,[^\"]*", "", page)
    assert "NaN" not in drawn
    assert ">nan<" not in drawn


def test_an_earlier_fit_is_replaced_and_other_files_are_not(done, counts, tmp_path):
    from slipstate.fit.output import prepare_fit_folder

    assert prepare_fit_folder(done[0]) == done[0]
    (tmp_path / "thesis.tex").write_text("mine")
    result = run(counts, "--out", tmp_path)
    assert result.exit_code == 2
    assert "thesis.tex" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "arima"), "`model` must be one of local-level, trend"),
        (("--column", "up"), "`column` must be one of count, depth; got up"),
        (("--train", "0.05"), "must leave 20 observed samples to fit"),
        (("--horizon", "0"), "`horizon` must be at least 1 step"),
        (("--model", "trend-seasonal"), "cannot be fitted"),
    ],
)
def test_bad_input_is_one_line_and_status_two(counts, tmp_path, arguments, words):
    result = run(counts, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    lines = result.output.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert words in lines[0]
    assert not list((tmp_path / "out").glob("*.html"))


def test_a_file_that_is_no_record_is_named(tmp_path):
    path = tmp_path / "prose.csv"
    path.write_text("It was a dark and stormy night.\n")
    result = run(path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "prose.csv" in result.output
    assert not (tmp_path / "out").exists()


def test_the_help_teaches():
    text = CliRunner().invoke(app, ["fit", "--help"], env={"COLUMNS": "100"}).output
    for words in ("slipstate fit ALBH", "--train", "trend-seasonal", "models.csv"):
        assert words in text
