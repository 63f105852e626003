"""The schema: what a record must hold, and what is said when it does not."""

import numpy as np
import pytest

from slipstate.ground.errors import InputError, RecordError
from slipstate.records import (
    Samples,
    Station,
    build_record,
    check_record,
    history_line,
    require_length,
)


def record(*, kind="gnss", names=("east", "up"), units=("mm", "mm"), **changes):
    parts = {
        "time": np.array(["2000-01-01", "2000-01-02", "2000-01-05"], "datetime64[ns]"),
        "value": np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, 5.0]]),
        "sigma": np.array([[1.0, np.nan], [1.0, 1.0], [1.0, 1.0]]),
    }
    return build_record(
        Samples(**(parts | changes), components=names, units=units),
        Station("TEST"),
        kind=kind,
        title="a test",
        history=history_line("made up"),
    )


def test_a_record_is_built_and_checked():
    made = record()
    check_record(made)
    np.testing.assert_array_equal(made["mask"], [[1, 1], [0, 1], [1, 1]])
    assert made["value"].dims == ("time", "component")
    assert made.attrs["history"].endswith("Z: made up")
    assert np.isnan(made["latitude"].item())


def test_components_of_different_units():
    made = record(kind="series", names=("tau", "slip"), units=("Pa", "m"))
    assert made["value"].attrs["units"] == "see component_units"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop_vars("mask"), "must have mask"),
        (lambda d: d.drop_vars("station"), "must have station"),
        (lambda d: d.transpose("component", "time"), r"dims \('time', 'component'\)"),
        (lambda d: d.assign(value=d["value"].astype("float32")), "float64"),
        (lambda d: d.assign(mask=d["mask"].astype("int8")), "must be bool"),
        (lambda d: d.isel(time=[1, 0, 2]), "increase strictly"),
        (lambda d: d.isel(time=[0, 0, 2]), "increase strictly"),
        (lambda d: d.assign(mask=~d["mask"]), "finite where"),
        (lambda d: d.assign(sigma=-d["sigma"].assign_attrs(units="mm")), "positive"),
        (lambda d: d.assign(value=d["value"].assign_attrs(units="m")), "'mm'"),
        (lambda d: d.assign_attrs(history=""), "history"),
        (lambda d: d.assign_attrs(kind="other"), "gnss, series, fault"),
        (lambda d: d.isel(component=[1, 0]), "in this order"),
        (lambda d: d.assign_coords(component=["east", "east"]), "each name once"),
    ],
)
def test_each_broken_rule_is_named(change, words):
    with pytest.raises(InputError, match=words):
        check_record(change(record()))


def test_unsorted_samples_are_refused_at_construction():
    times = np.array(["2000-01-02", "2000-01-01", "2000-01-05"], "datetime64[ns]")
    with pytest.raises(InputError, match="increase strictly"):
        record(time=times)


def test_too_few_samples_are_refused_with_the_number():
    made = record()
    require_length(made, 3, "x.csv")
    with pytest.raises(RecordError, match=r"x.csv: expected at least 4 .* found 3"):
        require_length(made, 4, "x.csv")


def test_rows_without_any_observation_do_not_count():
    value = np.array([[1.0, 2.0], [np.nan, np.nan], [4.0, 5.0]])
    with pytest.raises(RecordError, match="found 2"):
        require_length(record(value=value), 3, "x.csv")
