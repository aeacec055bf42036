"""What the two data sets of photographs share: files, captions, splits, and how they are prepared.

`cub.read` and `flowers.read` check a folder and return a `Reading`; `prepare` decodes, crops and
resizes its images into the prepared form.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from sdn_lib.data import pickles, pictures, prepared
from sdn_lib.data.parallel import workers
from sdn_lib.data.prepared import SPLITS
from sdn_lib.data.unpacking import is_clutter
from sdn_lib.errors import SDNError, counted, near
from sdn_lib.files import read_text

VERSION = 1
CAPTIONS = 10
EMBEDDING = (CAPTIONS, 1024)
FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
CHUNK = 32
EMBEDDINGS_LIMIT = 2 << 30


@dataclass(frozen=True)
class Reading:
    """A folder of photographs, read and checked, its images not opened yet.

    `names` N unique str, as the published splits spell them; `class_ids` N int from 1;
    `class_names` id -> name; `images` N paths; `captions` N lists of equally many str, ten in the
    published data sets; `splits` N of
    'train' or 'test'; `boxes` float64 (N, 4) of x, y, width, height in pixels, or None;
    `embeddings` float16 or float32 (N, 10, 1024), or None; `source` what was read, as JSON.
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


@dataclass(frozen=True)
class Split:
    """The split of N images, and the embeddings that lie beside it, if any, in the same order."""

    splits: list[str]
    embeddings: np.ndarray | None
    files: list[Path]


# --------------------------------------------------------------------------------------------------
# Reading


def read_split(
    folder: Path, names: Sequence[str], class_ids: Sequence[int], test_classes: Collection[int]
) -> Split:
    """Return the text-to-image split of all N images of a data set.

    It comes from `train/` and `test/` in StackGAN's format where they are present, else from
    `test_classes`. Raises SDNError, which names the file, for a pickle that is missing or damaged,
    for images that are unknown, missing or twice there, for class ids that differ from the data
    set's, for a class in both splits, and for embeddings that do not fit.
    """
    paths = {split: folder / split / "filenames.pickle" for split in SPLITS}
    embedded = [folder / split / "char-CNN-RNN-embeddings.pickle" for split in SPLITS]
    if not any(path.exists() for path in [*paths.values(), *embedded]):
        return Split(["test" if c in test_classes else "train" for c in class_ids], None, [])
    at = {name: row for row, name in enumerate(names)}
    rows: dict[str, list[int]] = {}
    for split, path in paths.items():
        listed = pickles.load(path)
        if not isinstance(listed, list) or any(type(name) is not str for name in listed):
            raise SDNError(f"{path} holds no list of names: fetch it again")
        unknown = next((name for name in listed if name not in at), None)
        if unknown is not None:
            raise SDNError(f"{path} lists {unknown!r}, which the data set does not: fetch it again")
        rows[split] = [at[name] for name in listed]
    counts = np.bincount([row for own in rows.values() for row in own], minlength=len(names))
    if (counts != 1).any():
        name = names[int(np.flatnonzero(counts != 1)[0])]
        raise SDNError(
            f"{paths['train']} and test/{paths['test'].name} list {counted(counts.sum(), 'name')} "
            f"for {counted(len(names), 'image')}, and {name!r} not once: fetch them again"
        )
    classes = {split: {class_ids[row] for row in own} for split, own in rows.items()}
    both = sorted(classes["train"] & classes["test"])
    if both:
        raise SDNError(f"{paths['test']} shares the classes {both} with train/: fetch both again")
    splits = ["train"] * len(names)
    for row in rows["test"]:
        splits[row] = "test"
    files = list(paths.values())
    for split, own in rows.items():
        info = folder / split / "class_info.pickle"
        if info.exists():
            _check_classes(info, [class_ids[row] for row in own])
            files.append(info)
    if not any(path.exists() for path in embedded):
        return Split(splits, None, files)
    embeddings = _read_embeddings(embedded, list(rows.values()), len(names))
    return Split(splits, embeddings, files + embedded)


def _check_classes(path: Path, expected: list[int]) -> None:
    found = pickles.load(path)
    if not isinstance(found, list) or len(found) != len(expected):
        raise SDNError(
            f"{path} holds no list of {counted(len(expected), 'class id')}: fetch it again"
        )
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        if not isinstance(one, (int, np.integer)) or int(one) != other:
            raise SDNError(
                f"{path} has the class {one!r} at place {place}, where the data set has {other}: "
                "fetch train/ and test/ again, all files together"
            )


def _read_embeddings(paths: list[Path], rows: list[list[int]], count: int) -> np.ndarray:
    out: np.ndarray | None = None
    kind = None
    for path, own in zip(paths, rows, strict=True):
        found = pickles.load(path, EMBEDDINGS_LIMIT)
        if not isinstance(found, (list, np.ndarray)) or len(found) != len(own):
            raise SDNError(
                f"{path} holds no embeddings of {counted(len(own), 'image')}: fetch it again"
            )
        for place, row in enumerate(own):
            one = found[place]
            if not isinstance(one, np.ndarray) or one.shape != EMBEDDING or one.dtype.kind != "f":
                raise SDNError(
                    f"{path} has at place {place} no floats of shape {EMBEDDING} "
                    f"({getattr(one, 'dtype', type(one).__name__)} {getattr(one, 'shape', '')})"
                    ": fetch it again"
                )
            if out is None:
                kind = one.dtype
                half = kind.itemsize == 2
                out = np.empty((count, *EMBEDDING), np.float16 if half else np.float32)
            if one.dtype != kind:
                raise SDNError(f"{path} has {one.dtype} at place {place}, {kind} before: not mixed")
            with np.errstate(over="ignore"):  # float64 beyond float32 becomes inf, refused below
                out[row] = one
            if not np.isfinite(out[row]).all():
                raise SDNError(f"{path} has at place {place} a value that is not finite")
        del found  # half a gigabyte, and the next one follows
    return out


def match_files(
    root: Path, stems: Sequence[str], known: Collection[str], suffix: str, remedy: str
) -> list[Path]:
    """Return the file `root/<stem><suffix>` of every stem.

    What Macs and Windows add to folders is passed over (`unpacking.is_clutter`). Raises SDNError
    that names the file where one is missing, or where `root` holds one whose stem is not among the
    `known`, which would shift every later image against its captions, and with the `remedy` where
    `root` itself is missing.
    """
    if not root.is_dir():
        raise SDNError(f"{root} is missing: {remedy}")
    paths = (path.relative_to(root).as_posix() for path in root.rglob(f"*{suffix}"))
    found = {path[: -len(suffix)] for path in paths if not is_clutter(path)}
    missing = next((stem for stem in stems if stem not in found), None)
    if missing is not None:
        raise SDNError(
            f"{root / (missing + suffix)} is missing "
            f"({counted(sum(stem not in found for stem in stems), 'such file')}): "
            "unpack the archive again"
        )
    extra = sorted(found - set(known))
    if extra:
        raise SDNError(
            f"{root / (extra[0] + suffix)} belongs to no image of the data set "
            f"({counted(len(extra), 'such file')}): take it away or unpack the archive again"
        )
    return [root / (stem + suffix) for stem in stems]


def fetch_with(program: str, folder: Path) -> str:
    """Return the words on how to fetch what is missing in a folder."""
    return f"fetch it with `python data_scripts/{program} {shlex.quote(str(folder))}`"


def read_captions(paths: Sequence[Path], repeat: bool) -> tuple[list[list[str]], dict[str, int]]:
    """Return ten captions for each file, and how many files and captions were mended.

    U+FFFD, which stands in pairs where a space was meant, becomes one; empty lines are dropped. A
    file with fewer than ten lines starts again from its first where `repeat`, and raises SDNError
    else; so does a file with more than ten, with none, or that is no UTF-8. A byte order mark and
    the line ends of Windows and of old Macs are read.
    """
    captions, mended, repeated = [], 0, 0
    for path in paths:
        text = read_text(path, "unpack it again")
        # An old Mac's lines end in \r; elsewhere that stands before \n, or is text.
        lines = text.split("\n" if "\n" in text else "\r")
        mended += sum("\ufffd" in line for line in lines)
        lines = [re.sub("\ufffd{1,2}", " ", line).strip() for line in lines]
        lines = [line for line in lines if line]
        short = 0 < len(lines) < CAPTIONS
        if len(lines) != CAPTIONS and not (short and repeat):
            raise SDNError(
                f"{path} has {counted(len(lines), 'caption')}, expected {CAPTIONS}: "
                "unpack the archive again"
            )
        repeated += short
        captions.append([lines[i % len(lines)] for i in range(CAPTIONS)])
    return captions, {"captions_mended": mended, "files_repeated_to_ten": repeated}


def check_counts(path: Path, splits: Sequence[str], official: dict[str, int], subset: bool) -> None:
    """Raise SDNError that names `path` unless the split has the official size or is a subset."""
    counts = {split: list(splits).count(split) for split in SPLITS}
    if not splits:
        raise SDNError(f"{path} lists no images: fetch it again")
    if counts != official and not subset:
        raise SDNError(
            f"{path} gives {counts['train']} training and {counts['test']} test images, the whole "
            f"data set has {official['train']} and {official['test']}: fetch it again, or say that "
            "it is a subset (subset=True, --subset)"
        )


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


def of_rows(embeddings: np.ndarray | None, rows: list[int]) -> np.ndarray | None:
    """Return some rows of the embeddings, without a copy where all are kept."""
    if embeddings is None or len(rows) == len(embeddings):
        return embeddings
    return embeddings[rows]


def source(
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
    sums = {}
    for path in [*paths, *split.files]:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        sums[path.relative_to(folder).as_posix()] = digest
    return {
        "kind": kind,
        "subset": bool(subset),
        "classes": None if classes is None else sorted(set(classes)),
        "splits": {name: list(splits).count(name) for name in SPLITS},
        "splits_from": "pickles" if split.files else "list of test classes",
        "embeddings": None if split.embeddings is None else str(split.embeddings.dtype),
        **mended,
        "md5": sums,
    }


# --------------------------------------------------------------------------------------------------
# Preparing


def prepare(
    reading: Reading,
    out: str | Path,
    size: int = 64,
    crop: bool = False,
    resize: str = "bicubic",
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> prepared.Prepared:
    """Write the prepared form of a reading, its images `size` pixels a side, and return it loaded.

    Every image is decoded as viewers show it, upright and on white (`pictures.read`), and squeezed
    to a square whatever its aspect ratio, as the authors of the paper do; with `crop`, StackGAN's
    square about the bird is cut out first. `resize` is one of `FILTERS`; `processes` (default: one
    a core) changes nothing but the time it takes; `progress` is called with the images done and
    their number. Raises SDNError, and writes nothing, for an option that does not exist, an image
    that is missing, truncated or of a kind that is not read, and a box whose centre lies outside
    its image; the message names the file.
    """
    if resize not in FILTERS:
        raise SDNError(f"prepare: unknown resize filter {resize!r}: {near(resize, FILTERS)}")
    if type(size) is not int or not 1 <= size <= 4096:
        raise SDNError(f"prepare: size={size!r} is no whole number of pixels from 1 to 4096")
    if crop and reading.boxes is None:
        raise SDNError(f"prepare: {reading.source['kind']} has no boxes to crop to: leave crop out")
    total = len(reading.names)
    boxes = reading.boxes.tolist() if crop else [None] * total
    parts = [slice(i, i + CHUNK) for i in range(0, total, CHUNK)]
    with workers(processes, len(parts)) as spread:

        def images() -> Iterator[np.ndarray]:
            done = 0
            jobs = [(reading.images[part], boxes[part], size, resize) for part in parts]
            for chunk in spread(_open_all, jobs):
                done += len(chunk)
                if progress:
                    progress(done, total)
                yield chunk

        return prepared.write(
            out,
            images=images(),
            captions=reading.captions,
            class_ids=reading.class_ids,
            names=reading.names,
            splits=reading.splits,
            arrays={} if reading.embeddings is None else {"embeddings": reading.embeddings},
            tables={"classes": {str(k): name for k, name in reading.class_names.items()}},
            source={
                **reading.source,
                "version": VERSION,
                "size": size,
                "crop": "square of 0.75 times the longer side of the box about its centre"
                if crop
                else None,
                "resize": resize,
                "aspect_ratio": "not kept",
                "decoding": pictures.RULES,
                "pillow": PIL.__version__,
            },
        )


def crop_to(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """Cut out the square about a box of x, y, width, height, as StackGAN does.

    Centre of the box, R = int(0.75 max(width, height)) to each side, clipped to the image, so the
    result is square only within it. Raises SDNError where the centre lies outside the image.
    """
    x, y, width, height = (int(value) for value in box)  # StackGAN drops the fractions first
    middle, centre = (2 * x + width) // 2, (2 * y + height) // 2
    if min(width, height) < 1 or not (0 <= middle < image.width and 0 <= centre < image.height):
        raise SDNError(
            f"the box {tuple(box)} lies outside the image of {image.size} pixels; "
            "fetch bounding_boxes.txt again"
        )
    reach = max(1, int(0.75 * max(width, height)))
    return image.crop(
        (
            max(0, middle - reach),
            max(0, centre - reach),
            min(image.width, middle + reach),
            min(image.height, centre + reach),
        )
    )


def _open_all(job: tuple[list[Path], list, int, str]) -> np.ndarray:
    paths, boxes, size, resize = job
    return np.stack(
        [_open(path, box, size, resize) for path, box in zip(paths, boxes, strict=True)]
    )


def _open(path: Path, box: list[float] | None, size: int, resize: str) -> np.ndarray:
    image = pictures.read(path, None if box is None else partial(crop_to, box=box))
    return np.asarray(image.resize((size, size), FILTERS[resize]))
