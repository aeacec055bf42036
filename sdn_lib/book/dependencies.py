"""Which files of the library a piece of code depends on: what it imports, and what that imports."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
# What cannot change a chapter's outputs: modules, and folders with all that is in them.
NOT_COUNTED = (
    "__main__.py", "book", "cli.py", "commands.py", "doctor.py", "machine.py", "program.py",
)  # fmt: skip
DATA = (".css", ".html", ".js", ".json")


def imported(code: Sequence[str]) -> list[Path]:
    """Return the library's files that pieces of code import, and those that these import in turn.

    A module brings its packages' `__init__.py` and its folder's data files with it. Every file
    counts where imports cannot be read: in code that is no plain Python (a cell with IPython's
    magic), a `*` import of the library, and an import of a name that is computed.
    """
    found: set[Path] = set()
    waiting: list[tuple[str, Path | None]] = [(source, None) for source in code]
    while waiting:
        source, path = waiting.pop()
        try:
            names = _imports(source, path)
        except (SyntaxError, _Unknown):
            return _counted(LIBRARY.rglob("*"))
        new = set(_counted(file for name in names for file in _files(name))) - found
        found |= new
        waiting += [(p.read_text(encoding="utf-8"), p) for p in new if p.suffix == ".py"]
    return sorted(found)


class _Unknown(Exception):
    """An import whose name the code does not tell."""


@functools.cache
def _imports(source: str, path: Path | None) -> list[str]:
    """Return the full dotted names that code imports, or may, wherever the statements stand.

    `path` is the library's file that it is the code of. Raises SyntaxError and _Unknown.
    """
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            names = [alias.name for alias in node.names]
            if "*" in names and base.split(".")[0] == "sdn_lib":
                raise _Unknown
            found += [base, *(f"{base}.{name}" for name in names)]
        elif isinstance(node, ast.Attribute | ast.Name | ast.alias):
            name = (
                getattr(node, "attr", None)
                or getattr(node, "id", None)
                or getattr(node, "name", None)
            )
            if name in ("__import__", "import_module"):
                raise _Unknown
    return found


def _absolute(node: ast.ImportFrom, path: Path | None) -> str:
    """Return the full dotted name of what `from ... import` imports from."""
    if not node.level or path is None:
        return node.module or ""
    package = ("sdn_lib", *path.relative_to(LIBRARY).parts[:-1])
    above = package[: len(package) - node.level + 1]
    return ".".join((*above, *filter(None, [node.module])))


def _files(name: str) -> Iterator[Path]:
    """Yield the library's files that come with a dotted name; none for a name of elsewhere."""
    package, *parts = name.split(".")
    if package != "sdn_lib":
        return
    folder = LIBRARY
    yield from _package(folder)
    for part in parts:
        module, folder = folder / f"{part}.py", folder / part
        if module.is_file():
            yield from (module, *_data(module.parent))
        yield from _package(folder)


def _package(folder: Path) -> Iterator[Path]:
    """Yield what comes with a package as such."""
    if (folder / "__init__.py").is_file():
        yield folder / "__init__.py"
        if folder != LIBRARY:
            yield from _data(folder)


def _data(folder: Path) -> Iterator[Path]:
    """Yield the data files of a package: those beside its modules, or in folders without any."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix in DATA:
            yield path
        elif path.is_dir() and not any(path.glob("*.py")):
            yield from _data(path)


def _counted(paths: Iterator[Path]) -> list[Path]:
    """Return, in order, those that are code or data of the library and can change an output."""
    kept = (p for p in paths if p.suffix in (".py", *DATA) and p.is_file())
    return sorted(p for p in set(kept) if not _left_out(p.relative_to(LIBRARY)))


def _left_out(path: Path) -> bool:
    return any(path.is_relative_to(name) for name in NOT_COUNTED)
