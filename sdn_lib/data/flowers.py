"""Oxford-102 flowers, their human captions, and the text-to-image split of Reed et al.

A folder to read holds

===================  ==========================================================================
`jpg/`               `image_00001.jpg` and on, the official archive
`imagelabels.mat`    the class of every image
`text_c10/`          `class_%05d/image_%05d.txt`, ten captions each, sometimes fewer
`train/`, `test/`    optional: `filenames.pickle`, `class_info.pickle` and
                     `char-CNN-RNN-embeddings.pickle`, as StackGAN published them
===================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from sdn_lib.data import photos
from sdn_lib.data.photos import Reading
from sdn_lib.errors import SDNError

COUNTS = {"train": 7034, "test": 1155}
CLASSES = range(1, 103)
TEST_CLASSES = range(1, 21)
"""Test classes of the text-to-image split; 21 to 102, the validation classes 21-40 too, train."""


def read(folder: str | Path, subset: bool = False, classes: Sequence[int] | None = None) -> Reading:
    """Read a folder of Oxford-102 with captions and check it.

    The split must have 7,034 and 1,155 images unless `subset` says that the folder holds a part
    of the data set. `classes` keeps only some class ids; files of the others need not be there. A
    caption file with fewer than ten lines starts again from its first; `source` says how many.
    Raises SDNError, which names the file, for an image or caption file that is missing or that no
    image has, for no or more than ten captions, and for lists that disagree.
    """
    folder = Path(folder)
    path = folder / "imagelabels.mat"
    remedy = photos.fetch_with("fetch_flowers.py", folder)
    if not path.exists():
        raise SDNError(f"{path} cannot be read (there is no such file): {remedy}")
    class_ids = _labels(path)
    names = [f"jpg/image_{number:05d}" for number in range(1, len(class_ids) + 1)]
    split = photos.read_split(folder, names, class_ids, TEST_CLASSES)
    photos.check_counts(path, split.splits, COUNTS, subset)

    class_names = {k: f"class_{k:05d}" for k in sorted(set(class_ids))}
    rows = photos.chosen_rows(class_ids, class_names, classes)
    stems = [name.removeprefix("jpg/") for name in names]
    told = [f"{class_names[k]}/{stem}" for k, stem in zip(class_ids, stems, strict=True)]
    kept, kept_told = [stems[row] for row in rows], [told[row] for row in rows]
    images = photos.match_files(folder / "jpg", kept, stems, ".jpg", remedy)
    texts = photos.match_files(folder / "text_c10", kept_told, told, ".txt", remedy)
    captions, mended = photos.read_captions(texts, repeat=True)
    splits = [split.splits[row] for row in rows]
    return Reading(
        names=[names[row] for row in rows],
        class_ids=[class_ids[row] for row in rows],
        class_names={k: name for k, name in class_names.items() if classes is None or k in classes},
        images=images,
        captions=captions,
        splits=splits,
        boxes=None,
        embeddings=photos.of_rows(split.embeddings, rows),
        source=photos.source("flowers", folder, split, splits, subset, classes, mended, [path]),
    )


def _labels(path: Path) -> list[int]:
    try:
        found = np.asarray(loadmat(path, appendmat=False)["labels"])
    except Exception as error:  # the reader raises many kinds for a damaged file
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise SDNError(f"{path} cannot be read ({reason}): fetch it again") from None
    whole = found.ndim == 2 and found.shape[0] == 1 and found.size and found.dtype.kind in "iu"
    if not whole or not set(found[0].tolist()) <= set(CLASSES):
        raise SDNError(
            f"{path} has labels {found.dtype} {found.shape}, expected integers from 1 to 102 of "
            "shape (1, images): fetch it again"
        )
    return found[0].tolist()
