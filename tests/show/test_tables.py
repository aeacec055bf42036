"""Tables of a page: a cell for each column, and nothing in a cell that would end it."""

import pytest

from sdn_lib import show
from sdn_lib.errors import SDNError
from sdn_lib.show.tables import markdown_lines


def test_a_table_has_a_head_and_a_line_for_each_row():
    made = show.table(["of", "steps"], [["one", 3], ("two", "4|5")]).data
    assert made.splitlines() == ["| of | steps |", "| --- | --- |", "| one | 3 |", "| two | 4/5 |"]
    assert markdown_lines(["a"], []) == ["| a |", "| --- |"]


def test_a_row_without_a_cell_for_each_column_is_refused():
    with pytest.raises(SDNError, match=r"2 columns has a row of 1: \['one'\]"):
        markdown_lines(["", "steps"], [["one"]])


def test_a_range_stands_behind_its_value():
    assert show.with_range(0.3456, -0.1, 1, 2) == "0.35 (-0.10 to 1.00)"
