"""`slipstate memory`: a record in, numbers and a picture out."""

import re
import sys

import numpy as np
import pytest
import xarray as xr

import slipstate.records
from slipstate.cli.memory import BasisName, ClockName, memory
from slipstate.ground.errors import InputError


@pytest.fixture
def record(tmp_path, monkeypatch):
    days = np.arange(400)
    keep = (days < 100) | (days > 130)
    value = np.stack([np.sin(days / 40.0), days / 100.0], 1) + 5.0
    value[~keep] = np.nan
    data = xr.Dataset(
        {
            "value": (("time", "component"), value),
            "mask": (("time", "component"), np.isfinite(value)),
        },
        coords={
            "time": np.datetime64("2010-01-01", "ns") + days * np.timedelta64(1, "D"),
            "component": ["east", "north"],
            "component_units": ("component", ["mm", "mm"]),
            "station": "ALBH",
        },
    )
    monkeypatch.setattr(slipstate.records, "read_record", lambda p: data, raising=False)
    path = tmp_path / "albh.csv"
    path.write_text("any")
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
    numbers = [float(x) for x in re.findall(r"(?:certificate|measured) +(\S+)", out)]
    assert len(numbers) == 2
    # a bound for a window is loose; everything else is close
    assert max(numbers) < (3.0 if clock is ClockName.window else 0.3)


def test_certificate_and_measurement_agree_and_a_picture_is_drawn(record, capsys):
    plot = record.with_suffix(".png")
    memory(record, BasisName.legendre, 10, ClockName.scale, "east", None, plot)
    out = capsys.readouterr().out
    stated = float(out.split("certificate")[1].split()[0])
    measured = float(out.split("measured")[1].split()[0])
    # the certificate also sees the bridged gap, where there is no sample
    assert np.isclose(stated, measured, rtol=0.2)
    assert stated > measured
    assert plot.stat().st_size > 10_000


def test_what_is_missing_is_named(record, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"`column`.*east, north"):
        memory(record, column="up")
    with pytest.raises(InputError, match="`data`"):
        memory(tmp_path / "nothing.csv")
    wave = tmp_path / "day.mseed"
    wave.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "obspy", None)
    with pytest.raises(InputError, match="seismic"):
        memory(wave)
