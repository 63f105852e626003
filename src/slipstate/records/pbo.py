"""Daily positions of the Plate Boundary Observatory, csv form.

A dozen header lines `key, value`, then a row of column names with units, then a row a
day. Every row ends in a comma, like the row of names.

References:
    Herring, T. A. et al. (2016), Rev. Geophys. 54, 759-808, doi:10.1002/2016RG000529.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from slipstate.ground.errors import InputError, RecordError
from slipstate.records.reader import AbstractReader
from slipstate.records.schema import (
    GNSS_COMPONENTS,
    Samples,
    Station,
    build_record,
    history_line,
)
from slipstate.records.table import (
    data_rows,
    iso_times,
    parse_columns,
    require_values,
)
from slipstate.records.text import excerpt, first_lines, read_text
from slipstate.records.units import convert

_FIRST_LINE = "PBO Station Position Time Series"
_LONGEST_HEADER = 100
_DIRECTION = {"east": "east", "north": "north", "up": "vertical"}
_POSITION = re.compile(
    r"([-+.\d]+)\s*North Latitude\s*,\s*([-+.\d]+)\s*East Longitude\s*,"
    r"\s*([-+.\d]+)\s*meters",
    re.IGNORECASE,
)
_REFERENCE = "Herring et al. (2016), doi:10.1002/2016RG000529"


class _Header(NamedTuple):
    """The lines above the data.

    Attributes:
        entries: Key to value.
        columns: Names of the columns, the last one empty.
        line: Line number of the row of names.
    """

    entries: dict[str, str]
    columns: list[str]
    line: int


class PboReader(AbstractReader):
    """Reads PBO csv files (`*.pbo.*.csv`); values stay in mm."""

    name = "PBO csv"

    def recognises(self, path: Path) -> bool:
        """Tell by the first line."""
        lines = first_lines(path)
        return bool(lines) and lines[0].startswith(_FIRST_LINE)

    def read(self, path: Path) -> xr.Dataset:
        """Return positions relative to the first epoch, as the file gives them.

        Args:
            path: The file.

        Returns:
            Components east, north, up [mm]; dates at 00:00 UTC.

        Raises:
            RecordError: A row or the header cannot be read.
        """
        text = read_text(path)
        header = _read_header(path, text)
        value = {name: _find(path, header, name, "") for name in GNSS_COMPONENTS}
        sigma = {name: _find(path, header, name, "sd") for name in GNSS_COMPONENTS}
        numbers = {
            position: header.columns[position]
            for position, _ in (*value.values(), *sigma.values())
        }
        words = {0: "Date"}
        flag = [i for i, name in enumerate(header.columns) if name == "Quality"]
        words |= dict.fromkeys(flag, "Quality")
        rows = data_rows(path, text, header.line + 1, ",")
        columns = parse_columns(rows, len(header.columns), numbers, words)
        time = iso_times(rows, columns[0], "Write dates as YYYY-MM-DD.")

        def table(place: dict[str, tuple[int, float]]) -> np.ndarray:
            return np.stack([columns[i] * factor for i, factor in place.values()], 1)

        values, spread = table(value), table(sigma)
        require_values(rows, [numbers[i] for i, _ in value.values()], values)
        rows.require_positive(spread, [numbers[i] for i, _ in sigma.values()])
        samples = Samples(
            time=time,
            value=values,
            sigma=spread,
            components=GNSS_COMPONENTS,
            units=("mm",) * 3,
            quality=columns[flag[0]] if flag else None,
        )
        entries = header.entries
        station = _station(path, entries)
        frame = entries.get("Reference Frame", "unknown frame")
        return build_record(
            samples,
            station,
            kind="gnss",
            title=f"{station.name}: daily GNSS positions ({frame})",
            history=history_line(
                f"read {path.name} ({self.name}); positions relative to the first "
                "epoch; dates kept at 00:00 UTC"
            ),
            attributes={
                "references": _REFERENCE,
                "source": path.name,
                "reference_frame": frame,
                "station_name": entries.get("Station name", ""),
                "release_date": entries.get("Release Date", ""),
            },
        )


def _read_header(path: Path, text: str) -> _Header:
    entries: dict[str, str] = {}
    lines = text.split("\n", _LONGEST_HEADER)[:_LONGEST_HEADER]
    for number, line in enumerate(lines, start=1):
        key, _, rest = line.partition(",")
        if key.strip() == "Date":
            return _Header(entries, [name.strip() for name in line.split(",")], number)
        entries[key.strip()] = rest.strip().strip(",").strip()
    raise RecordError(
        path,
        "a row of column names `Date, North (mm), ...`",
        f"none in {len(lines)} lines",
        "The file is cut short or is no PBO csv; fetch it again.",
    )


def _find(path: Path, header: _Header, component: str, what: str) -> tuple[int, float]:
    """Return position of a column and the factor to mm."""
    direction = _DIRECTION[component]
    for position, name in enumerate(header.columns):
        label, _, unit = name.partition("(")
        words = label.lower().split()
        spread = any(word in {"sd", "std.", "sigma"} for word in words[1:])
        if words[:1] == [direction] and spread == bool(what):
            try:
                target = convert(unit.rstrip(") "), lengths_in_mm=True)
            except InputError as error:
                raise RecordError(
                    path,
                    "a length unit (mm, cm, m)",
                    excerpt(name),
                    str(error),
                    line=header.line,
                ) from None
            if target.symbol == "mm":
                return position, target.factor
            raise RecordError(
                path,
                "a length unit (mm, cm, m)",
                excerpt(name),
                "Name the columns as in `North (mm)`.",
                line=header.line,
            )
    wanted = f"{direction.title()} {'Std. Deviation ' if what else ''}(mm)"
    raise RecordError(
        path,
        f"a column `{wanted}`",
        excerpt(", ".join(header.columns)),
        "Fetch the file again, or use a plain csv with units in its header.",
        line=header.line,
    )


def _station(path: Path, entries: dict[str, str]) -> Station:
    name = entries.get("4-character ID", "") or path.name.split(".")[0]
    found = _POSITION.search(entries.get("Reference position", ""))
    if found is None:
        return Station(name)
    return Station(name, *(float(part) for part in found.groups()))
