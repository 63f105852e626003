"""A file is complete or it is not there."""

import errno
import os
from pathlib import Path

import pytest

from slipstate.ground.errors import OutputError
from slipstate.ground.files import make_folder, replace_file


def test_the_content_is_what_was_given(tmp_path):
    path = tmp_path / "x.bin"
    replace_file(path, b"one")
    replace_file(path, memoryview(b"two"))
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_that_of_an_ordinary_new_file(tmp_path):
    replace_file(tmp_path / "x", b"")
    (tmp_path / "y").touch()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "fdopen"])
def test_whatever_fails_the_old_file_stays(tmp_path, monkeypatch, number, step):
    path = tmp_path / "x"
    replace_file(path, b"old")

    def failing(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, step, failing)
    with pytest.raises(OutputError, match=os.strerror(number)) as caught:
        replace_file(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x"
    replace_file(path, b"old")

    class KilledError(BaseException):
        pass

    def killed(*_):
        raise KilledError

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KilledError):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("where", "words"),
    [("none/x", "Create the folder"), ("file/x", "A file stands"), ("", "folder")],
)
def test_a_place_that_cannot_be_is_named(tmp_path, where, words):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "y").touch()
    place = tmp_path / where if where else tmp_path / "full"
    with pytest.raises(OutputError, match=words):
        replace_file(place, b"")


def test_folders_are_made_once_and_refused_over_a_file(tmp_path):
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "c").touch()
    with pytest.raises(OutputError, match="found `File exists`"):
        make_folder(tmp_path / "c")
