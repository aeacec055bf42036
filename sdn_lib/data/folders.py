"""Folders that appear in one piece: written beside their place, then renamed into it.

A folder that cannot be renamed, a disk of its own for example, is filled within, one file last.
"""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdn_lib import files


@contextmanager
def writing(place: Path, last: str) -> Iterator[Path]:
    """Yield a new folder, which becomes `place` where nothing is raised; it holds a file `last`.

    What stood at `place` is replaced. One process writes at a time, the next one waits, and what
    killed ones left is taken away. Raises OSError where the system refuses.
    """
    room = _room_for(place)
    with files.alone(room / f"{place.name}.partial"):
        _remove_leftovers(place)
        new = files.partial_path(room / place.name)
        try:
            new.mkdir(parents=True)
            yield new
            _swap(new, place, last)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _room_for(place: Path) -> Path:
    """Return the folder to make in what is to stand at `place`: the one above it, or itself."""
    beside = os.access(place.parent, os.W_OK) or not place.is_dir()
    return place.parent if beside and not os.path.ismount(place) else place


def leftovers(place: Path) -> list[Path]:
    """Return the new folders that killed writers of `place` left."""
    name = f".{glob.escape(place.name)}.????????.partial"
    return [*place.parent.glob(name), *place.glob(name)]


def _remove_leftovers(place: Path) -> None:
    """Take away what killed writers left; nobody else is writing now."""
    old = sorted(place.parent.glob(f".{glob.escape(place.name)}.????????.old"))
    if old and not place.exists():
        os.replace(old.pop(), place)  # killed between two renames
    for left in [*leftovers(place), *old]:
        shutil.rmtree(left, ignore_errors=True)


def _swap(new: Path, place: Path, last: str) -> None:
    old = place.parent / f".{place.name}.{uuid.uuid4().hex[:8]}.old"
    if new.parent == place:
        _fill(new, place, last)
        return
    if place.exists():
        try:
            os.replace(place, old)
        except OSError:  # a folder that is mounted, or not ours to rename
            _fill(new, place, last)
            return
    try:
        os.replace(new, place)
    except OSError:
        if old.exists():
            os.replace(old, place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _fill(new: Path, place: Path, last: str) -> None:
    """Move what is in `new` into `place`, what is called `last` last."""
    if new.parent != place:
        # To the disk of `place` first, which may be another one, and full.
        inside = place / new.name
        try:
            shutil.move(new, inside)
            _fill(inside, place, last)
        finally:
            shutil.rmtree(inside, ignore_errors=True)
        return
    (place / last).unlink(missing_ok=True)
    for path in sorted(new.iterdir(), key=lambda path: path.name == last):
        target = place / path.name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(path, target)
