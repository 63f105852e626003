"""Plain csv: time columns, units, spreads, comments, and what can be wrong."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from slipstate.ground.errors import RecordError
from slipstate.records import check_record, read_record


def write(folder, text, name="LAB1.csv"):
    path = folder / name
    path.write_text(text)
    return path


def blamed(path, line, *words):
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert caught.value.line == line, caught.value
    for word in words:
        assert word in str(caught.value), caught.value


def test_a_laboratory_series_becomes_si(tmp_path):
    text = (
        "# station: FB03\n# title: stick-slip: shear stress\n# latitude: 36.1 N\n\n"
        "time (s), tau [MPa], slip (um), slip sd (um)\n"
        "0.5, 0.687, 1.5, 0.25\n# a pause\n1.75, nan, 2.5,\n2, 0.5, , 0.5\n"
    )
    record = read_record(write(tmp_path, text))
    check_record(record)
    assert record["component"].values.tolist() == ["tau", "slip"]
    assert record["component_units"].values.tolist() == ["Pa", "m"]
    assert record["value"].attrs["units"] == "see component_units"
    np.testing.assert_allclose(record["value"][0], [0.687e6, 1.5e-6], rtol=1e-15)
    np.testing.assert_array_equal(record["mask"], [[1, 1], [0, 1], [1, 0]])
    np.testing.assert_array_equal(np.isnan(record["sigma"][:, 1]), [0, 1, 0])
    assert np.isnan(record["sigma"][:, 0]).all()
    seconds = record["time"].values.astype("int64") / 1e9
    np.testing.assert_array_equal(seconds, [0.5, 1.75, 2.0])
    assert record["station"].item() == "FB03"
    assert record["latitude"].item() == 36.1
    assert record.attrs["title"] == "stick-slip: shear stress"
    assert record.attrs["kind"] == "series"
    assert "1970-01-01" in record.attrs["history"]


def test_positions_are_put_in_order_and_kept_in_mm(tmp_path):
    text = "date,Up (m),east (cm),east sd (mm)\n2010-04-05,0.001,2.5,1.5\n"
    record = read_record(write(tmp_path, text))
    assert record.attrs["kind"] == "gnss"
    assert record["component"].values.tolist() == ["east", "up"]
    assert record["value"].attrs["units"] == "mm"
    np.testing.assert_array_equal(record["value"], [[25.0, 1.0]])
    np.testing.assert_array_equal(record["sigma"][:, 0], [1.5])


@pytest.mark.parametrize(
    ("stamp", "instant"),
    [
        ("2010-04-05", "2010-04-05"),
        ("2010-04-05T22:40:42", "2010-04-05T22:40:42"),
        ("2010-04-05 22:40:42.5", "2010-04-05T22:40:42.5"),
        ("2010-04-05T22:40:42Z", "2010-04-05T22:40:42"),
        ("2010-04-05T22:40:42+02:00", "2010-04-05T20:40:42"),
        ("2010-04-05T22:40:42.123456789", "2010-04-05T22:40:42.123456789"),
    ],
)
def test_dates_are_taken_as_utc(tmp_path, stamp, instant):
    record = read_record(write(tmp_path, f"time,x (m)\n{stamp},1\n"))
    assert record["time"].values[0] == np.datetime64(instant, "ns")


@pytest.mark.parametrize(
    ("year", "instant"),
    [
        ("2010.0", "2010-01-01"),
        ("2011.5", "2011-07-02T12:00:00"),
        ("2012.5", "2012-07-02T00:00:00"),
        ("1996.0014", "1996-01-01T12:17:51.360"),
    ],
)
def test_decimal_years(tmp_path, year, instant):
    record = read_record(write(tmp_path, f"time (yr),x (m)\n{year},1\n"))
    assert record["time"].values[0] == np.datetime64(instant, "ns")


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [("ms", 1e-3), ("s", 1), ("min", 60), ("h", 3600), ("days", 86400)],
)
def test_elapsed_times_are_exact(tmp_path, unit, seconds):
    record = read_record(write(tmp_path, f"time ({unit}),x (m)\n0,1\n10000,2\n"))
    count = record["time"].values.astype("int64")
    assert count.tolist() == [0, round(10_000 * seconds * 1e9)]


@pytest.mark.parametrize("mark", [";", "\t", ", ", ","])
def test_separators_quotes_and_a_last_comma(tmp_path, mark):
    end = mark.strip(" ")
    lines = [["time (s)", '"tau (MPa)"'], ["0", "1"], ['"1"', "2"]]
    text = "\n".join(mark.join(line) + end for line in lines)
    record = read_record(write(tmp_path, text))
    np.testing.assert_array_equal(record["value"], [[1e6], [2e6]])


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("0,1\n1,2\n", 1, ("first column named `time`", "`0`")),
        ("x (m),time (s)\n1,2\n", 1, ("first column named",)),
        ("time (s),x\n0,1\n", 1, ("a unit in the header", "`x (mm)`")),
        ("# a\ntime (s),x (furlong)\n0,1\n", 2, ("known unit", "furlong", "MPa")),
        ("time (kg),x (m)\n0,1\n", 1, ("known unit",)),
        ("time (m),x (m)\n0,1\n", 1, ("time unit",)),
        ("time (s),\n0,\n", 1, ("a value column",)),
        ("time (s),x (m),x (m)\n0,1,2\n", 1, ("name of its own",)),
        ("time (s),x (m),y sd (m)\n0,1,2\n", 1, ("value column named `y`",)),
        ("time (s),x (m),x sd (Pa)\n0,1,2\n", 1, ("spread in m",)),
        ("time (s),x (m)\n", None, ("rows of data",)),
        ("time (s),x (m)\n0,1\n1,2,3\n2,3\n", 3, ("2 fields", "3 in", "Repair")),
        ("time (s),x (m)\n0,1\n1\n", 3, ("2 fields", "1 in", "cut short")),
        ("time (s),x (m)\n0,1\n# c\n1,abc\n", 4, ("finite number", "`abc`", "`x`")),
        ("time (s),x (m)\n0,1\n1,-inf\n", 3, ("finite number", "`-inf`")),
        ("time (s),x (m)\n0,1\nnan,2\n", 3, ("elapsed time", "missing")),
        ("time (s),x (m)\n0,1\n,2\n", 3, ("elapsed time", "missing")),
        ("time (s),x (m)\n0,1\n0,2\n", 3, ("again",)),
        ("time (s),x (m)\n1,1\n0,2\n", 3, ("goes back",)),
        ("time (s),x (m)\n0,1\n1e300,2\n", 3, ("shift the times",)),
        ("time (yr),x (m)\n2010.5,1\n2010.5,2\n", 3, ("again",)),
        ("time (yr),x (m)\n12,1\n", 2, ("decimal year from 1678",)),
        ("time,x (m)\n2010.5,1\n", 2, ("a date like", "time (s)")),
        ("time,x (m)\nNaT,1\n", 2, ("a date like",)),
        ("time (s),x (m)\n0,nan\n1,NaN\n", None, ("`x`", "all 2 rows")),
        ("time (s),x (m),x sd (m)\n0,1,0\n", 2, ("positive", "`x sd`")),
    ],
)
def test_what_is_wrong_is_blamed_by_line(tmp_path, text, line, words):
    blamed(write(tmp_path, text), line, *words)


def test_a_file_of_comments_only(tmp_path):
    blamed(write(tmp_path, "# a, b\n# c\n"), 1, "# a, b")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(max_examples=60, deadline=None)
@given(
    nanoseconds=st.lists(
        st.integers(-(2**62), 2**62), min_size=1, max_size=20, unique=True
    ),
    data=st.data(),
)
def test_a_written_csv_is_read_exactly(tmp_path_factory, nanoseconds, data):
    count = len(nanoseconds)
    times = np.sort(np.asarray(nanoseconds)).astype("datetime64[ns]")
    cells = st.lists(NUMBERS | st.none(), min_size=count, max_size=count)
    x = data.draw(cells.filter(lambda column: any(v is not None for v in column)))
    y = data.draw(cells.filter(lambda column: any(v is not None for v in column)))
    missing = data.draw(st.sampled_from(["", "nan", "NaN", "NA", " "]))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))

    def cell(value):
        return missing if value is None else repr(value)

    rows = [
        f"{time},{cell(a)},{cell(b)}" for time, a, b in zip(times.astype(str), x, y)
    ]
    path = tmp_path_factory.mktemp("csv") / "property.csv"
    path.write_bytes(end.join(["time,x (m),y (1)", *rows, ""]).encode())
    record = read_record(path)
    np.testing.assert_array_equal(record["time"], times)
    for name, column in (("x", x), ("y", y)):
        expected = np.asarray([np.nan if v is None else v for v in column])
        found = record.sel(component=name)
        np.testing.assert_array_equal(found["value"], expected)
        np.testing.assert_array_equal(found["mask"], [v is not None for v in column])
