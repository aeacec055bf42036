"""What a chapter depends on of the library: its imports, in modules, packages and data files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdn_lib.book import dependencies


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    monkeypatch.setattr(dependencies, "LIBRARY", folder)
    return folder


def write(library: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(text)


def found(*code: str) -> list[str]:
    return [p.relative_to(dependencies.LIBRARY).as_posix() for p in dependencies.imported(code)]


def test_a_chapter_depends_on_the_modules_that_it_imports_and_on_theirs(library: Path) -> None:
    code = {
        "a": "from sdn_lib.data import birds\n",
        "b": "def late():\n    import sdn_lib.c\n",
        "c": "",
        "unused": "from sdn_lib import a, b\n",
        "data/birds": "from sdn_lib.b import (\n    late,\n)\n",
        "cli": "from sdn_lib import unused\n",
    }
    write(library, {f"{name}.py": text for name, text in code.items()})
    assert found("import numpy as np", "x = 1") == []
    assert found("import sdn_lib.c, numpy") == ["c.py"]
    assert found("from sdn_lib import (\n    a,\n)") == ["a.py", "b.py", "c.py", "data/birds.py"]
    assert found("%matplotlib inline") == ["a.py", "b.py", "c.py", "data/birds.py", "unused.py"]


@pytest.fixture
def packages(library: Path) -> Path:
    """A library of packages: one with a surface, one within it, one with data files."""
    write(
        library,
        {
            "__init__.py": "",
            "alone.py": "",
            "runs/__init__.py": "from sdn_lib.runs.store import get\n",
            "runs/store.py": "from . import settings\nfrom .deep.under import weigh\n",
            "runs/settings.py": "",
            "runs/unused.py": "",
            "runs/deep/__init__.py": "",
            "runs/deep/under.py": "from ...alone import value\nfrom ..settings import same\n",
            "show/__init__.py": "",
            "show/grids.py": "",
            "show/explorer.py": "",
            "show/explorer.css": "",
            "show/explorer.js": "",
            "show/live/page.html": "",
            "show/live/deep/numbers.json": "",
            "show/notes.txt": "",
            "show/other/__init__.py": "",
            "show/other/other.js": "",
        },
    )
    return library


RUNS = ["__init__.py", "alone.py", "runs/__init__.py", "runs/deep/__init__.py"]
RUNS += ["runs/deep/under.py", "runs/settings.py", "runs/store.py"]
SHOW = ["show/explorer.css", "show/explorer.js", "show/live/deep/numbers.json"]
SHOW += ["show/live/page.html"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sdn_lib", ["__init__.py"]),
        ("from sdn_lib import alone", ["__init__.py", "alone.py"]),
        ("from sdn_lib import runs", RUNS),
        ("from sdn_lib.runs import get", RUNS),
        ("import sdn_lib.runs.settings", RUNS),
        ("from sdn_lib.runs import settings", RUNS),
        ("from sdn_lib.runs import unused", sorted([*RUNS, "runs/unused.py"])),
        ("from sdn_lib.show import grids", ["__init__.py", "show/__init__.py", *SHOW]),
        ("from sdn_lib.show.grids import grid", ["__init__.py", "show/__init__.py", *SHOW]),
        ("import sdn_lib.show", ["__init__.py", "show/__init__.py", *SHOW]),
        ("import numpy, json\nfrom elsewhere.runs import store", []),
    ],
)
def test_packages_come_with_their_surface_and_their_data(
    packages: Path, code: str, expected: list[str]
) -> None:
    if "grids" in code:
        expected = sorted([*expected, "show/grids.py"])
    assert found(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "%matplotlib inline",
        "from sdn_lib.runs import *",
        "import importlib\nimportlib.import_module(name)",
        "from importlib import import_module as load",
        "__import__(name)",
    ],
)
def test_where_imports_cannot_be_read_everything_counts(packages: Path, code: str) -> None:
    every = found(code)
    assert {"runs/unused.py", "show/other/other.js", "alone.py", *SHOW} <= set(every)
    assert "show/notes.txt" not in every
    write(packages, {"alone.py": code})
    assert found("from sdn_lib import alone") == every


def test_only_what_makes_no_output_is_left_out_and_not_what_has_its_name(packages: Path) -> None:
    write(
        packages,
        {
            "cli.py": "from sdn_lib.runs import unused\n",
            "book/__init__.py": "from sdn_lib.runs import unused\n",
            "book/render.py": "",
            "book/page.html": "",
            "runs/cli.py": "",
            "runs/book.py": "",
            "runs/machine.py": "",
        },
    )
    assert found("from sdn_lib import cli, book") == ["__init__.py"]
    assert found("import sdn_lib.book.render") == ["__init__.py"]
    more = ["runs/book.py", "runs/cli.py", "runs/machine.py"]
    assert found("from sdn_lib.runs import book, cli, machine") == sorted([*RUNS, *more])
    every = found("%time")
    assert set(more) <= set(every)
    assert not [name for name in every if name == "cli.py" or name.startswith("book/")]


def test_what_is_left_out_of_the_library_is_there() -> None:
    for name in dependencies.NOT_COUNTED:
        assert (dependencies.LIBRARY / name).exists()
