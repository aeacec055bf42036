"""The data set: birds of every species, painted and described, in the prepared form.

A picture depends on its seed alone, never on how many processes paint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np

from sdn_lib.data import prepared
from sdn_lib.data.painted_birds.attributes import ATTRIBUTES, PARTS
from sdn_lib.data.painted_birds.bird import Bird, Seed, bird_from, draw
from sdn_lib.data.painted_birds.captions import Caption, describe
from sdn_lib.data.painted_birds.painting import paint
from sdn_lib.data.painted_birds.species import Species, make_species
from sdn_lib.data.parallel import check_processes, workers
from sdn_lib.errors import SDNError

VERSION = 2
"""To be raised when the same seed paints or says something else: the data are then made anew."""


def generate(
    folder: str | Path,
    *,
    size: int = 64,
    species: int = 200,
    test_species: int = 50,
    images_per_species: int = 50,
    captions: int = 10,
    seed: int = 0,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> prepared.Prepared:
    """Paint the data set into `folder` in the prepared form and return it loaded.

    Arrays: `attributes` uint8 (N, A), index of each value in ATTRIBUTES; `mentions` bool
    (N, captions, A); `parts` uint8 (N, size, size), index into PARTS. Tables: `attributes`,
    `parts`, `species`. Images stand in the order of their species. `progress(done, total)` is
    called after every species with counts of images; `processes` (default: one a core) changes
    nothing but the time it takes. The part maps are held in memory, the images are streamed.
    Raises SDNError for counts or sizes out of range, PreparedError for a folder in the way.
    """
    config = {
        "size": size,
        "species": species,
        "test_species": test_species,
        "images_per_species": images_per_species,
        "captions": captions,
        "seed": seed,
    }
    check_processes(processes)
    if images_per_species < 1 or captions < 1:
        raise SDNError(
            f"generate: images_per_species={images_per_species} and captions={captions} "
            "must be at least 1"
        )
    kinds = make_species(species, test_species, seed)
    paint(draw(kinds[0], seed), size)  # refuse a bad size before anything is written
    seeds = _seeds(kinds, images_per_species, seed)
    birds = _draw_all(kinds, seeds)
    total = species * images_per_species
    parts = np.empty((total, size, size), np.uint8)

    with workers(processes, species) as parallel_map:
        jobs = [(own, at, captions) for own, at in zip(birds, seeds, strict=True)]
        described = [own for chunk in parallel_map(_describe_all, jobs) for own in chunk]

        def painted() -> Iterator[np.ndarray]:
            # `prepared.write` takes the images first, so `parts` is full before it is written.
            done = 0
            for images, labels in parallel_map(_paint_all, [(own, size) for own in birds]):
                parts[done : done + len(labels)] = labels
                done += len(labels)
                if progress:
                    progress(done, total)
                yield images

        return _write(folder, kinds, birds, described, painted(), parts, config)


class Easel:
    """Pictures of birds as an array (n, size, size, 3) that paints what is asked of it.

    For who needs a few of many: rows are numbers of pictures, and nothing is kept.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, birds: Sequence[Bird], size: int) -> None:
        self.birds = birds
        self.shape = len(birds), size, size, 3

    def __len__(self) -> int:
        return len(self.birds)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the pictures of some rows, uint8 (len(rows), size, size, 3) RGB."""
        return np.stack([paint(self.birds[row], self.shape[1])[0] for row in rows])


def unpainted(
    folder: str | Path,
    *,
    size: int,
    species: int,
    test_species: int,
    images_per_species: int,
    seed: int,
) -> prepared.Prepared:
    """Return the pictures that `generate` would paint into `folder`, without painting them.

    Species, splits, attributes and pictures are the same; there are no captions, part maps or
    files. `images` is an Easel.
    """
    kinds = make_species(species, test_species, seed)
    birds = _draw_all(kinds, _seeds(kinds, images_per_species, seed))
    each = range(images_per_species)
    flat = [bird for own in birds for bird in own]
    return prepared.Prepared(
        folder=Path(folder),
        images=cast(np.ndarray, Easel(flat, size)),
        captions=[[] for _ in flat],
        class_ids=np.array([k.id for k in kinds for _ in each]),
        names=_names(kinds, images_per_species),
        splits=[k.split for k in kinds for _ in each],
        arrays={"attributes": _codes(birds)},
        tables={"attributes": _values()},
    )


def paint_matching(
    data: prepared.Prepared, row: int, caption: str, count: int, seed: int = 0
) -> np.ndarray:
    """Paint `count` birds that match a caption of picture `row`, uint8 (count, size, size, 3) RGB.

    They share with that picture what the caption names; all else is drawn anew. Raises SDNError
    for a caption that the picture does not have.
    """
    if caption not in data.captions[row]:
        raise SDNError(f"picture {row} has no caption {caption!r}: take one of data.captions[row]")
    mentioned = data.arrays["mentions"][row, data.captions[row].index(caption)]
    table = data.tables["attributes"].items()
    codes = data.arrays["attributes"][row]
    rows = zip(table, codes, mentioned, strict=True)
    fixed = {name: values[code] for (name, values), code, is_fixed in rows if is_fixed}
    birds = [bird_from(fixed, (seed, int(row), i)) for i in range(count)]
    return np.stack([paint(bird, data.size)[0] for bird in birds])


def _seeds(kinds: list[Species], each: int, seed: int) -> list[list[Seed]]:
    return [[(seed, kind.id, i) for i in range(each)] for kind in kinds]


def _draw_all(kinds: list[Species], seeds: list[list[Seed]]) -> list[list[Bird]]:
    return [[draw(kind, at) for at in own] for kind, own in zip(kinds, seeds, strict=True)]


def _names(kinds: list[Species], each: int) -> list[str]:
    stems = [f"{k.id:03d}.{k.name.replace(' ', '_').replace('-', '_')}" for k in kinds]
    return [f"{stem}/{i + 1:04d}" for stem in stems for i in range(each)]


def _values() -> dict[str, list[str]]:
    return {name: list(values) for name, values in ATTRIBUTES.items()}


def _codes(birds: list[list[Bird]]) -> np.ndarray:
    codes = {name: {value: n for n, value in enumerate(v)} for name, v in ATTRIBUTES.items()}
    rows = [[codes[a][b.attributes[a]] for a in ATTRIBUTES] for own in birds for b in own]
    return np.array(rows, np.uint8)


def _describe_all(job: tuple[list[Bird], list[Seed], int]) -> list[list[Caption]]:
    birds, seeds, count = job
    return [describe(bird, seed, count) for bird, seed in zip(birds, seeds, strict=True)]


def _paint_all(job: tuple[list[Bird], int]) -> tuple[np.ndarray, np.ndarray]:
    birds, size = job
    images, parts = zip(*(paint(bird, size) for bird in birds), strict=True)
    return np.stack(images), np.stack(parts)


def _write(
    folder: str | Path,
    kinds: list[Species],
    birds: list[list[Bird]],
    captions: list[list[Caption]],
    images: Iterator[np.ndarray],
    parts: np.ndarray,
    config: dict[str, int],
) -> prepared.Prepared:
    each = range(config["images_per_species"])
    mentions = [[[a in c.mentions for a in ATTRIBUTES] for c in own] for own in captions]
    return prepared.write(
        folder,
        images=images,
        captions=[[caption.text for caption in own] for own in captions],
        class_ids=[k.id for k in kinds for _ in each],
        names=_names(kinds, config["images_per_species"]),
        splits=[k.split for k in kinds for _ in each],
        arrays={
            "attributes": _codes(birds),
            "mentions": np.array(mentions, bool),
            "parts": parts,
        },
        tables={
            "attributes": _values(),
            "parts": list(PARTS),
            "species": [asdict(k) for k in kinds],
        },
        source={"generator": "painted_birds", "version": VERSION, **config},
    )
