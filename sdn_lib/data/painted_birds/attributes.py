"""What can differ between painted birds: attributes, their values, the colours behind names."""

from __future__ import annotations

PALETTE: dict[str, tuple[int, int, int]] = {
    "black": (34, 34, 40),
    "white": (246, 245, 240),
    "grey": (138, 141, 147),
    "brown": (120, 74, 40),
    "red": (206, 34, 36),
    "orange": (242, 134, 28),
    "yellow": (250, 216, 44),
    "green": (54, 150, 60),
    "blue": (44, 98, 208),
    "purple": (142, 60, 172),
}
COLOURS = tuple(PALETTE)
BEAK_COLOURS = ("black", "grey", "red", "orange", "yellow")
COLOURED = ("crown", "back", "breast", "wing", "tail", "beak")
MARKS = ("wing_bars", "eye_ring", "crest")

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "family": ("finch", "hawk", "heron", "duck", "owl", "hummingbird", "woodpecker", "gull"),
    "size": ("small", "large"),
    "crown": COLOURS,
    "back": COLOURS,
    "breast": COLOURS,
    "wing": COLOURS,
    "tail": COLOURS,
    "beak": BEAK_COLOURS,
    "wing_bars": ("none", "white", "yellow"),
    "eye_ring": ("none", "white"),
    "crest": ("none", "crested"),
    "facing": ("left", "right"),
    "scene": ("sky", "leaves", "water", "snow", "branch"),
}
OF_THE_IMAGE = ("facing", "scene")
"""Attributes that differ between images of one species; all others make the species."""

PARTS = ("background", "crown", "back", "breast", "wing", "tail", "beak", "legs", "eye")
