"""The chapters: where their files lie, which are chosen, and what their notebooks take.

A Layout is the place of one profile's files; one process at a time works in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdn_lib import files, profiles
from sdn_lib.errors import SDNError, first_line, near


@dataclass(frozen=True)
class Layout:
    """Where one profile's chapters, executed copies and records lie, under the project's root."""

    root: Path
    profile: str

    @property
    def book(self) -> Path:
        """Chapters without outputs, and prose pages."""
        return self.root / "book"

    @property
    def build(self) -> Path:
        """Everything that this profile's run makes."""
        return self.root / "_build" / self.profile

    def chapters(self) -> dict[str, Path]:
        """Return {chapter name: notebook}, in reading order; SDNError when there is none."""
        found = {path.stem: path for path in sorted(self.book.glob("[0-9][0-9]_*.ipynb"))}
        if not found:
            raise SDNError(f"no chapter (NN_name.ipynb) in {self.book}: run from a full checkout")
        return found

    def executed(self, name: str) -> Path:
        """Return where the executed copy of a chapter goes."""
        return self.build / "executed" / f"{name}.ipynb"

    def record(self, name: str) -> Path:
        """Return where a chapter's record, with its glued numbers, goes."""
        return self.build / "results" / f"{name}.json"

    def relative(self, path: Path) -> str:
        """Return a path as a reader at the project's root would type it."""
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        )


def layout(profile: str, root: str | Path | None = None) -> Layout:
    """Return the Layout of a profile (name or JSON file); SDNError lists near matches of a name."""
    name = profiles.load(profile).name
    return Layout(Path(root or profiles.project()).resolve(), name)


def select(names: Sequence[str], chapters: Sequence[str] | None) -> list[str]:
    """Return the chosen chapters in reading order.

    A choice is a number ('5', '05'), a name ('05_stage_one') or its tail ('stage_one'); None
    chooses all. SDNError lists the near matches of one that does not exist.
    """
    if chapters is None:
        return list(names)
    if not chapters:
        raise SDNError("no chapter is named: name one, or leave the choice out to run all")
    chosen = set()
    for choice in map(str, chapters):
        # Unicode has more digits than int() reads.
        number = f"{int(choice):02d}_" if choice.isascii() and choice.isdigit() else None
        hits = [n for n in names if choice in (n, n[3:]) or (number and n.startswith(number))]
        if not hits:
            raise SDNError(f"unknown chapter {choice!r}: {near(choice, names)}")
        chosen.update(hits)
    return [name for name in names if name in chosen]


@contextmanager
def locked(place: Layout, report: Callable[[str], None], part: str = "executed") -> Iterator[None]:
    """Let one process at a time make a part of a profile's folder; report before a wait.

    Chapters are run, and rendered, as 'executed'.
    """
    waiting = f"waiting for another `sdn` that is at work on profile {place.profile}"
    with files.alone(place.build / part, lambda: report(waiting)):
        yield


def portable(profile: str) -> str:
    """Return a profile's name, or its file's path as notebooks in another folder find it too."""
    return os.path.abspath(os.path.expanduser(profile)) if profiles.is_file(profile) else profile


def read_source(path: Path) -> Any:
    """Return a chapter's notebook without outputs; SDNError names a file that is none."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises what it happens on
        raise SDNError(
            f"{path} is no notebook ({first_line(error)}): get it back, with `git checkout` for one"
        ) from None
    return notebook


def check_parameters(path: Path, values: Mapping[str, Any]) -> None:
    """Raise SDNError unless the chapter has one `parameters` cell that knows every given name."""
    from papermill.inspection import inspect_notebook

    notebook = read_source(path)
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise SDNError(
            f"{path.name} has {len(cells)} cells tagged 'parameters': tag the one that sets them"
        )
    try:
        known = inspect_notebook(str(path))
    except ValueError as error:
        raise SDNError(f"{path.name} names no kernel ({error}): save it with 'python3'") from None
    for key in values:
        if key not in known:
            raise SDNError(f"{path.name} has no parameter {key!r}: {near(key, known)}")


def title(notebook: Any, name: str) -> str:
    """Return a notebook's first heading, or its name where it has none."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if heading := re.search(r"^# +(.+)$", cell.source, re.M):
                return heading.group(1).strip()
    return name
