"""A folder of photographs, read and checked: what every kind of folder becomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdn_lib.data.photographs.splits import Split
from sdn_lib.data.prepared import SPLITS
from sdn_lib.errors import SDNError, counted
from sdn_lib.files import checksum


@dataclass(frozen=True)
class Reading:
    """A folder of photographs, read and checked, its images not opened yet.

    `names` N unique str, as the published splits spell them; `class_ids` N int from 1;
    `class_names` id -> name; `images` N paths; `captions` N lists of equally many str, ten in the
    published data sets; `splits` N of
    'train' or 'test'; `boxes` float64 (N, 4) of x, y, width, height in pixels, or None;
    `embeddings` float16 or float32 (N, 10, 1024), or None; `source` what was read, as JSON;
    `facing` N of 'left', 'right' or None, where a folder was asked for it (`facing.add_facing`).
    """

    names: list[str]
    class_ids: list[int]
    class_names: dict[int, str]
    images: list[Path]
    captions: list[list[str]]
    splits: list[str]
    boxes: np.ndarray | None
    embeddings: np.ndarray | None
    source: dict[str, Any]
    facing: list[str | None] | None = None


def chosen_rows(
    class_ids: Sequence[int], class_names: dict[int, str], classes: Sequence[int] | None
) -> list[int]:
    """Return the rows of the images of some classes, of all where `classes` is None.

    Raises SDNError for a class that the data set does not have, and where none is chosen.
    """
    if classes is None:
        return list(range(len(class_ids)))
    unknown = sorted(set(classes) - set(class_names))
    if unknown or not classes:
        raise SDNError(
            f"classes {unknown or '(none)'} are not in the data set: choose from its "
            f"{counted(len(class_names), 'class', 'classes')} "
            f"{min(class_names)} to {max(class_names)}"
        )
    return [row for row, own in enumerate(class_ids) if own in classes]


def source_of(
    kind: str,
    folder: Path,
    split: Split,
    splits: Sequence[str],
    subset: bool,
    classes: Sequence[int] | None,
    mended: dict[str, int],
    paths: Iterable[Path],
) -> dict[str, Any]:
    """Return what a prepared folder is to record of the reading, `splits` being those kept.

    Files are named by their path within `folder`, with the MD5 that their publishers print.
    """
    return {
        "kind": kind,
        "subset": bool(subset),
        "classes": None if classes is None else sorted(set(classes)),
        "splits": {name: list(splits).count(name) for name in SPLITS},
        "splits_from": split.origin,
        "embeddings": None if split.embeddings is None else str(split.embeddings.dtype),
        **mended,
        "md5": {
            path.relative_to(folder).as_posix(): checksum(path, "md5")
            for path in [*paths, *split.files]
        },
    }
