"""The primary colour of each kind of bird in CUB-200-2011, as people saw it in its photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sdn_lib.captions import words
from sdn_lib.data.photographs.cub import numbered
from sdn_lib.errors import SDNError
from sdn_lib.files import read_text

KINDS = 200
PRIMARY = "has_primary_color::"
SPELT = {"grey": ("grey", "gray"), "rufous": ("rufous", "rust", "rusty")}
"""Colours that captions spell in several ways; the others as they are called."""


def primary_colours(folder: str | Path) -> tuple[list[str], np.ndarray]:
    """Return the names of the colours and, for each of the 200 kinds, how many saw it so.

    (colours, float (200, colours), percent of people), kind k in row k - 1. From `attributes.txt`
    and `class_attribute_labels_continuous.txt` of the official archive. In a part of it the second
    may have a row for each kind of the `classes.txt` in the folder above; the rows of the others
    are NaN. Raises SDNError that names the file where one is missing or has other lines.
    """
    names, table = (
        Path(folder).resolve() / name
        for name in ("attributes.txt", "class_attribute_labels_continuous.txt")
    )
    if not names.exists() and (names.parent.parent.parent / names.name).exists():
        names = names.parent.parent.parent / names.name  # where the archive has it
    remedy = "unpack CUB_200_2011.tgz there"
    called = [line.split()[-1] for line in read_text(names, remedy).splitlines() if line.split()]
    chosen = [k for k, name in enumerate(called) if name.startswith(PRIMARY)]
    try:
        rows = [
            [float(x) for x in line.split()] for line in read_text(table, remedy).splitlines()
        ]
        percents = np.array(rows)
    except ValueError as error:
        raise SDNError(f"{table} is no table of numbers ({error}): {remedy}") from None
    kinds, part = list(range(1, KINDS + 1)), table.parent.parent / "classes.txt"
    if len(percents) != KINDS and part.exists():
        kinds = list(numbered(part, 1))
        if not set(kinds) <= set(range(1, KINDS + 1)):
            raise SDNError(f"{part} has kinds beyond the {KINDS} of the data set: {remedy}")
    if not chosen or percents.shape != (len(kinds), len(called)):
        raise SDNError(
            f"{table} has {percents.shape} numbers for {len(called)} attributes of {len(kinds)} "
            f"kinds, {len(chosen)} of them primary colours: {remedy}"
        )
    found = np.full((KINDS, len(chosen)), np.nan)
    found[np.array(kinds) - 1] = percents[:, chosen]
    return [called[k].removeprefix(PRIMARY) for k in chosen], found


def names_colour(caption: str, colour: str) -> bool:
    """Say whether a caption has the word for a colour."""
    return not words(caption).isdisjoint(SPELT.get(colour, (colour,)))
