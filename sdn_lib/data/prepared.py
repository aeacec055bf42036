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

The folder appears in one piece (written beside its place, then renamed), so a folder with a
manifest is a finished one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sdn_lib.errors import SDNError, near

FORMAT = 1
SPLITS = ("train", "test")


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

    def indices(self, split: str) -> np.ndarray:
        """Return the int64 positions of the images of one split, in stored order."""
        if split not in SPLITS:
            raise PreparedError(f"unknown split {split!r}: {near(split, SPLITS)}")
        return np.flatnonzero(np.asarray(self.splits) == split)


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
    complete; any other existing folder is refused. Raises PreparedError where lengths differ.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / "manifest.json").exists() and any(folder.iterdir()):
        raise PreparedError(
            f"{folder} exists and is no prepared folder (it has no manifest.json): "
            "choose another folder or empty this one"
        )
    count = len(names)
    arrays, tables = dict(arrays or {}), dict(tables or {})
    _check_lengths(count, captions, class_ids, names, splits, arrays)
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        (new / "arrays").mkdir(parents=True)
        _write_images(new / "images.npy", images, count)
        for name, array in arrays.items():
            np.save(new / "arrays" / f"{name}.npy", np.ascontiguousarray(array))
        _dump(new / "captions.json", [list(c) for c in captions])
        index = {
            "names": list(names),
            "class_ids": [int(c) for c in class_ids],
            "splits": list(splits),
        }
        _dump(new / "index.json", index)
        _dump(new / "tables.json", tables)
        files = {}
        for path in sorted(p for p in new.rglob("*") if p.is_file()):
            files[path.relative_to(new).as_posix()] = {
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
            }
        manifest = {"format": FORMAT, "count": count, "source": dict(source or {}), "files": files}
        _dump(new / "manifest.json", manifest, indent=1)
        _swap(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return load(folder, verify=False)


def load(folder: str | Path, verify: bool = True) -> Prepared:
    """Open a prepared folder; with `verify`, check every file against the manifest's SHA-256.

    Sizes are always checked. Raises PreparedError that names the damaged file and the remedy.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    for name, want in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise PreparedError(f"{path} is missing: {_remedy(folder)}")
        if path.stat().st_size != want["bytes"]:
            raise PreparedError(
                f"{path} has {path.stat().st_size} bytes, the manifest says {want['bytes']}: "
                + _remedy(folder)
            )
        if verify and sha256(path) != want["sha256"]:
            raise PreparedError(
                f"{path} does not match its SHA-256 in the manifest: {_remedy(folder)}"
            )
    index = _read_json(folder / "index.json")
    arrays = {
        Path(name).stem: np.load(folder / name, mmap_mode="r")
        for name in manifest["files"]
        if name.startswith("arrays/")
    }
    prepared = Prepared(
        folder=folder,
        images=np.load(folder / "images.npy", mmap_mode="r"),
        captions=_read_json(folder / "captions.json"),
        class_ids=np.asarray(index["class_ids"], dtype=np.int64),
        names=index["names"],
        splits=index["splits"],
        arrays=arrays,
        tables=_read_json(folder / "tables.json"),
        manifest=manifest,
    )
    try:
        _check_lengths(
            manifest["count"],
            prepared.captions,
            prepared.class_ids,
            prepared.names,
            prepared.splits,
            {**arrays, "images": prepared.images},
        )
    except PreparedError as error:
        raise PreparedError(f"{folder}: {error}; {_remedy(folder)}") from None
    return prepared


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
            raise PreparedError(f"{name} has {len(value)} rows, names has {count}")
    if len(set(names)) != count:
        seen: set[str] = set()
        twice = next(n for n in names if n in seen or seen.add(n))
        raise PreparedError(f"the name {twice!r} stands twice: names must be unique")
    for name, lines, split in zip(names, captions, splits, strict=True):
        if not lines or any(not line.strip() for line in lines):
            raise PreparedError(f"image {name!r} has no caption or an empty one")
        if split not in SPLITS:
            raise PreparedError(f"image {name!r} has the split {split!r}: {near(split, SPLITS)}")


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
                    f"expected {count} images of {shape}"
                )
            file.write(np.ascontiguousarray(chunk).data)
            row += len(chunk)
    if shape is None or row != count:
        raise PreparedError(f"{row} images came, names has {count}")


def _swap(new: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(new, folder)
        return
    old = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.old"
    os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise PreparedError(f"{path} is missing: {folder} is no prepared folder, prepare it first")
    manifest = _read_json(path)
    if not isinstance(manifest, dict) or {"format", "count", "files", "source"} - set(manifest):
        raise PreparedError(f"{path} is no manifest of a prepared folder: {_remedy(folder)}")
    if manifest["format"] != FORMAT:
        raise PreparedError(
            f"{path} has format {manifest['format']}, this version reads {FORMAT}: "
            + _remedy(folder)
        )
    return manifest


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise PreparedError(f"{path} cannot be read ({error}): {_remedy(path.parent)}") from None


def _remedy(folder: Path) -> str:
    return f"delete {folder} and prepare it again"


def _dump(path: Path, value: Any, indent: int | None = None) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent) + "\n", encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
