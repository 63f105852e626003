"""NGL tenv3 files, old and new."""

import datetime

import numpy as np
import pytest

from slipstate.ground.errors import RecordError
from slipstate.records import check_record, read_record

OLD = (
    "site YYMMMDD yyyy.yyyy __MJD week d reflon _e0(m) __east(m) ____n0(m) _north(m) "
    "u0(m) ____up(m) _ant(m) sig_e(m) sig_n(m) sig_u(m) __corr_en __corr_eu __corr_nu"
)
NEW = OLD + " _latitude(deg) _longitude(deg) __height(m)"


def row(day, east=0.25, north=0.5, up=0.75, *, new=False, e0=-3815, site="COVE"):
    start = datetime.date(1858, 11, 17)
    date = (start + datetime.timedelta(days=day)).strftime("%y%b%d").upper()
    text = (
        f"{site} {date} 2010.5708 {day} 1594 3 -112.8  {e0} {east:.6f}   4276712  "
        f"{north:.6f}  1687  {up:.6f}  0.1800 0.000902 0.000992 0.004512  0.091352 "
        "-0.536983  0.041338"
    )
    return text + ("  38.6235432767 -242.8438158344  1687.34916" if new else "")


def write(folder, rows, header=OLD, name="COVE.tenv3"):
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def blamed(path, line, *words):
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert caught.value.line == line, caught.value
    for word in words:
        assert word in str(caught.value), caught.value


def test_metres_become_millimetres_from_the_first_epoch(tmp_path):
    rows = [row(55405), row(55406, 0.2512, 0.4979, 0.76), row(55409, -0.75, 1.5, 0.75)]
    record = read_record(write(tmp_path, rows))
    check_record(record)
    expected = [[0, 0, 0], [1.2, -2.1, 10.0], [-1000.0, 1000.0, 0]]
    np.testing.assert_allclose(record["value"], expected, atol=1e-9)
    np.testing.assert_allclose(record["sigma"][0], [0.902, 0.992, 4.512], rtol=1e-12)
    days = np.array(["2010-07-28", "2010-07-29", "2010-08-01"], "datetime64[ns]")
    np.testing.assert_array_equal(record["time"], days)
    assert record["station"].item() == "COVE"
    assert record["value"].attrs["units"] == "mm"
    assert np.isnan(record["latitude"].item())


def test_a_change_of_the_whole_metres_is_no_jump(tmp_path):
    rows = [row(55405, 0.999), row(55406, 0.001, e0=-3814)]
    record = read_record(write(tmp_path, rows))
    np.testing.assert_allclose(record["value"][1, 0], 2.0, atol=1e-9)


def test_newer_files_say_where_the_station_is(tmp_path):
    rows = [row(day, new=True) for day in (55405, 55406)]
    record = read_record(write(tmp_path, rows, NEW))
    assert record["latitude"].item() == pytest.approx(38.6235432767, abs=1e-12)
    assert record["longitude"].item() == pytest.approx(117.1561841656, abs=1e-9)
    assert record["height"].item() == pytest.approx(1687.34916, abs=1e-12)


def test_days_of_the_last_century(tmp_path):
    record = read_record(write(tmp_path, [row(50083), row(51544)]))
    days = np.array(["1996-01-01", "2000-01-01"], "datetime64[ns]")
    np.testing.assert_array_equal(record["time"], days)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (row(55406)[:-30], ("20 fields", "in `COVE")),
        (row(55406).replace("0.000902", "x.000902"), ("sig_e(m)", "`x.000902`")),
        (row(55406).replace("0.000902", "inf"), ("finite", "`inf`")),
        (row(55406).replace("0.000902", "0.0"), ("positive", "sig_e(m)")),
        (row(55405), ("again", "Remove")),
        (row(55404), ("goes back", "Sort")),
        (row(55406).replace(" 55406 ", " 55407 "), ("Julian day 55407", "`10JUL29`")),
        (row(55406).replace(" 55406 ", " 5540 "), ("modified Julian day", "`5540`")),
        (row(55406).replace(" 55406 ", " nan "), ("modified Julian day", "`nan`")),
        (row(55406, site="P401"), ("the station COVE", "`P401`")),
    ],
)
def test_a_wrong_row_is_blamed_by_line(tmp_path, wrong, words):
    blamed(write(tmp_path, [row(55405), wrong, row(55410)]), 3, *words)


def test_a_file_cut_in_the_middle(tmp_path):
    path = write(tmp_path, [row(55405), row(55406)])
    path.write_text(path.read_text()[:-40])
    blamed(path, 3, "cut short")


def test_a_column_without_any_number(tmp_path):
    rows = [row(day).replace("0.250000", "nan") for day in (55405, 55406)]
    blamed(write(tmp_path, rows), None, "__east(m)", "only missing")
