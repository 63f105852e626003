"""What every reader promises, checked over every reader there is."""

import importlib.util
import inspect
import struct
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from slipstate.ground.errors import RecordError
from slipstate.records import (
    AbstractReader,
    check_record,
    convert,
    read_record,
    write_record,
)
from slipstate.records.registry import READERS


def pbo(folder):
    path = folder / "A.pbo.csv"
    path.write_text(
        "PBO Station Position Time Series.\nDate, North (mm), East (mm), Vertical (mm),"
        " North Std. Deviation (mm), East Std. Deviation (mm),"
        " Vertical Std. Deviation (mm), Quality,\n"
        "2010-01-01,1, 2, 3, 1, 1, 3, final,\n2010-01-04,1.5, , 3, 1, 1, 3, rapid,\n"
        "2010-01-05,2, 3, 4, 1, 1, 3, rapid,\n"
    )
    return path


def tenv3(folder):
    names = (
        "site YYMMMDD yyyy.yyyy __MJD week d reflon _e0(m) __east(m) ____n0(m) "
        "_north(m) u0(m) ____up(m) _ant(m) sig_e(m) sig_n(m) sig_u(m) __corr_en "
        "__corr_eu __corr_nu"
    )
    row = "AAAA {} 2010 {} 1 1 1 1 {} 1 0.1 1 0.1 0 0.001 0.001 0.003 0 0 0"
    path = folder / "A.tenv3"
    path.write_text(
        "\n".join(
            [
                names,
                row.format("10JAN01", 55197, 0.1),
                row.format("10JAN04", 55200, "nan"),
                row.format("10JAN05", 55201, 0.2),
            ]
        )
    )
    return path


def plain(folder):
    path = folder / "A.csv"
    path.write_text("date,east (m),east sd (mm)\n2010-01-01,1,1\n2010-01-04,,1\n")
    return path


def netcdf(folder):
    path = folder / "A.nc"
    write_record(read_record(pbo(folder)), path)
    return path


def waveform(folder):
    """Two channels as miniSEED, one of them shorter: plain 32-bit integers."""
    if importlib.util.find_spec("obspy") is None:
        pytest.skip("waveforms need obspy")
    path, records = folder / "A.mseed", b""
    for number, (channel, data) in enumerate(
        {b"LHE": [4, 5, 6], b"LHZ": [7, -8]}.items()
    ):
        records += b"%06dD STA    %sXX" % (number + 1, channel)
        records += struct.pack(
            ">HHBBBxHHhhBBBBiHH",
            2010,
            95,
            22,
            40,
            0,
            0,
            len(data),
            1,
            1,
            0,
            0,
            0,
            1,
            0,
            64,
            48,
        )
        records += struct.pack(">HHBBBx", 1000, 0, 3, 1, 9).ljust(16, b"\x00")
        records += np.asarray(data, ">i4").tobytes().ljust(512 - 64, b"\x00")
    path.write_bytes(records)
    return path


SAMPLES = {
    "PBO csv": pbo,
    "NGL tenv3": tenv3,
    "plain csv": plain,
    "netCDF": netcdf,
    "miniSEED or SAC": waveform,
}


def leaves(cls: type) -> set[type]:
    """Return every reader that can be made."""
    below = {leaf for sub in cls.__subclasses__() for leaf in leaves(sub)}
    return below | (set() if inspect.isabstract(cls) else {cls})


@pytest.fixture(params=READERS, ids=lambda reader: reader.name)
def reader(request):
    return request.param


@pytest.fixture
def path(reader, tmp_path):
    return SAMPLES[reader.name](tmp_path)


def test_every_reader_is_registered_and_has_a_sample():
    known = {cls for cls in leaves(AbstractReader) if "slipstate" in cls.__module__}
    assert known == {type(reader) for reader in READERS}
    assert set(SAMPLES) == {reader.name for reader in READERS}


def test_it_is_the_one_that_reads_its_format(reader, path):
    assert reader.recognises(path)
    xr.testing.assert_equal(reader.read(path), read_record(path))
    earlier = READERS[: READERS.index(reader)]
    assert not any(other.recognises(path) for other in earlier)


def test_units_are_set_and_known(reader, path):
    record = reader.read(path)
    check_record(record)
    for unit in record["component_units"].values:
        assert convert(str(unit), lengths_in_mm=unit == "mm").factor == 1.0
    assert record["value"].attrs["units"]
    for name in ("value", "sigma", "mask"):
        assert record[name].attrs["long_name"]


def test_gaps_are_masked(reader, path):
    record = reader.read(path)
    np.testing.assert_array_equal(record["mask"], ~np.isnan(record["value"]))
    assert not record["mask"].all()


def test_the_history_says_what_was_read(reader, path):
    record = reader.read(path)
    assert record.attrs["history"].strip()
    assert record.attrs["title"]
    assert record.attrs["Conventions"] == "CF-1.11"


def test_the_round_trip_through_the_writer_is_exact(reader, path, tmp_path):
    record = reader.read(path)
    write_record(record, tmp_path / "again.nc")
    xr.testing.assert_identical(read_record(tmp_path / "again.nc"), record)


def refusal(path):
    """Return the message where a file is refused, or None; never another exception."""
    try:
        check_record(read_record(path))
    except RecordError as error:
        return str(error)
    return None


def test_a_file_cut_anywhere_is_read_or_refused_in_one_line(reader, path):
    whole = path.read_bytes()
    for end in {*range(1, len(whole), max(1, len(whole) // 60)), len(whole) - 1}:
        path.write_bytes(whole[:end])
        message = refusal(path)
        if message is not None:
            assert "\n" not in message
            assert message.startswith(str(path))


def test_a_file_with_any_byte_damaged_is_read_or_refused_in_one_line(reader, path):
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged)
        assert "\n" not in (refusal(path) or "")


def test_recognition_never_raises_and_never_reads_everything(reader, tmp_path):
    path = tmp_path / "anything"
    for content in (b"", b"\x00" * 100, b"\xff\xfe", b"\n\n", b"PBO", b"x" * 10**6):
        path.write_bytes(content)
        assert reader.recognises(path) in {True, False}
    with path.open("wb") as handle:
        handle.truncate(10 * 2**30)
    assert not reader.recognises(Path(path))
