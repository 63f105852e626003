"""`slipstate memory`: a record in, numbers and a picture out."""

import importlib.util
import re
from datetime import date, timedelta

import numpy as np
import pytest

from slipstate.cli.memory import BasisName, ClockName, memory
from slipstate.ground.errors import InputError
from slipstate.records import read_record, write_record


@pytest.fixture
def record(tmp_path):
    """400 days of two components, with a month missing."""
    path = tmp_path / "albh.csv"
    rows = ["# station: ALBH", "date,east (mm),north (mm)"]
    for k in range(400):
        if not 100 <= k <= 130:
            day = date(2010, 1, 1) + timedelta(days=k)
            rows.append(f"{day},{5.0 + np.sin(k / 40.0):.9f},{k / 100.0}")
    path.write_text("\n".join(rows) + "\n")
    return path


FAST = (ClockName.scale, ClockName.window)


@pytest.mark.parametrize(
    "clock",
    [c if c in FAST else pytest.param(c, marks=pytest.mark.slow) for c in ClockName],
)
def test_a_column_is_compressed_and_its_error_told(record, clock, capsys):
    memory(record, BasisName.legendre, 10, clock, "east", None, None)
    out = capsys.readouterr().out
    assert "ALBH east: 369 samples over 399 days" in out
    assert ("exact" in out) == (clock is not ClockName.window)
    stated, measured, plain = map(
        float, re.findall(r"^error .*?  ([\d.e+-]+)", out, re.M)
    )
    # a bound for a window is loose; everything else is close
    assert measured <= stated * (1 + 1e-3) < (3.0 if clock is ClockName.window else 0.3)
    assert plain < 0.3
    if clock not in {ClockName.window, ClockName.exponential}:
        # without zeros before the record the certificate is what is measured
        assert np.isclose(stated, measured, rtol=2e-3)


def test_a_picture_is_drawn(record, capsys):
    plot = record.with_suffix(".png")
    memory(record, BasisName.legendre, 10, ClockName.scale, "east", None, plot)
    assert str(plot) in capsys.readouterr().out
    assert plot.stat().st_size > 10_000


def test_times_of_fast_samples_are_seconds_and_a_number_has_no_unit(tmp_path, capsys):
    path = tmp_path / "fast.csv"
    rows = [f"{k / 10},{np.sin(k / 50)}" for k in range(370)]
    path.write_text("\n".join(["time (s),u (1)", *rows]))
    memory(path, BasisName.legendre, 10, plot=path.with_suffix(".svg"))
    assert "fast u: 370 samples over 36.9 s, standard deviation 0.6832" in (
        capsys.readouterr().out
    )


def test_what_is_missing_is_named(record, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"`column`.*east, north"):
        memory(record, column="up")
    with pytest.raises(InputError, match="nothing at this path"):
        memory(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match=r"`plot`.*png"):
        memory(record, plot=tmp_path / "x.gif")
    with pytest.raises(InputError, match=r"`plot`.*folder"):
        memory(record, plot=tmp_path / "none" / "x.png")
    several = tmp_path / "several.nc"
    write_record(read_record(record).expand_dims("station", axis=1), several)
    with pytest.raises(InputError, match="one station"):
        memory(several)
    wave = tmp_path / "day.mseed"
    wave.write_bytes(b"000001D STA" + b" " * 600)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="seismic"):
        memory(wave)
