"""The store of finished pieces: by name, exact, and of one run only."""

import numpy as np
import pytest

from slipstate.fit.store import FolderStore
from slipstate.ground.errors import CheckpointError, InputError, OutputError

MARKS = {"setting `a`": "1"}


def test_pieces_come_back_by_name(tmp_path):
    store = FolderStore(tmp_path / "checkpoint", MARKS)
    assert store.get("fit") is None
    store.start()
    pieces = {
        name: {"x": np.random.default_rng(i).normal(size=4)}
        for i, name in enumerate(["fit", "fit-2", "piece 0", "piece-000000", "log V"])
    }
    for name, arrays in pieces.items():
        store.put(name, arrays)
    for name, arrays in pieces.items():
        again = FolderStore(tmp_path / "checkpoint", MARKS).get(name)
        assert again is not None
        assert again["x"].tobytes() == arrays["x"].tobytes()


def test_a_piece_put_again_is_replaced(tmp_path):
    store = FolderStore(tmp_path, MARKS)
    for value in range(3):
        store.put("fit", {"x": np.full(2, value)})
    found = store.get("fit")
    assert found is not None
    np.testing.assert_array_equal(found["x"], [2, 2])


def test_a_start_forgets_everything(tmp_path):
    store = FolderStore(tmp_path, MARKS)
    store.put("fit", {"x": np.ones(2)})
    store.start()
    assert list(tmp_path.iterdir()) == []


def test_pieces_of_another_run_are_refused(tmp_path):
    FolderStore(tmp_path, MARKS).put("fit", {"x": np.ones(2)})
    with pytest.raises(CheckpointError, match="setting `a`, 1; found 2"):
        FolderStore(tmp_path, {"setting `a`": "2"}).get("fit")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a*", "[a]", "a\nb"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="`name`"):
        FolderStore(tmp_path, MARKS).put(name, {})


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="File exists"):
        FolderStore(tmp_path / "file", MARKS).start()
