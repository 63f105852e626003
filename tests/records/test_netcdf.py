"""netCDF: the exact round trip, foreign files, damaged files, a full disk."""

import errno
import os
import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from slipstate.ground.errors import InputError, OutputError, RecordError
from slipstate.records import (
    Samples,
    Station,
    build_record,
    combine,
    history_line,
    read_record,
    write_record,
)


def record(times, values, *, kind="series", names=("tau", "slip"), units=("Pa", "m")):
    sigma = np.where(np.isnan(values), np.nan, 0.5)
    return build_record(
        Samples(
            np.asarray(times).astype("datetime64[ns]"),
            values,
            sigma,
            names,
            units,
            quality=np.array(["", "é", "final"] * len(times))[: len(times)],
        ),
        Station("LAB1", 36.0),
        kind=kind,
        title="a test",
        history=history_line("made up") + "\n" + history_line("made up again"),
    )


def small():
    values = np.array([[1.0, np.nan], [2.0, 0.1 + 0.2], [np.nan, 5e-324]])
    return record([0, 1, 2_500_000_001], values)


def test_the_round_trip_is_exact(tmp_path):
    path = tmp_path / "record.nc"
    written = small()
    write_record(written, path)
    xr.testing.assert_identical(read_record(path), written)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_record_comes_back_exactly(tmp_path_factory, data):
    times = data.draw(
        st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=6, unique=True)
    )
    scale = data.draw(st.sampled_from([1, 10**9, 86_400 * 10**9]))
    times = np.unique(np.asarray(times) // scale * scale)
    numbers = st.floats(allow_infinity=False) | st.just(float("nan"))
    values = np.asarray(
        data.draw(
            st.lists(
                st.tuples(numbers, numbers), min_size=len(times), max_size=len(times)
            )
        )
    ).reshape(-1, 2)
    values[0] = 1.0
    made = record(times, values)
    path = tmp_path_factory.getbasetemp() / "property.nc"
    write_record(made, path)
    xr.testing.assert_identical(read_record(path), made)


def test_several_stations_come_back_exactly(tmp_path):
    other = small().assign_coords(station="LAB2").isel(time=[1, 2])
    other["station"].attrs = small()["station"].attrs
    made = combine([small(), other])
    path = tmp_path / "several.nc"
    write_record(made, path)
    xr.testing.assert_identical(read_record(path), made)


def test_what_is_no_record_is_not_written(tmp_path):
    path = tmp_path / "record.nc"
    with pytest.raises(InputError, match="mask"):
        write_record(small().drop_vars("mask"), path)
    assert not path.exists()


def foreign(tmp_path, dataset, **kwargs):
    path = tmp_path / "foreign.nc"
    dataset.to_netcdf(path, **kwargs)
    return path


def daily(units="mm"):
    days = np.arange("2000-01-01", "2000-01-04", dtype="datetime64[D]")
    return xr.Dataset(
        {
            "north": ("time", [1.0, 2.0, 3.0], {"units": units}),
            "east": ("time", [4.0, np.nan, 6.0], {"units": units}),
            "east_sd": ("time", [1.0, 1.0, 2.0], {"units": "mm"}),
            "members": (("time", "member"), np.zeros((3, 2)), {"units": "mm"}),
        },
        {"time": days.astype("datetime64[ns]"), "station": "ALBH", "latitude": 48.0},
        {"title": "theirs", "history": "yesterday: made", "references": "somebody"},
    )


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_a_foreign_file_is_read(tmp_path, engine):
    read = read_record(foreign(tmp_path, daily("m"), engine=engine))
    assert read.attrs["kind"] == "gnss"
    assert read["component"].values.tolist() == ["east", "north"]
    np.testing.assert_array_equal(read["value"][:, 1], [1e3, 2e3, 3e3])
    np.testing.assert_array_equal(read["sigma"][:, 0], [1.0, 1.0, 2.0])
    np.testing.assert_array_equal(read["mask"][:, 0], [True, False, True])
    first, second = read.attrs["history"].split("\n")
    assert first == "yesterday: made"
    assert "left out members" in second
    assert read["station"].item() == "ALBH"
    assert read["latitude"].item() == 48.0
    assert read.attrs["references"] == "somebody"


def test_elapsed_times_are_counted_from_1970(tmp_path):
    dataset = xr.Dataset(
        {"tau": ("time", [1.0, 2.0], {"units": "MPa"})},
        {"time": ("time", [0.0, 1.5], {"units": "s"})},
    )
    read = read_record(foreign(tmp_path, dataset))
    assert read["time"].values.astype(np.int64).tolist() == [0, 1_500_000_000]
    np.testing.assert_array_equal(read["value"][:, 0], [1e6, 2e6])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["members"].to_dataset(), "along `time`"),
        (lambda d: d.assign(north=d["north"].drop_attrs()), "attribute `units`"),
        (lambda d: d.assign(north=d["north"].assign_attrs(units="pc")), "`pc`"),
        (
            lambda d: d.assign(east=(d["east"] * np.nan).assign_attrs(units="mm")),
            "only",
        ),
        (lambda d: d.isel(time=[0, 2, 1]), "goes back"),
        (lambda d: d.assign_coords(time=[0.0, 1.0, 2.0]), "CF units"),
        (lambda d: d.assign(east_sd=d["east_sd"].assign_attrs(units="s")), "in mm"),
    ],
)
def test_what_is_wrong_with_a_foreign_file_is_named(tmp_path, change, words):
    with pytest.raises(RecordError, match=words):
        read_record(foreign(tmp_path, change(daily())))


def test_a_damaged_file_of_ours_is_named(tmp_path):
    path = tmp_path / "record.nc"
    write_record(small(), path)
    with h5py.File(path, "r+") as file:
        file.attrs["history"] = ""
    with pytest.raises(RecordError, match="history"):
        read_record(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_a_file_cut_anywhere_is_refused(tmp_path, share):
    path = tmp_path / "record.nc"
    write_record(small(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(9, int(share * len(whole)))])
    with pytest.raises(RecordError, match="whole netCDF file") as caught:
        read_record(path)
    assert "\n" not in str(caught.value)


def test_a_header_that_claims_10_gb_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "claims.nc"
    with h5py.File(path, "w") as file:
        count = 10 * 2**30 // 8
        time = file.create_dataset("time", (count,), "f8", chunks=(2**20,))
        time.make_scale("time")
        time.attrs["units"] = "s"
        tau = file.create_dataset("tau", (count,), "f8", chunks=(2**20,))
        tau.dims[0].attach_scale(time)
        tau.attrs["units"] = "Pa"
    assert path.stat().st_size < 2**20
    with pytest.raises(RecordError, match=r"at most 1024 MiB; found a header"):
        read_record(path)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "record.nc"
    write_record(small(), path)
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_record(small().isel(time=[0]), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
import warnings
from slipstate.ground.errors import OutputError
from slipstate.records import read_record, write_record
record = read_record(sys.argv[1])
try:
    write_record(record, sys.argv[2])
except OutputError as error:
    print(error)
"""


def test_a_disk_that_really_ends_leaves_nothing(tmp_path):
    """The system itself refuses to let the file grow beyond 2 kB."""
    assert resource.RLIMIT_FSIZE
    source, target = tmp_path / "in.csv", tmp_path / "out.nc"
    source.write_text("time (s),x (m)\n0,1\n1,2\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, source, target],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "File too large" in done.stdout
    assert "Nothing was replaced" in done.stdout
    assert list(tmp_path.iterdir()) == [source]
