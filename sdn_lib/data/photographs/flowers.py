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

from sdn_lib.data.photographs.published import Lists, Published, read_files
from sdn_lib.data.photographs.reading import Reading
from sdn_lib.errors import SDNError

COUNTS = {"train": 7034, "test": 1155}
CLASSES = range(1, 103)
TEST_CLASSES = range(1, 21)
"""Test classes of the text-to-image split; 21 to 102, the validation classes 21-40 too, train."""
OXFORD = Published("flowers", "fetch_flowers.py", "jpg", COUNTS, TEST_CLASSES, may_repeat=True)


def read(folder: str | Path, subset: bool = False, classes: Sequence[int] | None = None) -> Reading:
    """Read a folder of Oxford-102 with captions and check it.

    The split must have 7,034 and 1,155 images unless `subset` says that the folder holds a part
    of the data set: images whose picture or captions are not there are then left out and counted,
    see `published.read_files`. `classes` keeps only some class ids; files of the others need not be
    there. A caption file with fewer than ten lines starts again from its first; `source` says how
    many.
    Raises SDNError, which names the file, for an image or caption file that is missing or that no
    image has, for no or more than ten captions, and for lists that disagree.
    """
    folder = Path(folder)
    path = folder / "imagelabels.mat"
    if not path.exists():
        raise SDNError(f"{path} cannot be read (there is no such file): {OXFORD.remedy(folder)}")
    labels = read_labels(path)
    class_names = {k: f"class_{k:05d}" for k in sorted(set(labels))}
    images = [f"image_{number:05d}" for number in range(1, len(labels) + 1)]
    lists = Lists(
        paths=[path],
        names=[f"jpg/{image}" for image in images],
        class_ids=labels,
        class_names=class_names,
        images=images,
        captions=[f"{class_names[k]}/{image}" for k, image in zip(labels, images, strict=True)],
    )
    return read_files(OXFORD, folder, lists, subset, classes)


def read_labels(path: Path) -> list[int]:
    """Return the class of every image, the first one's first; SDNError for another file."""
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
