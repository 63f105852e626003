"""What cannot be watched ends in one line, status 2, and nothing half-written."""

import errno
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from slipstate.cli.app import app
from slipstate.fit import FolderStore, fingerprint
from slipstate.ground import files

DAYS = pd.date_range("2001-01-01", periods=120).strftime("%Y-%m-%d")
NOISE = np.random.default_rng(111).normal(size=(120, 2))


def csv(path, header="date,east (mm),north (mm)", values=NOISE):
    rows = [",".join([d, *(f"{x:.3f}" for x in v)]) for d, v in zip(DAYS, values)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def refused(tmp_path, *arguments, out=None):
    out = tmp_path / "out" if out is None else out
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    command = ["watch", *map(str, arguments), "--out", str(out)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2, result.output
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    if out.is_dir():
        after = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
        assert after == before
    return lines[0]


def test_a_unit_nobody_knows(tmp_path):
    path = csv(tmp_path / "a.csv", "date,east (furlong),north (mm)")
    line = refused(tmp_path, path)
    assert str(path) in line
    assert "furlong" in line


def test_a_column_without_a_single_number(tmp_path):
    path = csv(tmp_path / "a.csv", values=NOISE * [np.nan, 1.0])
    line = refused(tmp_path, path)
    assert str(path) in line
    assert "east" in line


@pytest.mark.parametrize("size", [20_000_000])
def test_a_header_that_never_ends(tmp_path, size):
    path = tmp_path / "a.csv"
    path.write_bytes(b"x" * size)
    assert str(path) in refused(tmp_path, path)


def test_the_same_station_twice(tmp_path):
    path = csv(tmp_path / "a.csv")
    line = refused(tmp_path, path, path)
    assert "more than once" in line


def test_a_folder_that_holds_the_work_of_others(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    line = refused(tmp_path, csv(tmp_path / "a.csv"), out=out)
    assert "thesis.tex" in line


def test_an_output_folder_that_is_a_file(tmp_path):
    out = tmp_path / "out"
    out.write_text("a file")
    assert str(out) in refused(tmp_path, csv(tmp_path / "a.csv"), out=out)
    assert out.read_text() == "a file"


@pytest.mark.parametrize("share", ["0", "1.5", "-0.2", "nan"])
def test_a_training_part_that_is_no_part(tmp_path, share):
    line = refused(tmp_path, csv(tmp_path / "a.csv"), "--train", share)
    assert "0.05 and 0.95" in line


def test_a_checkpoint_of_other_data(tmp_path):
    one, other = csv(tmp_path / "a.csv"), csv(tmp_path / "b.csv", values=2 * NOISE)
    out = tmp_path / "out"
    store = FolderStore(out / "checkpoint", fingerprint([one], {}))
    store.start()
    store.put("estimate", {"theta": np.zeros(3)})
    line = refused(tmp_path, other, "--resume", out=out)
    assert "expected to resume with the same" in line


def test_a_folder_that_cannot_be_made(tmp_path):
    out = Path("/proc/slipstate/out")
    assert "expected to write" in refused(tmp_path, csv(tmp_path / "a.csv"), out=out)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = csv(tmp_path / "a.csv")
    opened = Path.open

    def locked(self, *arguments, **options):
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", locked)
    line = refused(tmp_path, path)
    assert str(path) in line
    assert "ermission" in line


@pytest.mark.slow
def test_a_disk_that_fills_up_at_the_end(tmp_path, monkeypatch):
    path, out = csv(tmp_path / "a.csv"), tmp_path / "out"
    stage = files._stage

    def full(place, data):
        if place.name == "report.html":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
        return stage(place, data)

    monkeypatch.setattr(files, "_stage", full)
    command = ["watch", str(path), "--out", str(out)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 2, result.output
    error = result.stderr.strip().splitlines()[-1]
    assert "No space left" in error
    assert "Nothing was replaced" in error
    # not one of the three results without the others, and no temporary file
    assert [p.name for p in out.iterdir()] == ["checkpoint"]
