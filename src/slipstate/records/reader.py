"""What a format must supply.

A new format is one new file and one line in `registry`.
"""

import abc
from pathlib import Path

import xarray as xr


class AbstractReader(abc.ABC):
    """Reads one format into the schema of `slipstate.records.schema`.

    The contract battery holds every reader to this: units are set, gaps are masked,
    `history` is not empty, and where a writer exists the round trip is exact.

    Attributes:
        name: The format, as it stands in messages.
    """

    name: str

    @abc.abstractmethod
    def recognises(self, path: Path) -> bool:
        """Tell from the first 64 KiB whether a file is of this format.

        Never raises for a readable file, and never reads the whole of it.
        """

    @abc.abstractmethod
    def read(self, path: Path) -> xr.Dataset:
        """Return the record, or raise `RecordError` with the line to blame."""
