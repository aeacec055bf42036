"""Chapters are chosen by number or name; bad choices and parameters stop before anything runs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import tiny_book
from tiny_book import run

from sdn_lib.book.chapters import select
from sdn_lib.errors import SDNError

NAMES = ["00_first", "01_second", "10_tenth"]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, NAMES),
        (["1"], ["01_second"]),
        (["01", "00_first"], ["00_first", "01_second"]),
        (["tenth", "10"], ["10_tenth"]),
    ],
)
def test_chapters_are_chosen_by_number_or_name(chosen, expected) -> None:
    assert select(NAMES, chosen) == expected


def test_an_unknown_chapter_lists_the_near_ones() -> None:
    with pytest.raises(SDNError, match="unknown chapter '01_secnd': did you mean '01_second'"):
        select(NAMES, ["01_secnd"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"output_dir": " "}, "output_dir is"),
        ({"workers": 0}, "workers=0 is below 1"),
        ({"workers": -1}, "workers=-1 is below 1"),
        ({"chapters": []}, "no chapter is named"),
        ({"chapters": ["²"]}, "unknown chapter '²'"),
        ({"chapters": [""]}, "unknown chapter ''"),
        ({"chapters": ["99"]}, "unknown chapter '99'"),
    ],
)
def test_bad_values_stop_before_anything_runs(root: Path, options: dict, said: str) -> None:
    with pytest.raises(SDNError, match=said):
        run(root, **options)
    assert not (root / "_build").exists()


def test_an_unknown_parameter_stops_before_anything_runs(root: Path) -> None:
    with pytest.raises(SDNError, match=r"no parameter 'step': did you mean 'steps'"):
        run(root, chapters=None, parameters={"step": 3})
    assert not (root / "_build").exists()


@pytest.mark.parametrize("tags", [[], ["parameters"]])
def test_a_chapter_needs_exactly_one_parameters_cell(root: Path, tags: list[str]) -> None:
    path = root / "book/01_second.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["tags"] = tags
    notebook.cells[2].metadata["tags"] = tags
    tiny_book.save(notebook, path)
    with pytest.raises(SDNError, match="cells tagged 'parameters'"):
        run(root)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', '{"nbformat": 4}'])
def test_a_source_that_is_no_notebook_is_named(root: Path, content: str) -> None:
    (root / "book/01_second.ipynb").write_text(content)
    with pytest.raises(SDNError, match=r"01_second\.ipynb is no notebook .*git checkout"):
        run(root)
