"""Which readers there are, and the one function most users need."""

import os

import xarray as xr

from slipstate.ground.errors import RecordError
from slipstate.records.netcdf import NetcdfReader
from slipstate.records.pbo import PboReader
from slipstate.records.plain import PlainReader
from slipstate.records.reader import AbstractReader
from slipstate.records.tenv3 import Tenv3Reader
from slipstate.records.text import excerpt, first_lines, require_file, require_text
from slipstate.records.waveform import WaveformReader

READERS: tuple[AbstractReader, ...] = (
    NetcdfReader(),
    PboReader(),
    Tenv3Reader(),
    WaveformReader(),
    PlainReader(),
)
"""Every format, asked in this order; the plain csv takes any table, so it is last."""


def read_record(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read observations of any known format.

    Args:
        path: The file.

    Returns:
        A record of the schema in `slipstate.records.schema`.

    Raises:
        RecordError: The file cannot be read; path, line, expectation and remedy.
    """
    place = require_file(path)
    for reader in READERS:
        if reader.recognises(place):
            return reader.read(place)
    require_text(place)
    lines = first_lines(place)
    raise RecordError(
        place,
        f"one of {', '.join(reader.name for reader in READERS)}",
        f"a text that begins {excerpt(lines[0] if lines else '')}",
        "Write a csv whose first line names a time column and value columns with "
        "units, for example `time,east (mm)`.",
        line=1,
    )
