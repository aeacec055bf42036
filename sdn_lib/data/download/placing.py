"""What an archive holds, moved to where it belongs in a folder of data."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from sdn_lib import files
from sdn_lib.data.download.addresses import Archive, missing
from sdn_lib.data.download.problems import DamagedError, FetchError, SpaceError
from sdn_lib.data.download.unpacking import unpack


def extract(path: str | Path, folder: str | Path, archive: Archive) -> None:
    """Unpack a zip or tar archive and move what `archive.wants` names into `folder`.

    The wanted folder may lie at any depth, and so may every file of a flat archive, of which two
    may not have one name. Members that are links or devices, or that lie outside the archive's own
    folder, and archives that are cut short raise DamagedError; whatever is raised, nothing of the
    archive stays behind. Raises SpaceError where the disk is full or refuses. What Macs and Windows
    add to archives is left out.
    """
    path, folder = Path(path), Path(folder)
    temporary = files.partial_path(folder / archive.file)
    try:
        temporary.mkdir(parents=True)
        unpack(path, temporary)
        sources = (_collect if archive.flat else _find)(temporary, archive, path)
        for name, place in archive.gathers:
            item, _, rest = place.partition("/")
            source, target = sources[item], sources[item] / rest
            gathered = (temporary if source == temporary else source.parent) / name
            if gathered.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(gathered, target)
        refuse_incomplete(archive, folder)
        for item, source in sources.items():
            if not (folder / item).exists():
                os.replace(source, folder / item)
    except OSError as error:
        raise SpaceError(files.explain(error)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_incomplete(archive: Archive, folder: Path) -> None:
    """Raise FetchError where a part of what the archive unpacks to stands in its way."""
    for path in missing(folder, archive.results):
        item = folder / path.split("/")[0]
        if item.exists():
            raise FetchError(f"{item} exists without {path}: move it away, then run again")


def _collect(top: Path, archive: Archive, path: Path) -> dict[str, Path]:
    """Move the files of a flat archive, wherever they lie under `top`, into one folder."""
    (want,) = archive.wants
    item, _, pattern = want.partition("/")
    found: dict[str, Path] = {}
    for file in sorted(file for file in top.rglob(pattern) if file.is_file()):
        if file.name in found:
            one, other = (p.relative_to(top).as_posix() for p in (found[file.name], file))
            raise DamagedError(f"{path} holds {one} and {other}, of one name: keep one of them")
        found[file.name] = file
    if not found:
        return _find(top, archive, path)
    folder = files.partial_path(top / item)
    folder.mkdir()
    for name, file in found.items():
        os.replace(file, folder / name)
    return {item: folder}


def _find(top: Path, archive: Archive, path: Path) -> dict[str, Path]:
    """Return where each of `archive.items` lies under `top`, the shallowest place first."""
    for folder in _folders(top):
        if not missing(folder, archive.wants):
            return {item: folder / item for item in archive.items}
    # One folder under another name: its content tells it.
    inside = [want.partition("/")[2] for want in archive.wants]
    if len(archive.items) == 1 and all(inside):
        for folder in _folders(top):
            if not missing(folder, inside):
                return {archive.items[0]: folder}
    there = sorted(p.name for p in top.iterdir())[:8]
    raise DamagedError(
        f"{path} holds no folder with {', '.join(archive.wants)}; at its top lie "
        f"{', '.join(there) or 'no files'}: it is another archive than {archive.file}"
    )


def _folders(top: Path) -> Iterator[Path]:
    """Yield `top` and every folder below it, the shallowest first."""
    waiting = deque([top])
    while waiting:
        folder = waiting.popleft()
        yield folder
        waiting.extend(sorted(p for p in folder.iterdir() if p.is_dir()))
