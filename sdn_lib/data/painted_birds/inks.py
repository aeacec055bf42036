"""Inks: what a canvas holds instead of colours.

A palette turns ink numbers into colours, another table into part labels, so the picture and the
part map cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdn_lib.data.painted_birds.attributes import COLOURED, PALETTE, PARTS
from sdn_lib.data.painted_birds.bird import Bird
from sdn_lib.data.painted_birds.families import Family

INKS: dict[str, str] = {"": "background"}
"""Each ink's part of the bird, as the part map calls it; `<ink>-` is the darker rim of an ink."""
for _part in PARTS[1:-1]:
    INKS |= {_part: _part, f"{_part}-": _part}
INKS |= {"far wing": "wing", "far wing-": "wing", "bar": "wing", "bar-": "wing", "ring": "eye"}
INKS |= {"ring-": "eye", "eye": "eye", "glint": "eye", "ink": "crown"}
INKS |= {"perch": "background", "perch-": "background", "fleck": "background"}

INK_NUMBER = {ink: number for number, ink in enumerate(INKS)}
PART_OF_INK = np.array([PARTS.index(part) for part in INKS.values()], np.uint8)
BIRD_OF_INK = [0 if part == "background" else 255 for part in INKS.values()]
BIRD_OF_INK += [0] * (256 - len(INKS))
"""For `Image.point`: 255 for the inks of the bird."""
COVER_OF_INK = [0] + [255] * 255
"""For `Image.point`: 255 for every ink, the perch's too."""


def colour_inks(bird: Bird, family: Family, rng: np.random.Generator) -> np.ndarray:
    """Return a colour for each ink (n, 3), jittered but still nameable; ink 0 stays black."""
    table = np.zeros((len(INKS), 3), np.float32)
    jitter = rng.normal(0, 1, (len(PARTS) + 2, 4)).astype(np.float32).clip(-2, 2)

    def put(ink: str, colour: Sequence[float], n: int, rim: float = 0.42) -> None:
        fill = np.clip(np.array(colour) * (1 + 0.04 * jitter[n, 0]) + 4 * jitter[n, 1:], 0, 255)
        table[INK_NUMBER[ink]] = fill
        if f"{ink}-" in INK_NUMBER:
            table[INK_NUMBER[f"{ink}-"]] = fill * rim if fill.mean() > 52 else fill + 26

    for n, part in enumerate(COLOURED):
        put(part, PALETTE[bird.attributes[part]], n)
    put("far wing", 0.78 * table[INK_NUMBER["wing"]] + 6, -1)
    put("legs", family.legs, 6)
    bars = bird.attributes["wing_bars"]
    put("bar", PALETTE["white" if bars == "none" else bars], 7, 0.35)
    put("ring", PALETTE["white"], 8, 0.30)
    put("eye", (16, 14, 16), 9)
    put("glint", (235, 238, 242), 9)
    put("ink", (30, 26, 26), 9)
    wood, stone = (132, 104, 78), (166, 156, 142)
    put("perch", wood if bird.attributes["scene"] == "branch" else stone, 10, 0.7)
    put("fleck", (252, 252, 255), 9)
    return table
