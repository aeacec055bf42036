"""CUB-200-2011, its human captions, and the text-to-image split of Reed et al. and StackGAN.

A folder to read holds

===================  ==========================================================================
`CUB_200_2011/`      the official archive: `images/`, `images.txt`, `classes.txt`,
                     `image_class_labels.txt`, `bounding_boxes.txt`
`text_c10/`          `<class folder>/<image>.txt`, ten captions each
`train/`, `test/`    optional: `filenames.pickle`, `class_info.pickle` and
                     `char-CNN-RNN-embeddings.pickle`, as StackGAN published them
===================  ==========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sdn_lib.data.photographs.published import Lists, Published, read_files
from sdn_lib.data.photographs.reading import Reading
from sdn_lib.errors import SDNError, counted
from sdn_lib.files import read_text

COUNTS = {"train": 8855, "test": 2933}

# fmt: off
TEST_CLASSES = (
    1, 4, 6, 8, 9, 14, 23, 29, 31, 33, 34, 35, 36, 37, 38, 43, 49, 51, 53, 66, 72, 79, 83, 84, 86,
    91, 95, 96, 98, 101, 102, 103, 112, 114, 119, 121, 130, 135, 138, 147, 156, 163, 165, 166, 180,
    183, 185, 186, 187, 197,
)
"""Ids of the 50 classes of the text-to-image test split; `train_test_split.txt` is another one."""
# fmt: on
CUB = Published(
    "cub", "fetch_birds.py", "CUB_200_2011/images", COUNTS, TEST_CLASSES, may_repeat=False
)


def read(folder: str | Path, subset: bool = False, classes: Sequence[int] | None = None) -> Reading:
    """Read a folder of CUB with captions and check it.

    The split must have 8,855 and 2,933 images unless `subset` says that the folder holds a part
    of the data set: images whose picture or captions are not there are then left out and counted,
    see `published.read_files`. `classes` keeps only some class ids; files of the others need not be
    there. Raises SDNError, which names the file, for an image or caption file that is missing or
    that no image list knows, for other than ten captions, and for lists that disagree.
    """
    folder = Path(folder)
    root = folder / "CUB_200_2011"
    if not root.is_dir():
        raise SDNError(f"{root} is missing: {CUB.remedy(folder)}")
    paths = {
        name: root / f"{name}.txt"
        for name in ("images", "classes", "image_class_labels", "bounding_boxes")
    }
    files = numbered(paths["images"], 1)
    names_of = {number: one for number, (one,) in numbered(paths["classes"], 1).items()}
    labels = numbered(paths["image_class_labels"], 1)
    boxes = numbered(paths["bounding_boxes"], 4)
    for key, table in (("image_class_labels", labels), ("bounding_boxes", boxes)):
        if table.keys() != files.keys():
            number = min(table.keys() ^ files.keys())
            raise SDNError(
                f"{paths[key]} has {counted(len(table), 'line')} and images.txt {len(files)}; "
                f"image {number} is in one of them only: unpack CUB_200_2011.tgz again"
            )
    class_ids = []
    for number, (file,) in files.items():
        (label,) = labels[number]
        own = int(label) if label.isdecimal() else 0
        parts = file.split("/")
        if len(parts) != 2 or not file.endswith(".jpg") or names_of.get(own) != parts[0]:
            raise SDNError(
                f"{paths['images']} has {file!r} as image {number}, image_class_labels.txt and "
                f"classes.txt put it into {names_of.get(own, own)!r}: unpack CUB_200_2011.tgz again"
            )
        class_ids.append(own)
    names = [file.removesuffix(".jpg") for (file,) in files.values()]
    lists = Lists(list(paths.values()), names, class_ids, names_of, names, names)
    reading = read_files(CUB, folder, lists, subset, classes)
    numbers = dict(zip(names, files, strict=True))
    chosen = [_box(paths["bounding_boxes"], numbers[name], boxes) for name in reading.names]
    return replace(reading, boxes=np.array(chosen))


def numbered(path: Path, columns: int) -> dict[int, list[str]]:
    """Return the lines `<number> <value> ...` of a file, by number, in the order of the file.

    Raises SDNError that names a line of another form, or a number that comes twice.
    """
    lines = read_text(path, "unpack CUB_200_2011.tgz there").splitlines()
    found: dict[int, list[str]] = {}
    for place, line in enumerate(lines, 1):
        number, *values = line.split() or [""]
        if not number.isdecimal() or int(number) in found or len(values) != columns:
            raise SDNError(
                f"{path}, line {place}: {line!r} is no new number with "
                f"{counted(columns, 'value')}: unpack CUB_200_2011.tgz again"
            )
        found[int(number)] = values
    return found


def _box(path: Path, number: int, boxes: dict[int, list[str]]) -> list[float]:
    try:
        box = [float(value) for value in boxes[number]]
    except ValueError:
        box = [math.nan]
    if not all(map(math.isfinite, box)) or min(box[2:]) < 1:
        raise SDNError(
            f"{path}, image {number}: {' '.join(boxes[number])!r} is no box of x, y, width, "
            "height in pixels: unpack CUB_200_2011.tgz again"
        )
    return box
