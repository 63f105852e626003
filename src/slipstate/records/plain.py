"""Plain csv: a time column and value columns with units in the header.

```
# station: LAB1
time (s), tau [MPa], slip (mm), slip sd (mm)
0.00, 0.687, 0.0, 0.01
```

The time column comes first: `date` or `time` with ISO 8601 dates, `time (yr)` with
decimal calendar years, or `time (s)`, `(min)`, `(h)`, `(days)` counted from the start,
which become instants from 1970-01-01 on. Lines that begin with `#` are comments; the
keys station, latitude, longitude, height, title and references are read from them.
Columns east, north and up in a length unit make a GNSS record in mm; all else is SI.
"""

import csv
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from slipstate.ground.errors import InputError, RecordError
from slipstate.records.clock import decimal_years, elapsed
from slipstate.records.reader import AbstractReader
from slipstate.records.schema import (
    GNSS_COMPONENTS,
    Samples,
    Station,
    build_record,
    history_line,
)
from slipstate.records.table import (
    Rows,
    data_rows,
    iso_times,
    parse_columns,
    require_values,
)
from slipstate.records.text import excerpt, first_lines, read_text
from slipstate.records.units import Unit, convert

_TIME_NAMES = {"time", "date", "datetime", "t", "year", "decimal year", "epoch"}
_LABEL = re.compile(r"(?P<name>.*?)\s*[(\[]\s*(?P<unit>[^()\[\]]*?)\s*[)\]]\s*")
_SPREAD = re.compile(
    r"(?P<name>.+?)[\s_]+(sd|sigma|std|std\.? dev(iation|\.)?)", re.IGNORECASE
)
_LENGTHS = {"nm", "um", "µm", "μm", "mm", "cm", "m", "km"}
_EXAMPLE = "Write it as in `time (s), tau (MPa)` or `date, east (mm)`."


class _Column(NamedTuple):
    """One column of the header.

    Attributes:
        position: Where it stands, from 0.
        name: Without unit.
        unit: As written, None where none is.
    """

    position: int
    name: str
    unit: str | None


class PlainReader(AbstractReader):
    """Reads csv with units in the header; separated by comma, semicolon or tab."""

    name = "plain csv"

    def recognises(self, path: Path) -> bool:
        """Tell by a first line, comments aside, that holds a separator."""
        header = _header_line(first_lines(path))
        return header is not None and any(mark in header[1] for mark in ",;\t")

    def read(self, path: Path) -> xr.Dataset:
        """Return the columns as components, in SI or (GNSS) mm.

        Args:
            path: The file.

        Returns:
            The record; a column `NAME sd (unit)` becomes the sigma of NAME.

        Raises:
            RecordError: The header or a row cannot be read.
        """
        text = read_text(path)
        header = _header_line(text.split("\n"))
        if header is None:
            raise RecordError(path, "a header line", "only comments", _EXAMPLE)
        line, names = header
        separator = max(",;\t", key=names.count)
        time, values, spreads = _roles(path, line, _columns(names, separator))
        gnss = {column.name.lower() for column in values} <= set(
            GNSS_COMPONENTS
        ) and all(column.unit in _LENGTHS for column in values)
        if gnss:
            values.sort(key=lambda column: GNSS_COMPONENTS.index(column.name.lower()))
        units = [_unit(path, line, column, gnss) for column in values]
        rows = data_rows(path, text, line + 1, separator)
        numbers = {
            column.position: column.name for column in (*values, *spreads.values())
        }
        words: dict[int, str] = {}
        (words if time.unit is None else numbers)[time.position] = time.name
        columns = parse_columns(rows, names.count(separator) + 1, numbers, words)
        value = np.stack(
            [columns[c.position] * unit.factor for c, unit in zip(values, units)], 1
        )
        sigma = np.full_like(value, np.nan)
        for index, column in enumerate(values):
            if column.name in spreads:
                spread = spreads[column.name]
                factor = _unit(path, line, spread, gnss, like=units[index]).factor
                sigma[:, index] = columns[spread.position] * factor
        require_values(rows, [column.name for column in values], value)
        rows.require_positive(sigma, [f"{column.name} sd" for column in values])
        instants, clock = _instants(rows, line, time, columns[time.position])
        notes = _comments(text, line)
        station = _station(path, notes)
        return build_record(
            Samples(
                instants,
                value,
                sigma,
                tuple(c.name.lower() if gnss else c.name for c in values),
                tuple(unit.symbol for unit in units),
            ),
            station,
            kind="gnss" if gnss else "series",
            title=notes.get("title", station.name),
            history=history_line(f"read {path.name} ({self.name}); {clock}"),
            attributes={
                "source": path.name,
                **(
                    {"references": notes["references"]} if "references" in notes else {}
                ),
            },
        )


def _header_line(lines: list[str]) -> tuple[int, str] | None:
    """Return number and text of the first line that is no comment."""
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            return number, line
    return None


def _columns(names: str, separator: str) -> list[_Column]:
    cells = next(csv.reader([names], delimiter=separator, skipinitialspace=True))
    columns = []
    for position, cell in enumerate(cells):
        found = _LABEL.fullmatch(cell.strip())
        name, unit = (found["name"], found["unit"]) if found else (cell.strip(), None)
        columns.append(_Column(position, name.strip(), unit))
    return columns


def _roles(
    path: Path, line: int, columns: list[_Column]
) -> tuple[_Column, list[_Column], dict[str, _Column]]:
    """Return the time column, the value columns, and the spread of each by name."""
    time, rest = columns[0], columns[1:]
    if time.name.lower() not in _TIME_NAMES:
        raise RecordError(
            path,
            "a first column named `time` or `date`",
            excerpt(time.name),
            _EXAMPLE,
            line=line,
        )
    while rest and not rest[-1].name and rest[-1].unit is None:
        rest = rest[:-1]  # a comma at the end of each line
    values: list[_Column] = []
    spreads: dict[str, _Column] = {}
    for column in rest:
        found = _SPREAD.fullmatch(column.name)
        if found:
            spreads[found["name"]] = column
        else:
            values.append(column)
    names = [column.name for column in values]
    for name in names:
        if not name or names.count(name) > 1:
            raise RecordError(
                path,
                "a name of its own for each column",
                excerpt(name),
                _EXAMPLE,
                line=line,
            )
    orphans = sorted(set(spreads) - set(names))
    if orphans or not values:
        raise RecordError(
            path,
            "a value column" + (f" named {excerpt(orphans[0])}" if orphans else ""),
            excerpt(", ".join(names)),
            _EXAMPLE,
            line=line,
        )
    return time, values, spreads


def _unit(
    path: Path, line: int, column: _Column, gnss: bool, *, like: Unit | None = None
) -> Unit:
    """Return the conversion of a column; `like` is the unit its values have."""
    if column.unit is None:
        raise RecordError(
            path,
            "a unit in the header of each column",
            excerpt(column.name),
            f"Write `{column.name} (mm)`, or `{column.name} (1)` for a number without "
            "dimension.",
            line=line,
        )
    try:
        unit = convert(column.unit, lengths_in_mm=gnss)
    except InputError as error:
        raise RecordError(
            path,
            "a known unit",
            excerpt(f"{column.name} ({column.unit})"),
            str(error),
            line=line,
        ) from None
    if like is not None and unit.symbol != like.symbol:
        raise RecordError(
            path,
            f"a spread in {like.symbol} like its value",
            excerpt(f"{column.name} ({column.unit})"),
            "Give the spread the unit of its value.",
            line=line,
        )
    return unit


def _instants(
    rows: Rows, line: int, time: _Column, cells: np.ndarray
) -> tuple[np.ndarray, str]:
    """Return the time axis and how it was made, in words."""
    if time.unit is None or time.unit.upper() in {"UTC", "ISO", "ISO 8601"}:
        remedy = "Write dates as YYYY-MM-DD, or name the unit as in `time (s)`."
        return iso_times(rows, cells, remedy), "times taken as UTC"
    unit = _unit(rows.path, line, time, gnss=False)
    if unit.symbol != "s":
        raise RecordError(
            rows.path,
            "a time unit (s, min, h, days, yr)",
            excerpt(f"{time.name} ({time.unit})"),
            _EXAMPLE,
            line=line,
        )
    if time.unit in {"yr", "year", "years", "a"}:
        return decimal_years(rows.blame, cells), "decimal calendar years taken as UTC"
    return (
        elapsed(rows.blame, cells, unit.factor),
        f"time in {time.unit} counted from 1970-01-01T00:00:00",
    )


def _comments(text: str, line: int) -> dict[str, str]:
    """Return the `# key: value` lines above the header."""
    notes = {}
    for comment in text.split("\n", line)[: line - 1]:
        key, mark, rest = comment.lstrip("# ").partition(":")
        if mark and rest.strip():
            notes[key.strip().lower()] = " ".join(rest.split())
    return notes


def _station(path: Path, notes: dict[str, str]) -> Station:
    def number(key: str) -> float:
        try:
            return float(notes.get(key, "nan").split()[0])
        except ValueError:
            return float("nan")

    return Station(
        notes.get("station", path.name.split(".")[0]),
        number("latitude"),
        number("longitude"),
        number("height"),
    )
