"""The one on-disk form of every data set: memory-mapped arrays, JSON tables, a manifest.

A prepared folder holds

====================  =======================================================================
`images.npy`          uint8 (N, height, width, 3), RGB, memory-mapped when read
`captions.json`       N lists of captions
`index.json`          names, class ids and splits, one entry an image
`arrays/<name>.npy`   anything else that has one row an image: attributes, masks, embeddings
`tables.json`         what the arrays' numbers mean: attribute values, part names, species
`manifest.json`       the source, and size and SHA-256 of every file above
====================  =======================================================================

The folder appears in one piece (`folders.writing`), its manifest last, so a folder with a manifest
is a finished one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdn_lib import files
from sdn_lib.data import folders
from sdn_lib.data.clutter import is_clutter
from sdn_lib.errors import SDNError, counted, near

FORMAT = 1
SPLITS = ("train", "test")
OWN = {"images.npy", "captions.json", "index.json", "tables.json", "arrays"}


class PreparedError(SDNError):
    """A prepared folder that is missing, damaged or inconsistent; the message names the file."""


@dataclass(frozen=True)
class Prepared:
    """A prepared data set, its images and arrays memory-mapped and read-only.

    `images` uint8 (N, height, width, 3) RGB; `captions` N lists of str; `class_ids` int64 (N,);
    `names` N unique str; `splits` N of 'train' or 'test'; `arrays` name -> array with N rows;
    `tables` and `manifest` JSON.
    """

    folder: Path
    images: np.ndarray
    captions: list[list[str]]
    class_ids: np.ndarray
    names: list[str]
    splits: list[str]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return int(self.images.shape[1])

    @property
    def checksum(self) -> str:
        """One SHA-256 over the manifest's file checksums: the identity of the data."""
        files = self.manifest["files"]
        text = "".join(f"{name}:{files[name]['sha256']}\n" for name in sorted(files))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def summary(self) -> str:
        """Where the data set lies and how many images there are, in words."""
        train, test = (len(self.indices(split)) for split in SPLITS)
        return f"{self.folder}: {counted(train, 'image')} to train on, {test} to test on"

    def indices(self, split: str) -> np.ndarray:
        """Return the int64 positions of the images of one split, in stored order."""
        if split not in SPLITS:
            raise PreparedError(f"unknown split {split!r}: {near(split, SPLITS)}")
        return np.flatnonzero(np.asarray(self.splits) == split)

    def draw_captions(
        self, rows: np.ndarray, draw: np.random.Generator
    ) -> tuple[list[str], np.ndarray]:
        """Return one caption of each of some images, and int64 (n,), which of its own it is."""
        drawn = np.array([draw.integers(len(self.captions[row])) for row in rows])
        return [self.captions[row][k] for row, k in zip(rows, drawn, strict=True)], drawn


def write(
    folder: str | Path,
    *,
    images: np.ndarray | Iterable[np.ndarray],
    captions: Sequence[Sequence[str]],
    class_ids: Sequence[int] | np.ndarray,
    names: Sequence[str],
    splits: Sequence[str],
    arrays: Mapping[str, np.ndarray] | None = None,
    tables: Mapping[str, Any] | None = None,
    source: Mapping[str, Any] | None = None,
) -> Prepared:
    """Write a prepared folder in one piece and return it loaded.

    `images` is one uint8 (N, height, width, 3) array or an iterable of such chunks, so a data
    set need not fit in memory. An existing prepared folder is replaced only once the new one is
    complete; one that holds nothing, clutter, or what a killed writer left is filled; any other,
    or a file, is refused. Where `folder` is a link, the folder that it
    leads to is written. One process writes at a time, the next one waits, and what killed ones
    left is taken away. Raises PreparedError for such a place, for arguments that do not fit
    together, and where the system refuses.
    """
    folder = Path(folder)
    place = Path(os.path.realpath(folder))
    count = len(names)
    arrays, tables = dict(arrays or {}), dict(tables or {})
    try:
        _check_place(folder, place)
        _check_lengths(count, captions, class_ids, names, splits, arrays)
        with folders.writing(place, last="manifest.json") as new:
            (new / "arrays").mkdir()
            _write_images(new / "images.npy", images, count)
            for name, array in arrays.items():
                _write_array(new / "arrays" / f"{name}.npy", array)
            index = {
                "names": list(names),
                "class_ids": [int(c) for c in class_ids],
                "splits": list(splits),
            }
            _dump(new / "captions.json", [list(c) for c in captions])
            _dump(new / "index.json", index)
            _dump(new / "tables.json", tables)
            sums = _sums(new)
            known = {"format": FORMAT, "count": count, "source": dict(source or {})}
            _dump(new / "manifest.json", {**known, "files": sums}, indent=1)
    except OSError as error:
        if error.errno is None:  # not from the system, but from whoever makes the images
            raise
        raise PreparedError(f"{folder} cannot be written: {files.explain(error)}") from None
    return load(folder, verify=False)


def load(folder: str | Path, verify: bool = True) -> Prepared:
    """Open a prepared folder; with `verify`, check every file against the manifest's SHA-256.

    Sizes are always checked. Raises PreparedError that names the damaged file and the remedy.
    """
    folder = Path(folder)
    try:
        return _load(folder, verify)
    except OSError as error:
        raise PreparedError(f"{folder} cannot be read: {files.explain(error)}") from None


def _load(folder: Path, verify: bool) -> Prepared:
    manifest = _read_manifest(folder)
    for name, want in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise PreparedError(f"{path} is missing: {_remedy(folder)}")
        if path.stat().st_size != want["bytes"]:
            raise PreparedError(
                f"{path} has {counted(path.stat().st_size, 'byte')}, the manifest says "
                f"{want['bytes']}: {_remedy(folder)}"
            )
        if verify and files.checksum(path) != want["sha256"]:
            raise PreparedError(
                f"{path} does not match its SHA-256 in the manifest: {_remedy(folder)}"
            )
    index = _read_json(folder / "index.json", dict)
    arrays = {
        Path(name).stem: _open_array(folder, name)
        for name in manifest["files"]
        if name.startswith("arrays/")
    }
    try:
        prepared = Prepared(
            folder=folder,
            images=_open_array(folder, "images.npy"),
            captions=_read_json(folder / "captions.json", list),
            class_ids=np.asarray(index["class_ids"], dtype=np.int64),
            names=index["names"],
            splits=index["splits"],
            arrays=arrays,
            tables=_read_json(folder / "tables.json", dict),
            manifest=manifest,
        )
        damage = _difference(prepared)
    except PreparedError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        damage = f"index.json or captions.json is damaged ({error!r})"
    if damage:
        raise PreparedError(f"{folder}: {damage}; {_remedy(folder)}")
    return prepared


def _difference(prepared: Prepared) -> str:
    """Return in which way the files of a prepared folder do not fit together, if in any."""
    if prepared.images.ndim != 4 or prepared.images.dtype != np.uint8:
        return f"images.npy holds {prepared.images.dtype} {prepared.images.shape}, no images"
    arrays = {**prepared.arrays, "images": prepared.images}
    try:
        _check_lengths(
            prepared.manifest["count"],
            prepared.captions,
            prepared.class_ids,
            prepared.names,
            prepared.splits,
            arrays,
        )
    except PreparedError as error:
        return str(error)
    return ""


def is_prepared(folder: str | Path, source: Mapping[str, Any] | None = None) -> bool:
    """Say whether a finished prepared folder stands there, made from `source` when given."""
    if not (Path(folder) / "manifest.json").is_file():
        return False
    if source is None:
        return True
    return _read_manifest(Path(folder))["source"] == json.loads(json.dumps(dict(source)))


def _check_lengths(count, captions, class_ids, names, splits, arrays) -> None:
    rows = {"captions": captions, "class_ids": class_ids, "splits": splits, **arrays}
    for name, value in rows.items():
        if len(value) != count:
            raise PreparedError(f"{name} has {counted(len(value), 'row')}, names has {count}")
    if len(set(names)) != count:
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise PreparedError(f"the name {twice!r} stands twice: names must be unique")
    for name, lines, split in zip(names, captions, splits, strict=True):
        if not lines or any(not line.strip() for line in lines):
            raise PreparedError(f"image {name!r} has no caption or an empty one")
        if len(lines) != len(captions[0]):
            has, first = counted(len(lines), "caption"), len(captions[0])
            raise PreparedError(f"image {name!r} has {has}, {names[0]!r} has {first}: give as many")
        if split not in SPLITS:
            raise PreparedError(f"image {name!r} has the split {split!r}: {near(split, SPLITS)}")


def _check_place(folder: Path, place: Path) -> None:
    """Raise PreparedError where what stands at `place` may not be replaced."""
    if not place.exists():
        return
    if not place.is_dir():
        raise PreparedError(f"{folder} is a file: choose another folder, or move it away")
    if (place / "manifest.json").exists():
        return
    other = {path.name for path in place.iterdir() if not is_clutter(path.name)}
    other -= {"lost+found", *(name for name in other if name.startswith(f".{place.name}."))}
    half = other <= OWN and folders.leftovers(place)  # killed while it was filled
    if other and not half:
        raise PreparedError(
            f"{folder} exists and is no prepared folder (it has no manifest.json): "
            "choose another folder or empty this one"
        )


def _write_images(path: Path, images, count: int) -> None:
    # In sequence, not by a memory map: its pages would count as this process's memory.
    chunks = iter([images] if isinstance(images, np.ndarray) else images)
    shape, row = None, 0
    with path.open("wb") as file:
        for chunk in chunks:
            if chunk.dtype != np.uint8 or chunk.ndim != 4 or chunk.shape[3] != 3:
                raise PreparedError(
                    f"images must be uint8 (n, height, width, 3), got {chunk.dtype} {chunk.shape}"
                )
            if shape is None:
                shape = chunk.shape[1:]
                header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
                np.lib.format.write_array_header_1_0(file, header)
            if chunk.shape[1:] != shape or row + len(chunk) > count:
                raise PreparedError(
                    f"images {row} to {row + len(chunk) - 1} have shape {chunk.shape[1:]}, "
                    f"expected {counted(count, 'image')} of {shape}"
                )
            file.write(np.ascontiguousarray(chunk).data)
            row += len(chunk)
    if shape is None or row != count:
        raise PreparedError(f"{counted(row, 'image')} came, names has {count}")


def _write_array(path: Path, array: np.ndarray) -> None:
    # As np.save, which does not say why a disk refuses.
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def _sums(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": files.checksum(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise PreparedError(f"{path} is missing: {folder} is no prepared folder, prepare it first")
    manifest = _read_json(path, dict)
    sums = manifest.get("files")
    whole = {"format", "count", "source"} <= set(manifest) and isinstance(sums, dict)
    if not whole or not all(
        isinstance(one, dict) and {"bytes", "sha256"} <= set(one) for one in sums.values()
    ):
        raise PreparedError(f"{path} is no manifest of a prepared folder: {_remedy(folder)}")
    if manifest["format"] != FORMAT:
        raise PreparedError(
            f"{path} has format {manifest['format']}, this version reads {FORMAT}: "
            + _remedy(folder)
        )
    return manifest


def _read_json(path: Path, kind: type) -> Any:
    try:
        return files.read_json(path, _remedy(path.parent), kind)
    except SDNError as error:
        raise PreparedError(str(error)) from None


def _open_array(folder: Path, name: str) -> np.ndarray:
    try:
        return np.load(folder / name, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise PreparedError(
            f"{folder / name} cannot be read ({error}): {_remedy(folder)}"
        ) from None


def _remedy(folder: Path) -> str:
    return f"delete {folder} and prepare it again"


def _dump(path: Path, value: Any, indent: int | None = None) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")
