"""Anything may be handed over as a file; each case gets one clear line."""

import os
from pathlib import Path

import pytest

from slipstate.ground.errors import RecordError
from slipstate.records import read_record
from slipstate.records.text import (
    HEAD_BYTES,
    MAX_LINE_BYTES,
    excerpt,
    first_lines,
    read_text,
)

PBO_HEAD = (
    "PBO Station Position Time Series.\n4-character ID, TEST\n"
    "Date, North (mm), East (mm), Vertical (mm), North Std. Deviation (mm), "
    "East Std. Deviation (mm), Vertical Std. Deviation (mm), Quality,\n"
)
PBO_ROW = "2010-01-{:02d},1.0, 2.0, 3.0, 1.0, 1.0, 3.0, final,\n"


def refused(path, *words, line=None):
    with pytest.raises(RecordError) as caught:
        read_record(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    assert len(message) < len(str(path)) + 400
    for word in words:
        assert word in message, message
    assert caught.value.line == line, message


def test_no_file(tmp_path):
    refused(tmp_path / "none.csv", "nothing at this path", "spelling")


def test_a_name_too_long_for_any_disk(tmp_path):
    refused(tmp_path / ("x" * 5000), "readable file")


def test_a_directory(tmp_path):
    refused(tmp_path, "a directory", "*.csv")


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    refused(path, "empty file")


def test_a_file_of_blank_lines(tmp_path):
    path = tmp_path / "blank.csv"
    path.write_text("\n\n\n")
    refused(path, "found a text that begins nothing", line=1)


def test_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    refused(path, "pipe")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path):
    path = tmp_path / "locked.csv"
    path.write_text("time (s),x (m)\n0,1\n")
    path.chmod(0)
    refused(path, "no permission", "chmod")


def test_no_permission_as_the_system_says_it(tmp_path, monkeypatch):
    path = tmp_path / "locked.csv"
    path.write_text("time (s),x (m)\n0,1\n")

    def locked(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", locked)
    refused(path, "no permission", "chmod")


@pytest.mark.parametrize(
    "start", [b"\x89PNG\r\n\x1a\n\x00\x00", b"\x7fELF\x00", b"\x00"]
)
def test_a_binary_file(tmp_path, start):
    path = tmp_path / "picture.csv"
    path.write_bytes(start + bytes(range(256)) * 10)
    refused(path, "binary file")


def test_utf16(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("time (s),x (m)\n0,1\n", encoding="utf-16")
    refused(path, "UTF-16", "iconv")


def test_latin1_is_blamed_by_line(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(b"# a comment\ntime (s),x (m)\n0,1\n1,2 \xb5\n")
    refused(path, "byte 0xb5", "iconv", line=4)


def test_prose_is_no_record(tmp_path):
    path = tmp_path / "letter.txt"
    path.write_text("Dear reader\nhow are you\n")
    refused(path, "PBO csv", "NGL tenv3", "netCDF", "Dear reader", line=1)


def test_a_sparse_file_of_10_gb_is_refused_at_once(tmp_path):
    path = tmp_path / "sparse.csv"
    with path.open("wb") as handle:
        handle.truncate(10 * 2**30)
    refused(path, "binary file")


def test_a_header_in_front_of_10_gb_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.csv"
    with path.open("wb") as handle:
        rows = PBO_HEAD + "".join(PBO_ROW.format(day % 28 + 1) for day in range(2000))
        handle.write(rows.encode())
        assert handle.tell() > HEAD_BYTES
        handle.truncate(10 * 2**30)
    refused(path, "at most 128 MiB", "10240 MiB", "Split")


def test_a_first_line_without_end(tmp_path):
    path = tmp_path / "line.csv"
    path.write_bytes(b"time (s)," * (2 * MAX_LINE_BYTES // 9))
    refused(path, "a line without end", line=1)


def test_a_later_line_without_end(tmp_path):
    path = tmp_path / "line.csv"
    path.write_bytes(b"time (s),x (m)\n0,1\n1," + b"2" * (MAX_LINE_BYTES + 1) + b"\n")
    refused(path, "a line without end", line=3)


def test_zeros_in_the_middle_are_blamed_by_line(tmp_path):
    # what is left of a download that was cut and preallocated
    path = tmp_path / "cut.csv"
    rows = "".join(PBO_ROW.format(day % 28 + 1) for day in range(2000))
    text = (PBO_HEAD + rows).encode()
    path.write_bytes(text + b"\x00" * 1000)
    refused(path, "NUL", "fetch it again", line=3 + 2000 + 1)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark(tmp_path, end, mark):
    path = tmp_path / "ends.csv"
    path.write_bytes((mark + end.join(["time (s),x (m)", "0,1", "1,2"])).encode())
    assert read_text(path) == "time (s),x (m)\n0,1\n1,2\n"
    assert read_record(path)["value"].values.tolist() == [[1.0], [2.0]]


def test_recognition_reads_the_head_only(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("a,b\n" * HEAD_BYTES)
    assert sum(len(line) + 1 for line in first_lines(path)) <= HEAD_BYTES + 1


@pytest.mark.parametrize(
    ("text", "short"),
    [("", "nothing"), ("a\n b", "`a b`"), ("\x1b[31m", "`?[31m`")],
)
def test_an_excerpt_is_one_printable_line(text, short):
    assert excerpt(text) == short


def test_an_excerpt_is_short():
    assert len(excerpt("x" * 1000)) < 70
