"""Tables of a page, and numbers as they stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sdn_lib.errors import SDNError


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Any:
    """Return what a notebook shows as a table; `columns` and `rows` as for `markdown_lines`."""
    from IPython.display import Markdown

    return Markdown("\n".join(markdown_lines(columns, rows)))


def markdown_lines(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a Markdown table under the names of its columns.

    Cells are Markdown too; a bar in one would end it, and becomes a slash. Raises SDNError for a
    row that has not a cell for each column.
    """
    lines: list[Sequence[object]] = [columns, ["---"] * len(columns), *rows]
    for cells in lines:
        if len(cells) != len(columns):
            raise SDNError(f"a table of {len(columns)} columns has a row of {len(cells)}: {cells}")
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines]


def with_range(value: float, low: float, high: float, digits: int) -> str:
    """Return '0.35 (0.31 to 0.39)', with so many digits after the point."""
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
