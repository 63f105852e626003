"""Joining stations: nothing is lost, nothing is invented."""

import numpy as np
import pytest

from slipstate.ground.errors import InputError
from slipstate.records import (
    Samples,
    Station,
    build_record,
    check_record,
    combine,
    history_line,
)

DAYS = np.arange("2000-01-01", "2000-03-01", dtype="datetime64[D]")


def station(name, seed, *, names=("east", "north", "up"), kind="gnss", unit="mm"):
    rng = np.random.default_rng(seed)
    days = np.sort(rng.choice(DAYS, 20, replace=False)).astype("datetime64[ns]")
    value = rng.normal(size=(20, len(names)))
    value[rng.random(value.shape) < 0.2] = np.nan
    return build_record(
        Samples(
            days,
            value,
            np.full_like(value, 1.5),
            names,
            (unit,) * len(names),
            quality=np.array(["final"] * 20) if seed % 2 else None,
        ),
        Station(name, 40.0 + seed, -120.0, 10.0),
        kind=kind,
        title=name,
        history=history_line(f"made {name}"),
        attributes={"source": f"{name}.csv"},
    )


def test_each_station_comes_out_as_it_went_in():
    parts = [station(name, seed) for seed, name in enumerate(("AAAA", "BBBB", "CCCC"))]
    joined = combine(parts)
    check_record(joined)
    assert joined["value"].dims == ("time", "station", "component")
    every = np.unique(np.concatenate([part["time"].values for part in parts]))
    np.testing.assert_array_equal(joined["time"], every)
    for part in parts:
        name = part["station"].item()
        one = joined.sel(station=name)
        there = one.sel(time=part["time"])
        for variable in ("value", "sigma", "mask"):
            np.testing.assert_array_equal(there[variable], part[variable])
        absent = ~np.isin(every, part["time"].values)
        assert not one["mask"].values[absent].any()
        assert np.isnan(one["value"].values[absent]).all()
        assert one["latitude"].item() == part["latitude"].item()
        flags = there["quality"].values.tolist()
        assert flags == (
            part["quality"].values.tolist() if "quality" in part else [""] * 20
        )
        assert f"made {name} [{name}]" in joined.attrs["history"]
    assert joined.attrs["source"] == "AAAA.csv; BBBB.csv; CCCC.csv"
    assert joined["value"].attrs["units"] == "mm"


def test_one_station_keeps_its_numbers():
    part = station("AAAA", 1)
    joined = combine([part])
    np.testing.assert_array_equal(joined["value"].squeeze("station"), part["value"])


def test_a_station_that_lacks_a_component_is_masked_there():
    joined = combine([station("AAAA", 1, names=("up",)), station("BBBB", 2)])
    assert joined["component"].values.tolist() == ["east", "north", "up"]
    assert not joined["mask"].sel(station="AAAA", component="east").any()
    assert joined["mask"].sel(station="AAAA", component="up").any()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([], "got none"),
        ([station("AAAA", 1), station("AAAA", 2)], "AAAA more than once"),
        (
            [station("AAAA", 1), station("BBBB", 2, kind="series")],
            "gnss and series",
        ),
        (
            [
                station("AAAA", 1, kind="series", unit="m"),
                station("BBBB", 2, kind="series", unit="Pa"),
            ],
            "'east' in one unit; got m and Pa",
        ),
    ],
)
def test_what_cannot_be_joined_is_named(parts, words):
    with pytest.raises(InputError, match=words):
        combine(parts)


def test_a_joined_record_is_not_joined_again():
    with pytest.raises(InputError, match="one station each"):
        combine([combine([station("AAAA", 1)])])
