"""Observations on disk and on the wire, all as one `xarray.Dataset` schema."""

from slipstate.records.reader import AbstractReader
from slipstate.records.registry import READERS, read_record
from slipstate.records.schema import (
    Samples,
    Station,
    build_record,
    check_record,
    history_line,
    require_length,
)

__all__ = [
    "READERS",
    "AbstractReader",
    "Samples",
    "Station",
    "build_record",
    "check_record",
    "history_line",
    "read_record",
    "require_length",
]
