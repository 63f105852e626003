"""Saved states that survive a kill at any moment, and refuse to fit the wrong run.

Arrays travel as safetensors, everything else as JSON; nothing is ever unpickled. A
file is complete or absent (`slipstate.ground.files`), every file is named with its
SHA-256 in a later one, and the one before is kept: a torn file is noticed and the state
before it is used. A `fingerprint` of the input keeps a run from going on with other
data.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy

from slipstate import __version__
from slipstate.ground.archive import Json, digest, dump, pack, unpack_meta
from slipstate.ground.errors import CheckpointError, InputError
from slipstate.ground.files import (
    make_folder,
    output_error,
    replace_file,
    replace_files,
)

_BLOCK = 1 << 20
_KEPT = 2
_NAME = re.compile(r"\w[\w .-]*")


class Checkpoint(NamedTuple):
    """A saved state.

    Attributes:
        arrays: Arrays by name, bit for bit as they were saved.
        meta: What was saved beside them.
    """

    arrays: dict[str, np.ndarray]
    meta: Json


def fingerprint(files: Sequence[Path], settings: Mapping[str, Json]) -> dict[str, str]:
    """Return what a run depends on, part by part, so that a difference can be named.

    Args:
        files: Input files; their content counts and not their place.
        settings: Everything else that changes the result, JSON-encodable.

    Returns:
        Part to digest or value.

    Raises:
        CheckpointError: A file cannot be read.
    """
    parts = {"slipstate version": __version__}
    for number, path in enumerate(files, start=1):
        content = hashlib.sha256()
        try:
            with path.open("rb") as handle:
                while block := handle.read(_BLOCK):
                    content.update(block)
        except OSError as error:
            raise CheckpointError(
                f"{path}: expected a readable input; found `{error.strerror}`. The "
                "run can go on only with the files it began with."
            ) from None
        parts[f"file {number} ({path.name})"] = content.hexdigest()
    for name, value in settings.items():
        parts[f"setting `{name}`"] = json.dumps(value, sort_keys=True)
    return parts


def save_checkpoint(
    folder: Path,
    name: str,
    arrays: Mapping[str, np.ndarray],
    meta: Json,
    *,
    marks: Mapping[str, str],
) -> None:
    """Save a state under a name; the one saved before it is kept.

    Args:
        folder: Where checkpoints live; created where missing.
        name: Name of the state, for example "fit".
        arrays: Numeric or boolean arrays by name.
        meta: Anything JSON can hold.
        marks: The fingerprint of the run.

    Raises:
        InputError: The name, an array or `meta` cannot be saved.
        OutputError: The disk is full or locked; the states before are untouched.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"`name` must be letters, digits, blanks, `-`, `_` and `.`; got {name!r}. "
            "It becomes the name of a file."
        )
    make_folder(folder)
    earlier = _numbers(folder, name)
    number = earlier[-1] + 1 if earlier else 0
    data = pack(arrays)
    body = {"marks": dict(marks), "meta": meta, "sha256": digest(data)}
    sealed = _seal(body)  # before anything is written: `meta` may not be JSON
    replace_files(
        {
            _arrays_path(folder, name, number): data,
            _seal_path(folder, name, number): sealed,
        }
    )
    for old in earlier[: -(_KEPT - 1)]:
        _seal_path(folder, name, old).unlink(missing_ok=True)
        _arrays_path(folder, name, old).unlink(missing_ok=True)


def load_checkpoint(
    folder: Path, name: str, *, marks: Mapping[str, str]
) -> Checkpoint | None:
    """Return the newest whole state of a name.

    Args:
        folder: Where checkpoints live.
        name: Name of the state.
        marks: The fingerprint of the run that wants to go on.

    Returns:
        The state, or None where there is none that is whole.

    Raises:
        CheckpointError: The state belongs to other data, settings or another version.
    """
    for number in reversed(_numbers(folder, name)):
        body = _unseal(_seal_path(folder, name, number))
        data = _whole(_arrays_path(folder, name, number), body)
        if body is None or data is None:
            continue
        _require_same(folder, body["marks"], marks)
        return Checkpoint(safetensors.numpy.load(data), body["meta"])
    return None


class ChunkLog:
    """The results of a long run, chunk by chunk, with the state to go on from.

    `chunk-000012.safetensors` holds the results and the carried state at the end of
    chunk 12; `state.json` names every complete chunk with its checksum, and
    `state.previous.json` is what it was one chunk earlier. Resuming takes the longest
    row of whole chunks, so it repeats exactly what the run would have done.

    Attributes:
        folder: Where the files are.
        marks: The fingerprint of the run.
    """

    def __init__(self, folder: Path, marks: Mapping[str, str]) -> None:
        """Open the log of a run; nothing is read or written yet.

        Args:
            folder: Where the files are.
            marks: The fingerprint of the run.
        """
        self.folder = folder
        self.marks = dict(marks)
        self._chunks: list[str] = []

    def start(self) -> None:
        """Forget an earlier run in this folder and begin with chunk 0.

        Raises:
            OutputError: The folder cannot be made or cleared.
        """
        make_folder(self.folder)
        self._chunks = []
        # the states first: chunks without a state are never read
        for pattern in ("state*.json", "chunk-*.safetensors"):
            for path in sorted(self.folder.glob(pattern)):
                try:
                    path.unlink()
                except OSError as error:
                    raise output_error(path, error) from None

    def resume(self) -> list[Checkpoint]:
        """Return every whole chunk, in order; the next `append` follows the last.

        Returns:
            The chunks; empty where there is nothing to resume from.

        Raises:
            CheckpointError: They belong to other data, settings or another version.
        """
        self._chunks = []
        for name in ("state.json", "state.previous.json"):
            body = _unseal(self.folder / name)
            if body is None:
                continue
            _require_same(self.folder, body["marks"], self.marks)
            found = self._read(body["chunks"])
            self._chunks = body["chunks"][: len(found)]
            return found
        return []

    def append(
        self,
        results: Mapping[str, np.ndarray],
        carry: Mapping[str, np.ndarray],
        meta: Json = None,
    ) -> None:
        """Save one more chunk.

        Args:
            results: What the chunk adds to the output, by name.
            carry: The state after the chunk, by name; `Checkpoint.arrays` holds it
                under "carry/NAME".
            meta: Anything JSON can hold.

        Raises:
            InputError: An array or `meta` cannot be saved.
            OutputError: The disk is full or locked; the chunks before are untouched.
        """
        arrays = {**results, **{f"carry/{key}": x for key, x in carry.items()}}
        data = pack(arrays, meta)
        chunks = [*self._chunks, digest(data)]
        replace_file(self._chunk_path(len(self._chunks)), data)
        state = self.folder / "state.json"
        if state.exists():
            replace_file(self.folder / "state.previous.json", state.read_bytes())
        replace_file(state, _seal({"marks": self.marks, "chunks": chunks}))
        self._chunks = chunks

    def _read(self, digests: list[str]) -> list[Checkpoint]:
        found = []
        for number, mark in enumerate(digests):
            data = _whole(self._chunk_path(number), {"sha256": mark})
            if data is None:
                break
            found.append(Checkpoint(safetensors.numpy.load(data), unpack_meta(data)))
        return found

    def _chunk_path(self, number: int) -> Path:
        return self.folder / f"chunk-{number:06d}.safetensors"


def _seal(body: dict[str, Json]) -> bytes:
    text = dump(body)
    return json.dumps({"body": text, "sha256": digest(text.encode())}).encode()


def _unseal(path: Path) -> dict[str, Json] | None:
    """Return the content of a sealed file, or None where it is absent or torn."""
    try:
        outer = json.loads(path.read_bytes())
        if digest(outer["body"].encode()) == outer["sha256"]:
            return json.loads(outer["body"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return None


def _whole(path: Path, body: dict[str, Json] | None) -> bytes | None:
    """Return the bytes of a file whose checksum is known, or None where they differ."""
    if body is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if digest(data) == body["sha256"] else None


def _require_same(
    folder: Path, then: Mapping[str, str], now: Mapping[str, str]
) -> None:
    differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if not differing:
        return
    key = differing[0]
    was, got = (marks.get(key, "absent")[:40] for marks in (then, now))
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    raise CheckpointError(
        f"{folder}: expected to resume with the same {key}, {was}; found {got}{more}. "
        "Resume with the data and settings of the run, or start afresh without "
        "--resume."
    )


def _numbers(folder: Path, name: str) -> list[int]:
    """Return the numbers of the sealed states of a name, oldest first."""
    tails = [
        path.stem.removeprefix(f"{name}-") for path in folder.glob(f"{name}-*.json")
    ]
    return sorted(int(tail) for tail in tails if tail.isdigit())


def _arrays_path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:06d}.safetensors"


def _seal_path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:06d}.json"
