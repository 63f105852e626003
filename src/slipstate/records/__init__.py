"""Observations on disk and on the wire, all as one `xarray.Dataset` schema."""

from slipstate.records.combine import combine
from slipstate.records.netcdf import netcdf_bytes, write_record
from slipstate.records.reader import AbstractReader
from slipstate.records.registry import read_record
from slipstate.records.schema import (
    Samples,
    Station,
    build_record,
    check_record,
    history_line,
    require_length,
)
from slipstate.records.units import Unit, convert

__all__ = [
    "AbstractReader",
    "Samples",
    "Station",
    "Unit",
    "build_record",
    "check_record",
    "combine",
    "convert",
    "history_line",
    "netcdf_bytes",
    "read_record",
    "require_length",
    "write_record",
]
