"""Finished pieces of a long run, kept by name.

A piece is written when it is complete and read back when the run is repeated, so a
run that was killed repeats only the piece it was at. `ChunkLog` is the same for pieces
that have an order.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from slipstate.fit.checkpoint import load_checkpoint, save_checkpoint
from slipstate.ground.files import make_folder, output_error


class FolderStore:
    """Keeps the pieces of one run in a folder.

    Attributes:
        folder: Where the pieces are.
        marks: The fingerprint of the run; see `fingerprint`.
    """

    def __init__(self, folder: Path, marks: Mapping[str, str]) -> None:
        """Open the store; nothing is read or written yet.

        Args:
            folder: Where the pieces are.
            marks: The fingerprint of the run.
        """
        self.folder = folder
        self.marks = dict(marks)

    def start(self) -> None:
        """Forget what an earlier run left in the folder.

        Raises:
            OutputError: The folder cannot be made or cleared.
        """
        make_folder(self.folder)
        # the seals first: arrays without a seal are never read
        for pattern in ("*.json", "*.safetensors"):
            for path in sorted(self.folder.glob(pattern)):
                try:
                    path.unlink()
                except OSError as error:
                    raise output_error(path, error) from None

    def get(self, name: str) -> dict[str, np.ndarray] | None:
        """Return the arrays kept under a name, None where there are none.

        Args:
            name: Name of the piece.

        Returns:
            The arrays, bit for bit as they were put.

        Raises:
            CheckpointError: The piece belongs to other data, settings or version.
        """
        found = load_checkpoint(self.folder, name, marks=self.marks)
        return None if found is None else found.arrays

    def put(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a name, whole or not at all.

        Args:
            name: Name of the piece.
            arrays: Numeric or boolean arrays by name.

        Raises:
            InputError: The name or an array cannot be kept.
            OutputError: The disk is full or locked; other pieces are untouched.
        """
        save_checkpoint(self.folder, name, arrays, None, marks=self.marks)
