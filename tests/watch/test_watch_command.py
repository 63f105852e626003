"""The command as a user meets it: killed and resumed, and given what it cannot read."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

HEADER = """PBO Station Position Time Series.
Format Version, 1.2.0
Reference Frame, NAM08
4-character ID, TEST
Station name, Test
Begin Date, 2000-01-01
End Date, 2006-01-01
Release Date, 2017-03-27
Source file, TEST.pbo.nam08.pos
Offset from source file, 0.00 mm North, 0.00 mm East, 0.00 mm Vertical
Reference position, 48.0 North Latitude, -123.0 East Longitude, 31.0 meters elevation
Date, North (mm), East (mm), Vertical (mm), North Std. Deviation (mm), \
East Std. Deviation (mm), Vertical Std. Deviation (mm), Quality,
"""


def station(days: int = 1300) -> str:
    """Write a station with a rate, a season, noise, one step and two slow slips."""
    rng = np.random.default_rng(5)
    day = np.arange(days)
    east = 0.03 * day + 1.5 * np.sin(2 * np.pi * day / 365.25)
    for onset in (400, 950):
        east -= 5.0 * np.clip((day - onset) / 14.0, 0.0, 1.0)
    north = 0.002 * day - 40.0 * (day >= 700)
    up = 3.0 * np.cos(2 * np.pi * day / 365.25)
    noise = rng.standard_normal((3, days)) * np.array([[0.8], [0.8], [3.0]])
    rows = [HEADER]
    stamps = np.datetime64("2000-01-01") + day
    for k in range(days):
        n, e, u = north[k] + noise[0, k], east[k] + noise[1, k], up[k] + noise[2, k]
        rows.append(f"{stamps[k]},{n:.2f}, {e:.2f}, {u:.2f}, 1.5, 1.2, 5.0, repro,\n")
    return "".join(rows)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "slipstate", "watch", *arguments]


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}


def contents(out: Path) -> tuple[bytes, dict[str, np.ndarray]]:
    run = xr.load_dataset(out / "run.nc")
    arrays = {name: run[name].values for name in ("forecast", "filtered", "smoothed")}
    return (out / "events.csv").read_bytes(), arrays


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_and_resumed_is_as_if_never_killed(tmp_path):
    data = tmp_path / "TEST.pbo.nam08.csv"
    data.write_text(station())
    env = environment(tmp_path)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(
        command(str(data), "--out", str(whole)),
        check=True,
        env=env,
        capture_output=True,
    )
    for wanted in ("estimate", "piece-000000", "piece-000001"):
        run = subprocess.Popen(
            command(str(data), "--out", str(broken), "--resume"),
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 120.0
        while run.poll() is None and time.monotonic() < limit:
            if list((broken / "checkpoint").glob(f"{wanted}*.json")):
                run.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        run.wait()
    subprocess.run(
        command(str(data), "--out", str(broken), "--resume"),
        check=True,
        env=env,
        capture_output=True,
    )
    (events, arrays), (again, arrays_again) = contents(whole), contents(broken)
    assert events == again
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_again[name])
    table = events.decode()
    assert table.count("slow slip") == 2
    assert table.count("step") == 1
    assert "2001-12-01" in table  # the day of the step


@pytest.mark.slow
@pytest.mark.parametrize("name", [
    "empty", "binary", "truncated", "words", "repeated", "backwards", "short",
    "missing", "folder",
])  # fmt: skip
def test_what_cannot_be_watched_is_one_clear_line(tmp_path, name):
    lines = station(200).splitlines(keepends=True)
    path = tmp_path / "TEST.pbo.nam08.csv"
    if name == "empty":
        path.write_text("")
    elif name == "binary":
        path.write_bytes(bytes(range(256)) * 40)
    elif name == "truncated":
        lines[60] = lines[60][:15] + "\n"
    elif name == "words":
        lines[60] = lines[60].replace("1.2,", "soft,")
    elif name == "repeated":
        lines.insert(60, lines[60])
    elif name == "backwards":
        lines[60], lines[61] = lines[61], lines[60]
    elif name == "short":
        lines = lines[:15]
    elif name == "folder":
        path.mkdir()
    if name in ("truncated", "words", "repeated", "backwards", "short"):
        path.write_text("".join(lines))
    out = tmp_path / "out"
    run = subprocess.run(
        command(str(path), "--out", str(out)),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: ")
    assert len(run.stderr.strip().splitlines()) == 1
    assert str(path) in run.stderr
    if name in ("truncated", "words", "repeated", "backwards"):
        assert "line 6" in run.stderr
    assert not list(out.glob("*.nc")) + list(out.glob("*.csv"))
