"""The three files of a run: complete or untouched, and nothing of others is lost."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from slipstate.fit.checkpoint import ChunkLog
from slipstate.ground.errors import InputError, OutputError
from slipstate.watch.output import (
    EVENT_COLUMNS,
    events_csv,
    prepare_folder,
    read_events,
    write_results,
)

PAGE = '<html><meta name="generator" content="slipstate 0.1.0"></html>'


def run(scale=1.0):
    days = np.arange("2010-04-01", "2010-04-11", dtype="datetime64[D]")
    return xr.Dataset(
        {
            "observed": (
                ("time", "station", "component"),
                scale * np.arange(30.0).reshape(10, 1, 3),
                {"units": "mm", "long_name": "observation"},
            ),
            "training": (
                "time",
                np.arange(10) < 4,
                {"units": "1", "long_name": "used to fit"},
            ),
        },
        {
            "time": days.astype("datetime64[ns]"),
            "station": ["P496"],
            "component": ["east", "north", "up"],
        },
        {
            "title": "P496",
            "kind": "gnss",
            "history": "now: made up",
            "Conventions": "CF-1.11",
            "slipstate_version": "0.1.0",
        },
    )


def events(count=2):
    onset = pd.to_datetime(["2010-04-05 00:00:00", "2010-04-08 12:30:00"][:count])
    return pd.DataFrame(
        {
            "stations": ["P496"] * count,
            "onset": onset,
            "onset_lo": onset - pd.Timedelta("1D"),
            "onset_hi": onset + pd.Timedelta("1D"),
            "type": ["step", "slow slip"][:count],
            "offset_north_mm": [-180.5, 0.1 + 0.2][:count],
            "sigma_north_mm": [1.5, 0.5][:count],
            "duration": [0.0, 20.0][:count],
            "probability": [1.0, 0.75][:count],
            "latency_days": [1.0, np.nan][:count],
        }
    )


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_three_files_hold_what_was_given(tmp_path):
    folder = prepare_folder(tmp_path / "a" / "out")
    write_results(folder, run=run(), events=events(), report=PAGE)
    assert set(contents(folder)) == {
        folder.__class__(name) for name in ("run.nc", "events.csv", "report.html")
    }
    with xr.open_dataset(folder / "run.nc", engine="h5netcdf") as written:
        xr.testing.assert_identical(written.load().drop_encoding(), run())
    assert (folder / "report.html").read_text() == PAGE
    table = read_events(folder / "events.csv")
    given = events()[list(table.columns)]
    pd.testing.assert_frame_equal(table, pd.DataFrame(given), check_dtype=False)


def test_the_table_of_events_is_iso_8601_and_in_order():
    lines = events_csv(events()).splitlines()
    assert lines[0] == (
        "onset,onset_lo,onset_hi,type,offset_north_mm,sigma_north_mm,duration,"
        "probability,latency_days,stations"
    )
    assert lines[1] == (
        "2010-04-05T00:00:00Z,2010-04-04T00:00:00Z,2010-04-06T00:00:00Z,step,"
        "-180.5,1.5,0.0,1.0,1.0,P496"
    )
    assert lines[2].startswith("2010-04-08T12:30:00Z,")
    assert ",0.30000000000000004," in lines[2]


def test_onsets_between_seconds_keep_their_microseconds(tmp_path):
    table = events(1)
    table["onset"] += pd.Timedelta("1500us")
    assert events_csv(table).splitlines()[1].startswith("2010-04-05T00:00:00.001500Z,")
    (tmp_path / "events.csv").write_text(events_csv(table))
    again = read_events(tmp_path / "events.csv")
    np.testing.assert_array_equal(again["onset"], table["onset"])


def test_no_event_is_a_header_alone(tmp_path):
    text = events_csv(events(0))
    assert text == ",".join([*EVENT_COLUMNS[:4], "offset_north_mm", ""]) + (
        "sigma_north_mm,duration,probability,latency_days,stations\n"
    )
    path = tmp_path / "events.csv"
    path.write_text(text)
    assert len(read_events(path)) == 0


def test_a_second_run_replaces_the_first(tmp_path):
    folder = prepare_folder(tmp_path)
    log = ChunkLog(folder / "checkpoint", {})
    log.start()
    log.append({"x": np.ones(2)}, {})
    write_results(folder, run=run(), events=events(), report=PAGE)
    again = prepare_folder(tmp_path)
    write_results(again, run=run(2.0), events=events(1), report=PAGE)
    assert len(read_events(folder / "events.csv")) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("thesis.tex", b"years of work"),
        ("events.csv", b"date,what\n2010-04-05,mine\n"),
        ("report.html", b"<html>mine</html>"),
        ("run.nc", b"mine"),
        ("checkpoint", b"a file"),
        ("checkpoint/mine.txt", b"a file in a folder"),
        ("data/x.csv", b"a folder"),
    ],
)
def test_a_folder_with_anything_else_is_left_alone(tmp_path, name, content):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="slipstate did not write") as caught:
        prepare_folder(tmp_path)
    assert name.split("/")[0] in str(caught.value)
    assert "--out" in str(caught.value)
    assert contents(tmp_path) == before


def test_a_foreign_netcdf_named_run_is_left_alone(tmp_path):
    run().drop_attrs().to_netcdf(tmp_path / "run.nc", engine="h5netcdf")
    with pytest.raises(OutputError, match="did not write"):
        prepare_folder(tmp_path)


def test_hidden_files_are_no_reason_to_refuse(tmp_path):
    (tmp_path / ".DS_Store").touch()
    (tmp_path / ".run.nc.abc.part").write_bytes(b"left by a kill")
    prepare_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".DS_Store"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="File exists"):
        prepare_folder(tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_locked_folder_is_refused_before_any_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        prepare_folder(tmp_path)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_a_full_disk_leaves_the_earlier_run_whole(tmp_path, monkeypatch, fail_at):
    folder = prepare_folder(tmp_path)
    write_results(folder, run=run(), events=events(), report=PAGE)
    before = contents(folder)
    calls, real = [0], os.fsync

    def full(descriptor):
        if calls[0] == fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        calls[0] += 1
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_results(folder, run=run(2.0), events=events(1), report=PAGE + PAGE)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.assign(x=("time", np.zeros(10))), "'units'"),
        (lambda r: r.assign(x=("time", np.zeros(10), {"units": "1"})), "'long_name'"),
        (lambda r: r.assign_attrs(history=""), "'history'"),
        (lambda r: r.drop_attrs(deep=False), "'Conventions'"),
    ],
)
def test_a_run_must_say_what_it_holds(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        write_results(tmp_path, run=change(run()), events=events(), report=PAGE)
    assert contents(tmp_path) == {}


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="probability"):
        events_csv(events().drop(columns="probability"))


SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np, pandas as pd, xarray as xr
from slipstate.ground.errors import OutputError
from slipstate.watch.output import EVENT_COLUMNS, write_results
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
noise = np.random.default_rng(1).normal(size=50_000)
run = xr.Dataset({"x": ("time", noise, {"units": "1", "long_name": "noise"})})
run.attrs = dict.fromkeys(
    ["Conventions", "title", "kind", "history", "slipstate_version"], "x"
)
try:
    empty = pd.DataFrame(columns=list(EVENT_COLUMNS))
    write_results(Path(sys.argv[1]), run=run, events=empty, report="page")
except OutputError as error:
    print(error)
"""


def test_a_disk_that_really_ends_leaves_nothing(tmp_path):
    assert resource.RLIMIT_FSIZE
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "run.nc" in done.stdout
    assert "File too large" in done.stdout
    assert done.stderr == ""
    assert contents(tmp_path) == {}
