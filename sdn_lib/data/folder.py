"""Your own captioned pictures: a folder, and a table that says what each picture shows.

`captions.csv` in the folder, UTF-8, one line a caption:

======== ===================================================================================
image    path of the picture within the folder; a picture may have several lines
caption  what it shows
class    optional: what kind of thing it is; two captions of one class may mean the same
split    optional: 'train' or 'test', the same for all of a class; else a tenth is test
======== ===================================================================================
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from sdn_lib.data.photos import Reading, Split, chosen_rows, source
from sdn_lib.data.prepared import SPLITS
from sdn_lib.errors import SDNError, near

TABLE = "captions.csv"
COLUMNS = ("image", "caption", "class", "split")
TEST_SHARE = 10


def read(root: str | Path, subset: bool = False, classes: Sequence[int] | None = None) -> Reading:
    """Return the pictures that `captions.csv` names, in order of first mention.

    Every picture gets as many captions as the one that has most, its own repeated in turn. Without
    `class` each picture is a class of its own. `classes` keeps only some class ids (from 1, in
    order of first mention); `subset` changes nothing. Raises SDNError that names file and line for
    a column that is missing or unknown, a picture that is missing or outside the folder, an empty
    caption, a class that changes, a split that is unknown or shares a class with the other.
    """
    root = Path(root)
    rows = _rows(root / TABLE)
    captions: dict[str, list[str]] = {}
    kind_of: dict[str, str] = {}
    split_of: dict[str, str] = {}
    for line, row in rows:
        where = f"{root / TABLE}, line {line}"
        image = row["image"]
        path = root / image
        if not path.resolve().is_relative_to(root.resolve()):
            raise SDNError(f"{where}: {image!r} lies outside {root}: move it inside")
        if not path.is_file():
            raise SDNError(f"{where}: {path} is missing")
        if not row["caption"]:
            raise SDNError(f"{where}: the caption of {image!r} is empty: write at least one word")
        kind = row.get("class") or image
        if kind_of.setdefault(image, kind) != kind:
            raise SDNError(f"{where}: {image!r} is a {kind!r}, and was a {kind_of[image]!r} before")
        split = row.get("split") or _draw(kind)
        if split not in SPLITS:
            raise SDNError(f"{where}: unknown split {split!r}: {near(split, SPLITS)}")
        if split_of.setdefault(kind, split) != split:
            raise SDNError(f"{where}: the class {kind!r} is in both splits: choose one of them")
        captions.setdefault(image, []).append(row["caption"])
    kinds = list(split_of)
    names = list(captions)
    ids = [kinds.index(kind_of[name]) + 1 for name in names]
    class_names = dict(enumerate(kinds, start=1))
    kept = chosen_rows(ids, class_names, classes)
    names, ids = [names[row] for row in kept], [ids[row] for row in kept]
    splits = [split_of[kind_of[name]] for name in names]
    for split in SPLITS:
        if split not in splits:
            raise SDNError(f"{root / TABLE} leaves no picture to {split} on: fill its split column")
    most = max(len(captions[name]) for name in names)
    mended = {
        "captions_mended": 0,
        "files_repeated_to_ten": sum(len(captions[name]) < most for name in names),
    }
    return Reading(
        names=names,
        class_ids=ids,
        class_names={id: class_names[id] for id in sorted(set(ids))},
        images=[root / name for name in names],
        captions=[[captions[n][k % len(captions[n])] for k in range(most)] for n in names],
        splits=splits,
        boxes=None,
        embeddings=None,
        source=source(
            "folder", root, Split(splits, None, []), splits, subset, classes, mended, [root / TABLE]
        ),
    )


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    if not path.is_file():
        columns = ",".join(COLUMNS)
        raise SDNError(f"{path} is missing: write it with the columns {columns}, the last two free")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SDNError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found = [name.strip() for name in reader.fieldnames or []]
    for name in COLUMNS[:2]:
        if name not in found:
            raise SDNError(f"{path} has no column {name!r}: its first line must name the columns")
    for name in found:
        if name not in COLUMNS:
            raise SDNError(f"{path} has an unknown column {name!r}: {near(name, COLUMNS)}")
    reader.fieldnames = found
    rows = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise SDNError(
                    f"{path}, line {reader.line_num}, has not {len(found)} fields: put captions "
                    "with commas in double quotes"
                )
            rows.append((reader.line_num, {key: value.strip() for key, value in row.items()}))
    except csv.Error as error:
        raise SDNError(f"{path} is no CSV ({error}): close every double quote") from None
    if not rows:
        raise SDNError(f"{path} names no picture: write one caption a line")
    return rows


def _draw(kind: str) -> str:
    """Put every tenth class into the test split, the same ones wherever the table is read."""
    drawn = int.from_bytes(hashlib.sha256(kind.encode()).digest()[:4], "big")
    return "test" if drawn % TEST_SHARE == 0 else "train"
