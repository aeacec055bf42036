"""Which way the birds of CUB-200-2011 face, so that all can be made to face one way.

No human caption says it, and half of the birds face left: to a student, the best single answer to
both is a blot. From `CUB_200_2011/parts/part_locs.txt` of the official archive, or from a file
`facing.txt` beside or in it, lines `<image name without .jpg> left|right`, which goes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sdn_lib.data.photographs.reading import Reading
from sdn_lib.errors import SDNError, counted
from sdn_lib.files import checksum, read_text

SIDES = ("left", "right")
FRONT, REAR, BESIDE = (2, 6), (1, 14), (9, 10, 13)
"""Part ids: beak and forehead; back and tail; wings and nape, where neither of those is seen."""


def add_facing(reading: Reading, folder: str | Path) -> Reading:
    """Return a reading of a folder of CUB with the side that each bird faces.

    None for a bird of which the files do not say it. Raises SDNError, which names the file, where
    there is none, where a line is none of its kind, and where a name stands twice or is missing.
    """
    folder = Path(folder)
    root = folder / "CUB_200_2011"
    parts = root / "parts" / "part_locs.txt"
    listed = next((p for p in (folder / "facing.txt", root / "facing.txt") if p.exists()), None)
    if listed:
        path, sides = listed, _listed(listed)
    elif parts.exists():
        path, sides = parts, _from_parts(parts, root / "images.txt")
    else:
        raise SDNError(
            f"{parts} is missing: which way a bird faces is known from the official archive of "
            "CUB-200-2011, or from facing.txt beside it; else leave facing out"
        )
    unknown = [name for name in reading.names if name not in sides]
    if unknown and path == listed:
        names = counted(len(unknown), "such name")
        raise SDNError(f"{path} has no line for {unknown[0]} ({names}): write it again")
    place = path.relative_to(folder).as_posix()
    md5 = {**reading.source.get("md5", {}), place: checksum(path, "md5")}
    return replace(
        reading,
        facing=[sides.get(name) for name in reading.names],
        source={**reading.source, "md5": md5, "facing_from": place},
    )


def _listed(path: Path) -> dict[str, str]:
    sides: dict[str, str] = {}
    for place, line in enumerate(read_text(path, "write it again").splitlines(), 1):
        name, _, side = line.strip().rpartition(" ")
        if not name and not side:
            continue
        if side not in SIDES or not name or name in sides:
            raise SDNError(
                f"{path}, line {place}: {line!r} is no new name with left or right after it"
            )
        sides[name] = side
    return sides


def _from_parts(path: Path, images: Path) -> dict[str, str]:
    """Return {name: side}: the front of a bird is left or right of its rear."""
    remedy = "unpack CUB_200_2011.tgz again"
    names = dict(line.split() for line in read_text(images, remedy).splitlines())
    ends: dict[str, tuple[list[float], ...]] = defaultdict(lambda: ([], [], []))
    for place, line in enumerate(read_text(path, remedy).splitlines(), 1):
        try:
            image, part, across, _, visible = line.split()
            number, x, seen = int(part), float(across), int(visible)
        except ValueError:
            raise SDNError(
                f"{path}, line {place}: {line!r} is no image, part, x, y and visible: {remedy}"
            ) from None
        for end, ids in enumerate((FRONT, REAR, BESIDE)):
            if seen and number in ids:
                ends[image][end].append(x)
    sides = {}
    for image, (front, rear, beside) in ends.items():
        behind = rear or beside
        if front and behind and image in names and (distance := _mean(front) - _mean(behind)):
            sides[names[image].removesuffix(".jpg")] = SIDES[distance > 0]
    return sides


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
