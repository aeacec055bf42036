"""The gate lets through what ran whole and in order, and reads the numbers that it glued."""

from __future__ import annotations

import nbformat
import pytest
import tiny_book
from nbformat.v4 import new_code_cell

from sdn_lib.book.gate import ChapterError, gate


def ran(*sources: str) -> nbformat.NotebookNode:
    """Return a chapter of code cells as papermill would leave it."""
    notebook = tiny_book.chapter(*(new_code_cell(source) for source in sources))
    for count, cell in enumerate(notebook.cells[1:], start=1):
        cell.execution_count = count
    return notebook


def glued(name: str, text: str) -> nbformat.NotebookNode:
    prefix = "application/papermill.record/"
    return nbformat.v4.new_output(
        "display_data",
        {f"{prefix}text/plain": text},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def test_the_gate_lets_a_good_chapter_through() -> None:
    done = ran("a = 1", "a")
    values = {"n": "3", "x": "0.5", "flag": "True", "how": "'loaded'", "bad": "nan", "o": "<o>"}
    done.cells[2].outputs = [glued(*item) for item in values.items()]
    numbers = gate(ran("a = 1", "a"), done, "00_first")
    assert numbers == {"n": 3, "x": 0.5, "flag": True, "how": "loaded", "bad": "nan"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda n: n.cells.pop(), "not those of the source"),
        (lambda n: n.cells[2].update(source="a = 2"), "not those of the source"),
        (lambda n: n.cells[3].update(execution_count=None), "must run once, in order"),
        (lambda n: n.cells[3].update(execution_count=9), "must run once, in order"),
        (
            lambda n: n.cells[2].outputs.append(
                nbformat.v4.new_output("error", ename="KeyError", evalue="", traceback=[])
            ),
            "shows KeyError",
        ),
        (
            lambda n: n.cells[2].outputs.extend([glued("x", "1"), glued("x", "2")]),
            "glues 'x' twice",
        ),
        (lambda n: n.cells[2].outputs.append(glued("x", "np.float64(0.5)")), "wrap it in float"),
        (lambda n: n.cells[2].outputs.append(glued("x", "tensor(0.5)")), "wrap it in float"),
    ],
)
def test_the_gate_stops(spoil, said: str) -> None:
    done = ran("a = 1", "a")
    spoil(done)
    with pytest.raises(ChapterError, match=said):
        gate(ran("a = 1", "a"), done, "00_first")
