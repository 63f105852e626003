"""PBO csv: the real files, and what can be wrong with one."""

import time
from pathlib import Path

import numpy as np
import pytest

from slipstate.ground.errors import RecordError
from slipstate.records import check_record, read_record
from slipstate.records.pbo import PboReader

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FILES = sorted(DATA.glob("*/*.pbo.nam08.csv"))
NAMES = (
    "Date, North (mm), East (mm), Vertical (mm), North Std. Deviation (mm), "
    "East Std. Deviation (mm), Vertical Std. Deviation (mm), Quality,"
)
HEADER = [
    "PBO Station Position Time Series.",
    "Reference Frame, NAM08",
    "4-character ID, TEST",
    "Reference position, 48.25 North Latitude, -123.5 East Longitude, 31.7 meters up",
    NAMES,
]
ROWS = [
    "2010-04-03,1.00, 2.00, 3.00, 1.1, 1.2, 4.5, repro,",
    "2010-04-04,1.50, 2.50, 3.50, 1.1, 1.2, 4.5, final,",
    "2010-04-07,-1.25, 2.75, -3.75, 1.1, 1.2, 4.5, rapid,",
]

needs_data = pytest.mark.skipif(
    not FILES, reason=f"the real files are not at {DATA}; nothing to read"
)


def write(folder, rows=ROWS, header=HEADER):
    path = folder / "TEST.pbo.nam08.csv"
    path.write_text("\n".join([*header, *rows]) + "\n")
    return path


def blamed(path, line, *words):
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert caught.value.line == line, caught.value
    for word in words:
        assert word in str(caught.value), caught.value


def test_a_small_file(tmp_path):
    record = read_record(write(tmp_path))
    check_record(record)
    assert record["component"].values.tolist() == ["east", "north", "up"]
    np.testing.assert_array_equal(
        record["value"], [[2.0, 1.0, 3.0], [2.5, 1.5, 3.5], [2.75, -1.25, -3.75]]
    )
    np.testing.assert_array_equal(record["sigma"][0], [1.2, 1.1, 4.5])
    assert record["quality"].values.tolist() == ["repro", "final", "rapid"]
    assert record["time"].values[2] == np.datetime64("2010-04-07T00:00:00", "ns")
    assert record["station"].item() == "TEST"
    assert record["latitude"].item() == 48.25
    assert record["longitude"].item() == -123.5
    assert record["height"].item() == 31.7
    assert record["value"].attrs["units"] == "mm"
    assert record.attrs["kind"] == "gnss"
    assert "00:00 UTC" in record.attrs["history"]


def test_metres_in_the_header_become_millimetres(tmp_path):
    header = [line.replace("(mm)", "(m)") for line in HEADER]
    record = read_record(write(tmp_path, header=header))
    np.testing.assert_array_equal(record["value"][0], [2000.0, 1000.0, 3000.0])


def test_an_empty_cell_is_masked(tmp_path):
    rows = [ROWS[0], "2010-04-04,, 2.50, nan, 1.1, 1.2, , final,", ROWS[2]]
    record = read_record(write(tmp_path, rows))
    np.testing.assert_array_equal(record["mask"][1], [True, False, False])
    assert np.isnan(record["value"].values[1, 1:]).all()
    assert np.isnan(record["sigma"].values[1, 2])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2010-04-04,1.50, 2.50", ("9 fields", "3 in")),
        ("2010-04-04,1.50, 2.50, 3.50, 1.1, 1.2, 4.5, 9, final,", ("9 fields", "10")),
        ("2010-04-04,1.50, abc, 3.50, 1.1, 1.2, 4.5, final,", ("`East (mm)`", "`abc`")),
        ("2010-04-04,1.50, inf, 3.50, 1.1, 1.2, 4.5, final,", ("finite", "`inf`")),
        ("2010-04-04,1e999, 2.5, 3.50, 1.1, 1.2, 4.5, final,", ("finite", "`1e999`")),
        ("2010-04-04,1.50, 2.50, 3.50, 0.0, 1.2, 4.5, final,", ("positive", "North")),
        ("2010-04-04,1.50, 2.50, 3.50, 1.1, -1.2, 4.5, final,", ("positive", "East")),
        (
            "2010-04-31,1.50, 2.50, 3.50, 1.1, 1.2, 4.5, final,",
            ("date", "`2010-04-31`"),
        ),
        ("04/04/2010,1.50, 2.50, 3.50, 1.1, 1.2, 4.5, final,", ("YYYY-MM-DD",)),
        (",1.50, 2.50, 3.50, 1.1, 1.2, 4.5, final,", ("a date", "nothing")),
        ("2010-04-03,1.50, 2.50, 3.50, 1.1, 1.2, 4.5, final,", ("again", "Remove")),
        ("2010-04-02,1.50, 2.50, 3.50, 1.1, 1.2, 4.5, final,", ("goes back", "Sort")),
        (
            "3010-04-02,1.50, 2.50, 3.50, 1.1, 1.2, 4.5, final,",
            ("between 1678", "2261"),
        ),
    ],
)
def test_a_wrong_row_is_blamed_by_line(tmp_path, row, words):
    blamed(write(tmp_path, [ROWS[0], row, ROWS[2]]), 7, *words)


def test_a_file_cut_in_the_middle_of_its_last_row(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text()[:-12])
    blamed(path, 8, "cut short", "fetch it again")


def test_a_file_cut_inside_its_header(tmp_path):
    blamed(write(tmp_path, [], HEADER[:3]), None, "row of column names")


def test_a_file_cut_after_its_header(tmp_path):
    blamed(write(tmp_path, []), None, "rows of data", "cut short")


@pytest.mark.parametrize("unit", ["furlong", "Pa", ""])
def test_an_unknown_unit_is_blamed_in_the_header(tmp_path, unit):
    header = [*HEADER[:-1], NAMES.replace("East (mm)", f"East ({unit})")]
    blamed(write(tmp_path, ROWS, header), 5, "length unit", "mm")


def test_a_missing_column_is_named(tmp_path):
    header = [*HEADER[:-1], NAMES.replace("East (mm)", "Easting (mm)")]
    blamed(write(tmp_path, ROWS, header), 5, "`East (mm)`")


def test_a_column_without_any_number(tmp_path):
    rows = [row.replace(row.split(",")[2], " nan") for row in ROWS]
    blamed(write(tmp_path, rows), None, "`East (mm)`", "all 3 rows")


def test_only_pbo_files_are_recognised(tmp_path):
    assert PboReader().recognises(write(tmp_path))
    other = tmp_path / "other.csv"
    other.write_text("time (s),x (m)\n0,1\n")
    assert not PboReader().recognises(other)


def slow_twin(path):
    """Read a file the obvious way."""
    dates, numbers, flags = [], [], []
    for line in path.read_text().splitlines()[12:]:
        fields = [field.strip() for field in line.split(",")]
        north, east, up, *spread = map(float, fields[1:7])
        dates.append(np.datetime64(fields[0], "ns"))
        numbers.append([east, north, up, spread[1], spread[0], spread[2]])
        flags.append(fields[7])
    return np.array(dates), np.array(numbers), flags


@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[:4])
def test_every_real_file_reads_like_its_slow_twin(path):
    record = read_record(path)
    check_record(record)
    dates, numbers, flags = slow_twin(path)
    np.testing.assert_array_equal(record["time"], dates)
    np.testing.assert_array_equal(record["value"], numbers[:, :3])
    np.testing.assert_array_equal(record["sigma"], numbers[:, 3:])
    assert record["quality"].values.tolist() == flags
    assert record["mask"].all()
    assert record["station"].item() == path.name[:4]
    assert 30 < record["latitude"].item() < 50
    assert -125 < record["longitude"].item() < -115


@needs_data
def test_all_23_real_files_are_there():
    assert len(FILES) == 23


@needs_data
def test_the_jump_of_2010_is_in_the_file():
    path = DATA / "gnss_coseismic_p496" / "P496.pbo.nam08.csv"
    value = read_record(path)["value"]
    jump = value.sel(time="2010-04-05").values - value.sel(time="2010-04-04").values
    np.testing.assert_allclose(np.ravel(jump)[:2], [26.7, -180.5], atol=0.1)


@needs_data
def test_7700_days_are_read_in_a_tenth_of_a_second():
    path = DATA / "cascadia_gnss_pbo" / "ALBH.pbo.nam08.csv"
    days = read_record(path).sizes["time"]
    spent = []
    for _ in range(3):
        start = time.process_time()
        read_record(path)
        spent.append(time.process_time() - start)
    assert days > 7700
    assert min(spent) < 0.1
