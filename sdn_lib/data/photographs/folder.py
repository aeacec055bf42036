"""Your own captioned pictures: a folder, and a table that says what each picture shows.

`captions.csv` in the folder, one line a caption:

======== ===================================================================================
image    path of the picture within the folder; a picture may have several lines
caption  what it shows
class    optional: what kind of thing it is; two captions of one class may mean the same
split    optional: 'train' or 'test', the same for all of a class; else a tenth is test
======== ===================================================================================

The table may come from any editor or spreadsheet: UTF-8, or UTF-16 with its byte order mark;
commas, semicolons or tabs between columns; line ends of Linux, Windows or an old Mac; empty rows,
and empty columns at the end. A path may be written as on Windows, in other capitals, or with
accents composed in another way than in the file's name, as long as only one file fits. Pictures
are decoded as viewers show them: upright, and what is transparent on white (`decoding.decode`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from sdn_lib.data.photographs.reading import Reading, chosen_rows, source_of
from sdn_lib.data.photographs.splits import Split
from sdn_lib.data.prepared import SPLITS
from sdn_lib.errors import SDNError, counted, near
from sdn_lib.files import read_text

TABLE = "captions.csv"
COLUMNS = ("image", "caption", "class", "split")
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
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
    table = _table(root)
    pictures = _Pictures(root)
    captions: dict[str, list[str]] = {}
    kind_of: dict[str, str] = {}
    split_of: dict[str, str] = {}
    paths: dict[str, Path] = {}
    for line, row in _rows(table):
        where = f"{table}, line {line}"
        path = pictures.find(row["image"], where)
        image = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
        if paths.setdefault(image, path) != path:
            raise SDNError(f"{where}: {image!r} is the name of two files: rename one of them")
        if not row["caption"]:
            raise SDNError(f"{where}: the caption of {image!r} is empty: write at least one word")
        kind = unicodedata.normalize("NFC", row.get("class") or image)
        if kind_of.setdefault(image, kind) != kind:
            raise SDNError(f"{where}: {image!r} is a {kind!r}, and was a {kind_of[image]!r} before")
        split = row.get("split", "").lower() or _draw(kind)
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
            raise SDNError(f"{table} leaves no picture to {split} on: fill its split column")
    most = max(len(captions[name]) for name in names)
    mended = {
        "captions_mended": 0,
        "files_repeated_to_ten": sum(len(captions[name]) < most for name in names),
    }
    found = Split(splits, None, [], "the table, or drawn by the names of the classes")
    return Reading(
        names=names,
        class_ids=ids,
        class_names={id: class_names[id] for id in sorted(set(ids))},
        images=[paths[name] for name in names],
        captions=[[captions[n][k % len(captions[n])] for k in range(most)] for n in names],
        splits=splits,
        boxes=None,
        embeddings=None,
        source=source_of("folder", root, found, splits, subset, classes, mended, [table]),
    )


def _table(root: Path) -> Path:
    if not root.is_dir():
        raise SDNError(f"{root} is no folder: name the one with your pictures and {TABLE}")
    path = root / TABLE
    if path.is_file():
        return path
    alike = [one for one in root.iterdir() if one.name.lower() == TABLE and one.is_file()]
    if len(alike) == 1:
        return alike[0]
    columns = ",".join(COLUMNS)
    raise SDNError(f"{path} is missing: write it with the columns {columns}, the last two free")


class _Pictures:
    """The files of a folder, found by names that other systems and editors may have changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inside = root.resolve()

    def find(self, image: str, where: str) -> Path:
        """Return the path of the one file that is meant; `where` begins the error if none is."""
        if not image:
            raise SDNError(f"{where}: no picture is named: fill the column image")
        for name in (image, image.replace("\\", "/")):
            path = self.root / name
            # Unlike Path.is_file, for which a long caption in the wrong column is an error.
            if os.path.isfile(path):
                if not path.resolve().is_relative_to(self._inside):
                    break
                within = os.path.relpath(path, self.root)
                if within.startswith(os.pardir):  # it was named by a link's way
                    within = str(path.resolve().relative_to(self._inside))
                return self.root / within
        if not (self.root / name).resolve().is_relative_to(self._inside):
            raise SDNError(f"{where}: {image!r} lies outside {self.root}: move it inside")
        found = self._alike[_folded(os.path.normpath(name))]
        if len(found) > 1:
            inside = sorted(path.relative_to(self.root).as_posix() for path in found)
            names = " or ".join(map(repr, inside))
            raise SDNError(f"{where}: {image!r} may be {names}: write the name as it is")
        if not found:
            raise SDNError(f"{where}: {self.root / name} is missing")
        return found[0]

    @cached_property
    def _alike(self) -> defaultdict[str, list[Path]]:
        alike = defaultdict(list)
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                alike[_folded(path.relative_to(self.root).as_posix())].append(path)
        return alike


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of the last line and the fields, stripped, of each row that is not empty."""
    text = read_text(path, "save it as 'CSV UTF-8'").replace("\r\n", "\n").replace("\r", "\n")
    first, _, rest = text.partition("\n")
    before = 0
    if first.lower().startswith("sep=") and first[4:].strip('" ') in SEPARATORS:
        text, before = rest, 1  # a line that Excel writes for itself
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names: list[str] | None = None
        empty = True
        for fields in reader:
            line = reader.line_num + before
            fields = [field.strip() for field in fields]
            if not any(fields):
                continue
            if names is None:
                names = _columns(fields, path)
                continue
            if any(fields[len(names) :]):
                raise SDNError(
                    f"{path}, line {line}, has not {counted(len(names), 'field')}: put captions "
                    f"with {SEPARATORS[separator]} in double quotes"
                )
            fields += [""] * (len(names) - len(fields))
            empty = False
            yield line, dict(zip(names, fields, strict=False))
    except csv.Error as error:
        raise SDNError(f"{path} is no CSV ({error}): close every double quote") from None
    if names is None or empty:
        _columns(names or [], path)
        raise SDNError(f"{path} names no picture: write one caption a line")


def _separator(text: str) -> str:
    """Return what stands between the names in the first line that is not empty."""
    line = next((line for line in text.split("\n") if line.strip(",;\t ")), "")
    return max(SEPARATORS, key=line.count)


def _columns(fields: list[str], path: Path) -> list[str]:
    names = [name.lower() for name in fields]
    while names and not names[-1]:
        names.pop()
    for name in COLUMNS[:2]:
        if name not in names:
            raise SDNError(f"{path} has no column {name!r}: its first line must name the columns")
    for name in names:
        if name not in COLUMNS:
            raise SDNError(f"{path} has an unknown column {name!r}: {near(name, COLUMNS)}")
        if names.count(name) > 1:
            raise SDNError(f"{path} has two columns {name!r}: take one of them out")
    return names


def _draw(kind: str) -> str:
    """Put every tenth class into the test split, the same ones wherever the table is read."""
    drawn = int.from_bytes(hashlib.sha256(kind.encode()).digest()[:4], "big")
    return "test" if drawn % TEST_SHARE == 0 else "train"
