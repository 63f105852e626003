"""Waveforms: what is recognised without ObsPy, and what ObsPy decodes."""

import importlib.util
import struct

import numpy as np
import pytest

from slipstate.ground.errors import RecordError
from slipstate.records import read_record
from slipstate.records.waveform import WaveformReader

needs_obspy = pytest.mark.skipif(
    importlib.util.find_spec("obspy") is None, reason="waveforms need obspy"
)


def mseed(number, channel, start, data, station=b"STA  "):
    """One 512-byte record of 32-bit integers at 1 Hz; `start` in seconds of a day."""
    hour, rest = divmod(start, 3600)
    header = b"%06dD " % number + station + b"  " + channel + b"XX"
    header += struct.pack(">HHBBBxH", 2010, 95, hour, rest // 60, rest % 60, 0)
    header += struct.pack(">HhhBBBBiHH", len(data), 1, 1, 0, 0, 0, 1, 0, 64, 48)
    header += struct.pack(">HHBBBx", 1000, 0, 3, 1, 9).ljust(16, b"\x00")
    return (header + np.asarray(data, ">i4").tobytes()).ljust(512, b"\x00")


def sac(values, order="<"):
    """A SAC file at 2 Hz with the place of its station."""
    floats = np.full(70, -12345.0, order + "f4")
    floats[0], floats[5], floats[31:34] = 0.5, 0.0, (48.4, -123.5, 12.0)
    numbers = np.full(40, -12345, order + "i4")
    numbers[0:6] = (2010, 95, 22, 40, 42, 0)
    numbers[6], numbers[9] = 6, len(values)
    numbers[15], numbers[35] = 1, 1
    words = b"ALBH".ljust(8) + b"-12345".ljust(16) + b"-12345  " * 21
    data = np.asarray(values, order + "f4").tobytes()
    return floats.tobytes() + numbers.tobytes() + words + data


def test_formats_are_told_by_their_headers(tmp_path):
    path = tmp_path / "x"
    for content in (mseed(1, b"LHE", 0, [1, 2]), sac([1.0]), sac([1.0], ">")):
        path.write_bytes(content)
        assert WaveformReader().recognises(path)
    for content in (b"000001X", b"time (s),u (1)\n0,1\n", sac([1.0])[:-4]):
        path.write_bytes(content)
        assert not WaveformReader().recognises(path)


def test_without_obspy_the_remedy_is_named(tmp_path, monkeypatch):
    path = tmp_path / "a.mseed"
    path.write_bytes(mseed(1, b"LHE", 0, [1, 2]))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecordError, match=r"pip install 'slipstate\[seismic\]'"):
        read_record(path)


@needs_obspy
def test_channels_share_a_time_axis_and_gaps_have_no_rows(tmp_path):
    path = tmp_path / "gap[1].mseed"
    path.write_bytes(
        mseed(1, b"LHE", 60, [1, 2, 3])
        + mseed(2, b"LHE", 66, [4, 5])
        + mseed(3, b"LHZ", 61, [7, 8])
    )
    record = read_record(path)
    seconds = (record["time"] - np.datetime64("2010-04-05T00:01:00")).values
    assert (seconds / np.timedelta64(1, "s")).tolist() == [0, 1, 2, 6, 7]
    east, up = record["value"].values.T
    assert east.tolist() == [1, 2, 3, 4, 5]
    assert np.array_equal(up, [np.nan, 7, 8, np.nan, np.nan], equal_nan=True)


@needs_obspy
def test_where_traces_overlap_the_first_is_kept_and_it_is_said(tmp_path):
    path = tmp_path / "a.mseed"
    path.write_bytes(mseed(1, b"LHE", 0, [1, 2, 3]) + mseed(2, b"LHE", 1, [9, 9, 4]))
    record = read_record(path)
    assert record["value"].values[:, 0].tolist() == [1, 2, 3, 4]
    assert "2 samples given twice" in record.attrs["history"]


@needs_obspy
def test_sac_brings_the_place_of_its_station(tmp_path):
    path = tmp_path / "a.sac"
    path.write_bytes(sac([0.5, -1.5, 2.5]))
    record = read_record(path)
    assert record["value"].values[:, 0].tolist() == [0.5, -1.5, 2.5]
    assert np.isclose(record["latitude"], 48.4)
    assert np.diff(record["time"].values).tolist() == [500_000_000] * 2


@needs_obspy
def test_several_stations_are_refused_by_name(tmp_path):
    path = tmp_path / "a.mseed"
    path.write_bytes(mseed(1, b"LHE", 0, [1]) + mseed(2, b"LHE", 0, [1], b"OTHER"))
    with pytest.raises(RecordError, match=r"XX\.OTHER, XX\.STA"):
        read_record(path)
