"""Readings of photographs brought into the prepared form: decoded, cropped, resized."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from sdn_lib.data import prepared
from sdn_lib.data.parallel import workers
from sdn_lib.data.photographs import decoding
from sdn_lib.data.photographs.facing import SIDES
from sdn_lib.data.photographs.reading import Reading
from sdn_lib.errors import SDNError, near

VERSION = 1
FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}
CROPS = {
    "stackgan": "square about the centre of the box, to each side 0.75 times the box's longer side",
    "box": "the box itself, squeezed to a square",
}
IMAGES_PER_JOB = 32


def prepare(
    reading: Reading,
    out: str | Path,
    size: int = 64,
    crop: str | None = None,
    resize: str = "bicubic",
    facing: str | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> prepared.Prepared:
    """Write the prepared form of a reading, its images `size` pixels a side, and return it loaded.

    Every image is decoded as viewers show it, upright and on white (`decoding.decode`), and
    squeezed to a square whatever its aspect ratio, as the authors of the paper do; with `crop`, one
    of `CROPS`, the bird is cut out first. With `facing`, 'left' or 'right', a bird that is known to
    face the other way is mirrored. `resize` is one of `FILTERS`; `processes`
    (default: one a core) changes nothing but the time it takes; `progress` is called with the
    images done and their number. Raises SDNError, and writes nothing, for an option that does not
    exist, an image that is missing, truncated or of a kind that is not read, and a box whose centre
    lies outside its image; the message names the file.
    """
    if resize not in FILTERS:
        raise SDNError(f"prepare: unknown resize filter {resize!r}: {near(resize, FILTERS)}")
    if crop is not None and crop not in CROPS:
        raise SDNError(f"prepare: unknown crop {crop!r}: {near(crop, CROPS)}")
    if facing is not None and facing not in SIDES:
        raise SDNError(f"prepare: unknown side {facing!r}: {near(facing, SIDES)}")
    if facing and reading.facing is None:
        raise SDNError(
            f"prepare: the {reading.source['kind']} do not say which way they face: leave facing "
            "out, or read it first with `facing.add_facing`"
        )
    if type(size) is not int or not 1 <= size <= 4096:
        raise SDNError(f"prepare: size={size!r} is no whole number of pixels from 1 to 4096")
    total = len(reading.names)
    boxes: list[list[float] | None] = [None] * total
    if crop:
        if reading.boxes is None:
            kind = reading.source["kind"]
            raise SDNError(f"prepare: {kind} has no boxes to crop to: leave crop out")
        boxes = reading.boxes.tolist()
    sides = reading.facing or [None] * total
    mirrored = [bool(facing and side and side != facing) for side in sides]
    parts = [slice(i, i + IMAGES_PER_JOB) for i in range(0, total, IMAGES_PER_JOB)]
    with workers(processes, len(parts)) as parallel_map:

        def images() -> Iterator[np.ndarray]:
            done = 0
            jobs = [
                (reading.images[part], boxes[part], mirrored[part], size, crop, resize)
                for part in parts
            ]
            for chunk in parallel_map(_open_all, jobs):
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
                "crop": CROPS[crop] if crop else None,
                "facing": facing,
                "mirrored": sum(mirrored),
                "facing_unknown": sum(side is None for side in sides) if facing else None,
                "resize": resize,
                "aspect_ratio": "not kept",
                "decoding": decoding.RULES,
                "pillow": PIL.__version__,
            },
        )


def crop_to(image: Image.Image, box: Sequence[float], crop: str = "stackgan") -> Image.Image:
    """Cut out a bird by its box of x, y, width, height, in one of the ways of `CROPS`.

    'stackgan': from the centre of the box R = int(0.75 max(width, height)) to each side, clipped to
    the image, so the result is square only within it. 'box': the box itself, clipped likewise.
    Raises SDNError where the centre lies outside the image.
    """
    x, y, width, height = (int(value) for value in box)  # StackGAN drops the fractions first
    middle, centre = (2 * x + width) // 2, (2 * y + height) // 2
    if min(width, height) < 1 or not (0 <= middle < image.width and 0 <= centre < image.height):
        raise SDNError(
            f"the box {tuple(box)} lies outside the image of {image.size} pixels; "
            "fetch bounding_boxes.txt again"
        )
    if crop == "box":
        right, bottom = min(image.width, x + width), min(image.height, y + height)
        return image.crop((max(0, x), max(0, y), right, bottom))
    reach = max(1, int(0.75 * max(width, height)))
    return image.crop(
        (
            max(0, middle - reach),
            max(0, centre - reach),
            min(image.width, middle + reach),
            min(image.height, centre + reach),
        )
    )


def _open_all(job: tuple[list[Path], list, list[bool], int, str | None, str]) -> np.ndarray:
    paths, boxes, mirrored, size, crop, resize = job
    pictures = []
    for path, box, mirror in zip(paths, boxes, mirrored, strict=True):
        cut = partial(crop_to, box=box, crop=crop) if crop and box else None
        picture = np.asarray(decoding.decode(path, cut).resize((size, size), FILTERS[resize]))
        pictures.append(picture[:, ::-1] if mirror else picture)
    return np.stack(pictures)
