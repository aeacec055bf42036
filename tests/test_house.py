"""The plan of the library: imports run one way, rooms are small, CONTRIBUTING knows them all."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter

import pytest
from tiny_book import ROOT

LIBRARY = ROOT / "sdn_lib"
ORDER = (
    ("errors", "files", "randomness", "config", "profiles", "devices", "processes", "machine",
     "progress", "program", "captions"),
    ("fast",),
    ("vgg", "teacher", "student", "text", "distillation"),
    ("data",),
    ("learning",),
    ("judging",),
    ("runs",),
    ("experiments",),
    ("show",),
    ("book",),
    ("cli", "commands", "doctor"),
    ("__init__", "__main__"),
)  # fmt: skip
"""The rooms of CONTRIBUTING's table; each knows those above it, and its own."""

LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
LARGEST = 420
FILES = sorted(LIBRARY.rglob("*.py"))


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


MODULES = {name_of(path): path for path in FILES}


def room_of(module):
    return module.split(".")[1]


def imports_of(path):
    """The library's modules that a file imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import, which is not followed here"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return {name for name in found if name in MODULES}


def test_every_room_has_its_place():
    assert {room_of(module) for module in MODULES} == set(LEVEL)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    level = LEVEL[room_of(module)]
    back = {name for name in imports_of(MODULES[module]) if LEVEL[room_of(name)] > level}
    assert not back, f"{module} imports from a later room"


def test_there_is_no_circle():
    graph = {module: imports_of(path) - {module} for module, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_no_file_is_too_large():
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {}


def test_contributing_names_every_room():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| room |") : text.index("`tests/` mirrors")]
    rows = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in table.splitlines()[2:] if row]
    rows = [set(row) for row in rows if row]
    assert rows == [set(rooms) for rooms in ORDER if "__init__" not in rooms]


def test_contributing_names_every_draw_that_comes_from_no_stream():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.search(r"older draws by `default_rng` in (.*?);", text, re.DOTALL)
    allowed = re.findall(r"`([\w/.]+)`", named[1])
    draws = [
        path.relative_to(LIBRARY).as_posix()
        for path in FILES
        if "default_rng(" in path.read_text(encoding="utf-8") and path.stem != "randomness"
    ]
    assert {place for place in allowed if any(d.startswith(place) for d in draws)} == set(allowed)
    assert [draw for draw in draws if not draw.startswith(tuple(allowed))] == []


def test_contributing_points_at_what_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:\w+/)+\w+\.\w+)`", text):
        if "NN_" not in path:
            assert any((top / path).exists() for top in (ROOT, LIBRARY)), path
