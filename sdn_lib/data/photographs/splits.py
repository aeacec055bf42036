"""The text-to-image split of a data set, from StackGAN's pickles or a list of test classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sdn_lib.data.photographs import pickles
from sdn_lib.data.prepared import SPLITS
from sdn_lib.errors import SDNError, counted

EMBEDDING = (10, 1024)
EMBEDDINGS_LIMIT = 2 << 30


@dataclass(frozen=True)
class Split:
    """The split of N images, and the embeddings that lie beside it, if any, in the same order.

    `origin` says where the split comes from.
    """

    splits: list[str]
    embeddings: np.ndarray | None
    files: list[Path]
    origin: str = "pickles"


def read_split(
    folder: Path,
    names: Sequence[str],
    class_ids: Sequence[int],
    test_classes: Collection[int],
    needed: Sequence[int] | None = None,
) -> Split:
    """Return the text-to-image split of all N images of a data set.

    It comes from `train/` and `test/` in StackGAN's format where they are present, else from
    `test_classes`. Rows that are not `needed`, where these are named, need not be in the pickles;
    their split and embeddings mean nothing then. Raises SDNError, which names the file, for a
    pickle that is missing or damaged, for images that are unknown, missing or twice there, for
    class ids that differ from the data set's, for a class in both splits, and for embeddings that
    do not fit.
    """
    paths = {split: folder / split / "filenames.pickle" for split in SPLITS}
    embedded = [folder / split / "char-CNN-RNN-embeddings.pickle" for split in SPLITS]
    if not any(path.exists() for path in [*paths.values(), *embedded]):
        own = ["test" if c in test_classes else "train" for c in class_ids]
        return Split(own, None, [], "list of test classes")
    at = {name: row for row, name in enumerate(names)}
    rows: dict[str, list[int]] = {}
    for split, path in paths.items():
        stored = pickles.load(path)
        if not isinstance(stored, list) or any(type(name) is not str for name in stored):
            raise SDNError(f"{path} holds no list of names: fetch it again")
        unknown = next((name for name in stored if name not in at), None)
        if unknown is not None:
            raise SDNError(f"{path} lists {unknown!r}, which the data set does not: fetch it again")
        rows[split] = [at[name] for name in stored]
    counts = np.bincount([row for listed in rows.values() for row in listed], minlength=len(names))
    wrong = counts != 1
    if needed is not None:
        spared = np.ones(len(names), bool)
        spared[needed] = False
        wrong &= ~(spared & (counts == 0))
    if wrong.any():
        name = names[int(np.flatnonzero(wrong)[0])]
        raise SDNError(
            f"{paths['train']} and test/{paths['test'].name} list {counted(counts.sum(), 'name')} "
            f"for {counted(len(names), 'image')}, and {name!r} not once: fetch them again"
        )
    classes = {split: {class_ids[row] for row in listed} for split, listed in rows.items()}
    both = sorted(classes["train"] & classes["test"])
    if both:
        raise SDNError(f"{paths['test']} shares the classes {both} with train/: fetch both again")
    splits = ["train"] * len(names)
    for row in rows["test"]:
        splits[row] = "test"
    files = list(paths.values())
    for split, listed in rows.items():
        info = folder / split / "class_info.pickle"
        if info.exists():
            _check_classes(info, [class_ids[row] for row in listed])
            files.append(info)
    if not any(path.exists() for path in embedded):
        return Split(splits, None, files)
    embeddings = _read_embeddings(embedded, list(rows.values()), len(names))
    return Split(splits, embeddings, files + embedded)


def _check_classes(path: Path, expected: list[int]) -> None:
    stored = pickles.load(path)
    if not isinstance(stored, list) or len(stored) != len(expected):
        raise SDNError(
            f"{path} holds no list of {counted(len(expected), 'class id')}: fetch it again"
        )
    for place, (number, wanted) in enumerate(zip(stored, expected, strict=True)):
        if not isinstance(number, (int, np.integer)) or int(number) != wanted:
            raise SDNError(
                f"{path} has the class {number!r} at place {place}, where the data set has "
                f"{wanted}: fetch train/ and test/ again, all files together"
            )


def _read_embeddings(paths: list[Path], rows: list[list[int]], count: int) -> np.ndarray | None:
    out: np.ndarray | None = None
    dtype = None
    for path, listed in zip(paths, rows, strict=True):
        stored = pickles.load(path, EMBEDDINGS_LIMIT)
        if not isinstance(stored, (list, np.ndarray)) or len(stored) != len(listed):
            raise SDNError(
                f"{path} holds no embeddings of {counted(len(listed), 'image')}: fetch it again"
            )
        for place, row in enumerate(listed):
            one = stored[place]
            if not isinstance(one, np.ndarray) or one.shape != EMBEDDING or one.dtype.kind != "f":
                raise SDNError(
                    f"{path} has at place {place} no floats of shape {EMBEDDING} "
                    f"({getattr(one, 'dtype', type(one).__name__)} {getattr(one, 'shape', '')})"
                    ": fetch it again"
                )
            if out is None:
                dtype = one.dtype
                half = dtype.itemsize == 2
                out = np.empty((count, *EMBEDDING), np.float16 if half else np.float32)
            if one.dtype != dtype:
                raise SDNError(
                    f"{path} has {one.dtype} at place {place}, {dtype} before: not mixed"
                )
            with np.errstate(over="ignore"):  # float64 beyond float32 becomes inf, refused below
                out[row] = one
            if not np.isfinite(out[row]).all():
                raise SDNError(f"{path} has at place {place} a value that is not finite")
        del stored  # half a gigabyte, and the next one follows
    return out
