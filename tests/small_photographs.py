"""A data set of small pictures in the form of photographs: species, captions, no attributes."""

from __future__ import annotations

import dataclasses

import numpy as np

from sdn_lib import profiles
from sdn_lib.data import prepared

CLASSES, EACH, SIZE = 6, 3, 32
COLOURS = ("red", "blue", "grey")


def prepare(folder, embeddings=False, mirrored=False, words="bird", lit=False):
    rng = np.random.default_rng(0)
    count = CLASSES * EACH
    classes = np.repeat(np.arange(1, CLASSES + 1), EACH)
    table = rng.standard_normal((count, 10, 64), dtype=np.float32)
    images = rng.integers(256, size=(count, SIZE, SIZE, 3), dtype=np.uint8)
    if lit:  # from the right
        images = (images * np.linspace(0, 1, SIZE)[:, None]).astype(np.uint8)
    return prepared.write(
        folder,
        images=images[:, :, ::-1] if mirrored else images,
        captions=[[f"{COLOURS[c % 3]} {words} {n} of kind {c}, line {k}" for k in range(10)]
                  for n, c in enumerate(classes)],
        class_ids=classes,
        names=[f"bird_{n}" for n in range(count)],
        splits=["train" if c <= 4 else "test" for c in classes],
        arrays={"embeddings": table} if embeddings else {},
        tables={"classes": {str(c): f"kind {c}" for c in range(1, CLASSES + 1)}},
    )  # fmt: skip


def profile_of(folder, **changes):
    runs = ("text", "judge_text", "stage_one", "stage_two")
    small = {"judge_text__steps": 10, **{f"{name}__batch": 4 for name in runs}}
    smoke = profiles.load("smoke", **small, **changes)
    return dataclasses.replace(smoke, photos=str(folder), output_dir=f"{folder}-runs")
