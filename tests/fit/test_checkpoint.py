"""Checkpoints: exact, refused for the wrong run, and whole after a kill anywhere."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from slipstate.fit.checkpoint import (
    ChunkLog,
    fingerprint,
    load_checkpoint,
    save_checkpoint,
)
from slipstate.ground.errors import CheckpointError, InputError, OutputError

MARKS = {"slipstate version": "x", "setting `horizon`": "30"}
DTYPES = ["<f8", "<f4", "<i8", "<i4", "|b1", "|u1"]


def chunk(number):
    rng = np.random.default_rng(number)
    return {"mean": rng.normal(size=(5, 3))}, {"state": rng.normal(size=3)}


def same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert array.shape == other[name].shape
        assert array.tobytes() == other[name].tobytes()


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
    ),
    transpose=st.booleans(),
)
def test_arrays_come_back_bit_for_bit(tmp_path_factory, array, transpose):
    array = array.T if transpose else array
    folder = tmp_path_factory.mktemp("state")
    meta = {"text": "é", "number": 0.1 + 0.2, "list": [1, None, True]}
    save_checkpoint(folder, "fit", {"x": array}, meta, marks=MARKS)
    found = load_checkpoint(folder, "fit", marks=MARKS)
    assert found is not None
    same(found.arrays, {"x": np.array(array, order="C")})
    assert found.meta == meta


def test_nothing_saved_is_nothing_loaded(tmp_path):
    assert load_checkpoint(tmp_path, "fit", marks=MARKS) is None
    assert load_checkpoint(tmp_path / "none", "fit", marks=MARKS) is None
    assert ChunkLog(tmp_path, MARKS).resume() == []


def test_the_newest_is_loaded_and_one_before_it_is_kept(tmp_path):
    for value in range(5):
        save_checkpoint(tmp_path, "fit", {"x": np.array([value])}, value, marks=MARKS)
    found = load_checkpoint(tmp_path, "fit", marks=MARKS)
    assert found is not None
    assert found.meta == 4
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_torn_file_is_noticed_and_the_one_before_is_used(tmp_path, suffix):
    for value in range(2):
        save_checkpoint(tmp_path, "fit", {"x": np.array([value])}, value, marks=MARKS)
    newest = tmp_path / f"fit-000001{suffix}"
    whole = newest.read_bytes()
    for end in range(len(whole)):
        newest.write_bytes(whole[:end])
        found = load_checkpoint(tmp_path, "fit", marks=MARKS)
        assert found is not None
        assert found.meta == 0
    newest.unlink()
    assert load_checkpoint(tmp_path, "fit", marks=MARKS) is not None


def test_a_flipped_bit_is_noticed(tmp_path):
    for value in range(2):
        save_checkpoint(tmp_path, "fit", {"x": np.ones(4)}, value, marks=MARKS)
    newest = tmp_path / "fit-000001.safetensors"
    damaged = bytearray(newest.read_bytes())
    damaged[-1] ^= 1
    newest.write_bytes(damaged)
    found = load_checkpoint(tmp_path, "fit", marks=MARKS)
    assert found is not None
    assert found.meta == 0


@pytest.mark.parametrize(
    ("arrays", "meta", "words"),
    [
        ({"x": np.array(["text"])}, None, "numbers or booleans"),
        ({"x": np.array([object()])}, None, "numbers or booleans"),
        ({"x": np.array(["2000-01-01"], "datetime64[D]")}, None, "times as int64"),
        ({}, {"x": object()}, "JSON"),
    ],
)
def test_what_cannot_be_saved_is_refused(tmp_path, arrays, meta, words):
    with pytest.raises(InputError, match=words):
        save_checkpoint(tmp_path, "fit", arrays, meta, marks=MARKS)
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_names_what_changed(tmp_path):
    data = tmp_path / "a.csv"
    data.write_text("1")
    marks = fingerprint([data], {"horizon": 30, "method": "imm"})
    assert marks == fingerprint([data], {"method": "imm", "horizon": 30})
    folder = tmp_path / "state"
    save_checkpoint(folder, "fit", {}, None, marks=marks)
    other = fingerprint([data], {"horizon": 20, "method": "imm"})
    with pytest.raises(CheckpointError, match=r"`horizon`, 30; found 20\. Resume"):
        load_checkpoint(folder, "fit", marks=other)
    data.write_text("2")
    changed = fingerprint([data], {"horizon": 20, "method": "imm"})
    with pytest.raises(CheckpointError, match=r"file 1 \(a.csv\).*and 1 more"):
        load_checkpoint(folder, "fit", marks=changed)
    fewer = fingerprint([], {"horizon": 30, "method": "imm"})
    with pytest.raises(CheckpointError, match=r"a.csv.*absent"):
        load_checkpoint(folder, "fit", marks=fewer)


def test_an_input_that_is_gone_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="No such file"):
        fingerprint([tmp_path / "gone.csv"], {})


def test_chunks_come_back_in_order_and_go_on(tmp_path):
    log = ChunkLog(tmp_path, MARKS)
    log.start()
    for number in range(3):
        log.append(*chunk(number), meta={"number": number})
    again = ChunkLog(tmp_path, MARKS)
    found = again.resume()
    assert [part.meta["number"] for part in found] == [0, 1, 2]
    for number, part in enumerate(found):
        results, carry = chunk(number)
        same(part.arrays, {**results, "carry/state": carry["state"]})
    again.append(*chunk(3), meta={"number": 3})
    assert len(ChunkLog(tmp_path, MARKS).resume()) == 4


def test_a_new_start_forgets_the_old_run(tmp_path):
    log = ChunkLog(tmp_path, MARKS)
    log.start()
    for number in range(3):
        log.append(*chunk(number))
    log.start()
    assert ChunkLog(tmp_path, MARKS).resume() == []
    assert list(tmp_path.iterdir()) == []


def test_chunks_of_another_run_are_refused(tmp_path):
    log = ChunkLog(tmp_path, MARKS)
    log.start()
    log.append(*chunk(0))
    with pytest.raises(CheckpointError, match="--resume"):
        ChunkLog(tmp_path, {**MARKS, "setting `horizon`": "20"}).resume()


@pytest.mark.parametrize("name", ["chunk-000002.safetensors", "state.json"])
def test_a_torn_last_file_costs_one_chunk_at_most(tmp_path, name):
    log = ChunkLog(tmp_path, MARKS)
    log.start()
    for number in range(3):
        log.append(*chunk(number))
    path = tmp_path / name
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        found = ChunkLog(tmp_path, MARKS).resume()
        assert len(found) == 2
        same(found[1].arrays | {}, {**chunk(1)[0], "carry/state": chunk(1)[1]["state"]})


def test_a_chunk_torn_in_the_middle_ends_the_row_before_it(tmp_path):
    log = ChunkLog(tmp_path, MARKS)
    log.start()
    for number in range(4):
        log.append(*chunk(number))
    (tmp_path / "chunk-000001.safetensors").write_bytes(b"torn")
    again = ChunkLog(tmp_path, MARKS)
    assert len(again.resume()) == 1
    again.append(*chunk(1))
    assert len(ChunkLog(tmp_path, MARKS).resume()) == 2


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_a_full_disk_leaves_every_chunk_before(tmp_path, monkeypatch, fail_at):
    log = ChunkLog(tmp_path, MARKS)
    log.start()
    log.append(*chunk(0))
    log.append(*chunk(1))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    calls = [0]
    real = os.fsync

    def full(descriptor):
        # each file is followed by one sync of its folder
        if calls[0] == 2 * fail_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        calls[0] += 1
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        log.append(*chunk(2))
    monkeypatch.undo()
    for path, content in before.items():
        if path.name != "state.previous.json":
            assert path.read_bytes() == content
    again = ChunkLog(tmp_path, MARKS)
    assert len(again.resume()) == 2
    log.append(*chunk(2))
    assert len(again.resume()) == 3


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, "fit", {"x": np.ones(2)}, 0, marks=MARKS)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(tmp_path, "fit", {"x": np.ones(2)}, 1, marks=MARKS)
    found = load_checkpoint(tmp_path, "fit", marks=MARKS)
    assert found is not None
    assert found.meta == 0


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from slipstate.fit.checkpoint import ChunkLog
log = ChunkLog(Path(sys.argv[1]), {"a": "b"})
done = log.resume()
for number in range(len(done), 100_000):
    rng = np.random.default_rng(number)
    log.append({"x": rng.normal(size=2000)}, {"s": rng.normal(size=3)}, number)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_sigkill_at_any_moment_leaves_a_row_of_whole_chunks(tmp_path):
    """The process is killed at random; what is there is what it said it had saved."""
    rng = np.random.default_rng(1)
    saved = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, tmp_path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        time.sleep(float(rng.uniform(0, 0.05)))
        process.send_signal(signal.SIGKILL)
        rest = [line, *process.stdout.readlines()]
        process.stdout.close()
        process.wait()
        said = int(rest[-1]) + 1
        found = ChunkLog(Path(tmp_path), {"a": "b"}).resume()
        # one more may be complete that there was no time to speak of
        assert said <= len(found) <= said + 1
        assert len(found) > saved
        saved = len(found)
        for number, part in enumerate(found):
            expected = np.random.default_rng(number)
            same(
                part.arrays,
                {"x": expected.normal(size=2000), "carry/s": expected.normal(size=3)},
            )
            assert part.meta == number


def test_nothing_on_disk_is_a_pickle(tmp_path):
    save_checkpoint(tmp_path, "fit", {"x": np.ones(2)}, {"a": 1}, marks=MARKS)
    data = (tmp_path / "fit-000000.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert json.loads(data[8 : 8 + length])["x"]["dtype"] == "F64"
    json.loads((tmp_path / "fit-000000.json").read_text())
