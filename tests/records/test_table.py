"""The fast and the slow road through a table accept the same language."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from slipstate.ground.errors import RecordError
from slipstate.records.table import data_rows, parse_columns, parse_slowly

CELLS = st.one_of(
    st.floats(allow_infinity=False).map(repr),
    st.integers().map(str),
    st.sampled_from(["", "nan", "NaN", "-nan", "NA", "null", "inf", "1e999", "1_0"]),
    st.sampled_from(["0x10", "1d5", "1e", "+.5", "5.", ".", "-", "1 2", "True", "--1"]),
    st.text("0123456789+-.eEnaif xX_d", max_size=8),
)


def outcome(road):
    try:
        return road()
    except RecordError as error:
        return str(error), error.line


def same(one, other):
    if isinstance(one, tuple) or isinstance(other, tuple):
        return one == other
    return all(np.array_equal(one[i], other[i], equal_nan=i > 0) for i in one)


@settings(max_examples=300, deadline=None)
@given(cells=st.lists(CELLS, min_size=1, max_size=5))
@example(cells=["1", "١"])
@example(cells=["1", "2,3"])
@example(cells=["1", "2 "])
def test_both_roads_agree(tmp_path_factory, cells):
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    text = "\n".join(["header", *(f"word {i},{c}" for i, c in enumerate(cells))])
    rows = data_rows(path, text + "\n", 2, ",")
    numbers, words = {1: "x"}, {0: "w"}

    def slow():
        columns = parse_slowly(rows, numbers, words)
        if np.isinf(columns[1]).any():
            index = int(np.flatnonzero(np.isinf(columns[1]))[0])
            cell = rows.fields(index)[1]
            raise rows.blame(
                index,
                "a finite number in the column `x`",
                f"`{cell}`",
                "Correct the cell, or leave it empty where the value is missing.",
            )
        return columns

    if any("," in cell for cell in cells):
        with pytest.raises(RecordError, match="2 fields"):
            parse_columns(rows, 2, numbers, words)
        return
    fast = outcome(lambda: parse_columns(rows, 2, numbers, words))
    assert same(fast, outcome(slow)), (fast, outcome(slow))


def test_line_numbers_count_comments_and_blank_lines(tmp_path):
    text = "header\n\n# a comment\n1,2\n   \n3,4\n"
    rows = data_rows(tmp_path / "x.csv", text, 2, ",")
    assert rows.rows == ["1,2", "3,4"]
    assert rows.lines.tolist() == [4, 6]
