from .combine import combine as combine
from .netcdf import netcdf_bytes as netcdf_bytes, write_record as write_record
from .reader import AbstractReader as AbstractReader
from .registry import read_record as read_record
from .schema import (
    Samples as Samples,
    Station as Station,
    build_record as build_record,
    check_record as check_record,
    history_line as history_line,
    require_length as require_length,
)
from .units import Unit as Unit, convert as convert
