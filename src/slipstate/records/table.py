"""Rows of text to arrays: one fast road, and one exact road that finds the fault.

The fast road is numpy's compiled parser on the whole block; it is taken only after
every row was seen to have the right number of fields. Where it stumbles, the slow road
reads row by row and either succeeds (empty cells) or names the line to blame. Both
accept the same language: decimal numbers, and `nan`, `NA`, `null` or an empty cell for
a missing one. Infinity is refused.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from slipstate.ground.errors import RecordError
from slipstate.records.text import excerpt

Blame = Callable[[int, str, str, str], RecordError]
"""Takes a position, what was expected, what was found and the remedy."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MISSING = re.compile(r"([+-]?nan|na|null)?", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)", re.ASCII)
_LONGEST_TEXT = 64


@dataclass(frozen=True)
class Rows:
    """The data rows of a file: no header, no comments, no blank lines.

    Attributes:
        path: The file.
        rows: Text of each row.
        lines: Line number of each row, counted from 1.
        separator: The character between fields, or None for white space.
    """

    path: Path
    rows: list[str]
    lines: np.ndarray
    separator: str | None

    def blame(self, index: int, expected: str, found: str, remedy: str) -> RecordError:
        """Return the error that names the line of one row.

        Args:
            index: Position of the row.
            expected: What should stand there.
            found: What stands there.
            remedy: What to do.

        Returns:
            The error, to be raised.
        """
        line = int(self.lines[index])
        return RecordError(self.path, expected, found, remedy, line=line)

    def require_positive(self, spread: np.ndarray, names: list[str]) -> None:
        """Raise at the first standard deviation that is zero or negative.

        Args:
            spread: Standard deviations, NaN where unknown (time, component).
            names: Name of each column.

        Raises:
            RecordError: One is not positive; the line is named.
        """
        wrong = np.argwhere(spread <= 0)
        if wrong.size:
            index, column = (int(part) for part in wrong[0])
            raise self.blame(
                index,
                f"a positive standard deviation in {excerpt(names[column])}",
                f"`{spread[index, column]:g}`",
                "Leave the cell empty where the spread is unknown.",
            )

    def fields(self, index: int) -> list[str]:
        """Return the stripped fields of one row."""
        return [field.strip() for field in self.rows[index].split(self.separator)]


def data_rows(path: Path, text: str, first_line: int, separator: str | None) -> Rows:
    """Return the rows of a file from `first_line` on.

    Args:
        path: The file.
        text: Its whole text.
        first_line: Line number of the first row, counted from 1.
        separator: The character between fields, or None for white space.

    Returns:
        The rows that are neither blank nor comments (`#`).

    Raises:
        RecordError: There is no row.
    """
    rows, lines = [], []
    # split, not splitlines: only "\n" ends a line here, as in every editor's count
    for number, row in enumerate(text.split("\n"), start=1):
        if number >= first_line and row and not row.isspace() and row[0] != "#":
            rows.append(row.replace('"', "") if '"' in row else row)
            lines.append(number)
    if not rows:
        raise RecordError(
            path,
            "rows of data below the header",
            "none",
            "The file is cut short; fetch it again.",
        )
    return Rows(path, rows, np.asarray(lines), separator)


def parse_columns(
    table: Rows, width: int, numbers: dict[int, str], texts: dict[int, str]
) -> dict[int, np.ndarray]:
    """Return the wanted columns of a table.

    Args:
        table: The rows.
        width: Fields every row must have.
        numbers: Position to name of the columns that hold numbers.
        texts: Position to name of the columns that hold text.

    Returns:
        Position to array; numbers are float64 with NaN where missing.

    Raises:
        RecordError: A row has too few or too many fields, or a cell is no number.
    """
    _require_width(table, width)
    try:
        columns = _parse_fast(table, width, numbers, texts)
    except ValueError:
        columns = parse_slowly(table, numbers, texts)
    for position, name in numbers.items():
        infinite = np.flatnonzero(np.isinf(columns[position]))
        if infinite.size:
            _blame_cell(table, int(infinite[0]), position, name)
    return columns


def parse_slowly(
    table: Rows, numbers: dict[int, str], texts: dict[int, str]
) -> dict[int, np.ndarray]:
    """Return what `parse_columns` returns, cell by cell.

    Args:
        table: The rows, all of the right width.
        numbers: Position to name of the columns that hold numbers.
        texts: Position to name of the columns that hold text.

    Returns:
        Position to array.

    Raises:
        RecordError: A cell is no number; the line is named.
    """
    count = len(table.rows)
    columns = {position: np.full(count, np.nan) for position in numbers}
    words: dict[int, list[str]] = {position: [] for position in texts}
    for index in range(count):
        fields = table.fields(index)
        for position, name in numbers.items():
            cell = fields[position]
            if _NUMBER.fullmatch(cell):
                columns[position][index] = float(cell)
            elif not _MISSING.fullmatch(cell):
                _blame_cell(table, index, position, name)
        for position in texts:
            words[position].append(fields[position])
    return columns | {position: np.asarray(text) for position, text in words.items()}


def iso_times(table: Rows, cells: np.ndarray, remedy: str) -> np.ndarray:
    """Return ISO 8601 dates or times as UTC instants.

    Args:
        table: The rows the cells come from.
        cells: Text of each date; without an offset it is taken as UTC.
        remedy: What to do where a cell is no date.

    Returns:
        datetime64[ns], strictly increasing.

    Raises:
        RecordError: A cell is no date, or dates do not increase; the line is named.
    """
    parsed = pd.to_datetime(
        pd.Series(cells, dtype="str"), format="ISO8601", utc=True, errors="coerce"
    )
    # pandas would take 2010.5 for May 2010
    full = np.asarray([_DAY.match(cell) is not None for cell in cells.tolist()])
    wrong = np.flatnonzero(parsed.isna().to_numpy() | ~full)
    if wrong.size:
        index = int(wrong[0])
        raise table.blame(
            index, "a date like 2010-04-05", excerpt(str(cells[index])), remedy
        )
    instants = parsed.dt.tz_localize(None).to_numpy()
    early = instants < np.datetime64("1678-01-01")
    outside = np.flatnonzero(early | (instants > np.datetime64("2262-01-01")))
    if outside.size:
        index = int(outside[0])
        raise table.blame(
            index,
            "a date between 1678 and 2261",
            excerpt(str(cells[index])),
            "Nanosecond time stamps reach no further; shift the times.",
        )
    times = instants.astype("datetime64[ns]")
    require_increasing(table.blame, times, cells)
    return times


def require_increasing(blame: Blame, times: np.ndarray, cells: np.ndarray) -> None:
    """Raise at the first time that is not later than the one before.

    Args:
        blame: Makes the error that names the place of one time.
        times: Time of each row.
        cells: The same as written in the file.

    Raises:
        RecordError: A time is repeated or goes back.
    """
    back = np.flatnonzero(times[1:] <= times[:-1])
    if not back.size:
        return
    index = int(back[0]) + 1
    same = times[index] == times[index - 1]
    raise blame(
        index,
        f"a time later than {excerpt(str(cells[index - 1]))} before it",
        f"{excerpt(str(cells[index]))} {'again' if same else '(time goes back)'}",
        "Remove the repeated row." if same else "Sort the rows by time.",
    )


def require_values(table: Rows, names: list[str], values: np.ndarray) -> None:
    """Raise where a column holds no number at all.

    Args:
        table: The rows.
        names: Name of each column.
        values: Numbers, NaN where missing (time, component).

    Raises:
        RecordError: A column is empty from top to bottom.
    """
    for name, column in zip(names, values.T):
        if np.isnan(column).all():
            raise RecordError(
                table.path,
                f"numbers in the column {excerpt(name)}",
                f"only missing values in all {len(column)} rows",
                "Remove the column, or export the data again.",
            )


def _require_width(table: Rows, width: int) -> None:
    separator = table.separator
    for index, row in enumerate(table.rows):
        found = len(row.split()) if separator is None else row.count(separator) + 1
        if found == width:
            continue
        last = index == len(table.rows) - 1
        raise table.blame(
            index,
            f"{width} fields as in the header",
            f"{found} in {excerpt(row)}",
            "The file is cut short; fetch it again."
            if last and found < width
            else "Repair the row or remove it.",
        )


def _parse_fast(
    table: Rows, width: int, numbers: dict[int, str], texts: dict[int, str]
) -> dict[int, np.ndarray]:
    longest = max(map(len, table.rows))
    word = f"U{min(longest, _LONGEST_TEXT)}"
    kind = [
        (
            str(position),
            "f8" if position in numbers else word if position in texts else "U1",
        )
        for position in range(width)
    ]
    parsed = np.loadtxt(
        io.StringIO("\n".join(table.rows)),
        dtype=kind,
        delimiter=table.separator,
        comments=None,
        ndmin=1,
    )
    columns: dict[int, np.ndarray] = {}
    for position in numbers:
        columns[position] = np.ascontiguousarray(parsed[str(position)])
    for position in texts:
        # as a list in between, so that the width is that of the longest word
        columns[position] = np.asarray(np.char.strip(parsed[str(position)]).tolist())
    return columns


def _blame_cell(table: Rows, index: int, position: int, name: str) -> None:
    raise table.blame(
        index,
        f"a finite number in the column {excerpt(name)}",
        excerpt(table.fields(index)[position]),
        "Correct the cell, or leave it empty where the value is missing.",
    )
