"""Teacher and student drawn as mirror images of each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from sdn_lib import vgg
from sdn_lib.errors import SDNError
from sdn_lib.show.arrays import as_array, as_images
from sdn_lib.show.layout import new_page, paste, text_width
from sdn_lib.show.style import (
    INK,
    LEVEL_COLOURS,
    LEVEL_OF,
    MUTED,
    SMALL,
    TEXT,
    WIDTH,
    in_house_style,
    level_colour,
)

TALLEST = 168.0
"""Height of the image's box, in pixels."""

# Where the teacher's boxes stand, and the student's hang; between them is the strip of names.
TEACHER_BASE = 62.0 + TALLEST
STUDENT_BASE = TEACHER_BASE + 142.0
STUDENT_FOOT = STUDENT_BASE + TALLEST
LEFT = TALLEST + 44.0
LINE = 1.5

Shapes = Mapping[str, tuple[int, int, int]]


@in_house_style
def symmetry_diagram(
    shapes: Shapes,
    text_dim: int = 1024,
    fc_width: int | None = None,
    pictures: tuple[Any, Any] | None = None,
) -> Figure:
    """Draw teacher and student as mirror images, every name of one above the same of the other.

    shapes: {name: (C, H, W)} from 'image' to the last pool, in the teacher's order (any VGG).
    pictures: (real, generated), each float (3, H, W) in 0..1, for the two ends. Box heights show
    resolution, widths the square root of the channels; filled boxes have weights, hollow ones
    none. Raises SDNError for shapes that are no such list.
    """
    _check(shapes)
    figure, page = new_page(STUDENT_FOOT + 92)
    centre, sizes = _columns(shapes)
    _draw_networks(page, shapes, centre, sizes, pictures)
    _write_resolutions(page, shapes, centre, sizes)
    if not pictures:
        for y, label in ((TEACHER_BASE - TALLEST / 2, "real\nimage"),
                         (STUDENT_BASE + TALLEST / 2, "generated\nimage")):
            page.text(centre["image"], y, label, ha="center", va="center", color="white",
                      fontsize=TEXT, fontweight="bold", zorder=5)
    last = list(shapes)[-1]
    chain = f"two layers of {fc_width}" if fc_width else "two fully connected layers"
    _draw_directions(page, (centre[last], STUDENT_BASE + sizes[last][1] + 34),
                     f"caption: {text_dim} numbers → {chain}")
    _draw_key(page, shapes)
    return figure


def _check(shapes: Shapes) -> None:
    names = list(shapes)
    if len(names) < 3 or names[0] != "image" or not names[-1].startswith("pool"):
        raise SDNError(
            "symmetry_diagram: shapes must run from 'image' to the last pool, "
            f"got {', '.join(names) or 'nothing'}"
        )
    wrong = [name for name in names if len(shapes[name]) != 3]
    if wrong:
        raise SDNError(
            f"symmetry_diagram: layer {wrong[0]!r} has shape {shapes[wrong[0]]}, expected (C, H, W)"
        )


def _columns(shapes: Shapes) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return {name: x of its box's middle} and {name: (width, height) of its box}.

    The image is at the far left, then comes a column a layer.
    """
    pitch = (WIDTH - LEFT - 4) / (len(shapes) - 1)
    widest = max(channels for channels, _, _ in shapes.values())
    centre = {"image": TALLEST / 2 + 2}
    sizes = {"image": (TALLEST, TALLEST)}
    for index, (name, (channels, height, _)) in enumerate(list(shapes.items())[1:]):
        centre[name] = LEFT + pitch * (index + 0.5)
        width = min(pitch - 7, 60) * math.sqrt(channels / widest)
        sizes[name] = max(width, 7), max(TALLEST * height / shapes["image"][1], 6)
    return centre, sizes


def _draw_networks(
    page: Axes,
    shapes: Shapes,
    centre: Mapping[str, float],
    sizes: Mapping[str, tuple[float, float]],
    pictures: tuple[Any, Any] | None,
) -> None:
    """Draw the boxes of both networks, their names between them, the channels above."""
    names = list(shapes)
    for index, name in enumerate(names):
        x, (width, height) = centre[name], sizes[name]
        following = names[index + 1] if index + 1 < len(names) else ""
        # In the student a name that heads a block, conv5_4 say, is its pool enlarged: no weights.
        for end, (y, layer) in enumerate(
            ((TEACHER_BASE - height, name), (STUDENT_BASE, following))
        ):
            if pictures and name == "image":
                ready = as_images(as_array(pictures[end])[None], "picture")[0]
                paste(page, ready, x - width / 2, y, width, height)
                continue
            page.add_patch(
                FancyBboxPatch(
                    (x - width / 2 + 2, y + 2), width - 4, height - 4,
                    boxstyle="round,pad=2,rounding_size=3", mutation_aspect=1, zorder=3,
                    facecolor="white" if layer.startswith("pool") else level_colour(name),
                    edgecolor=level_colour(name), linewidth=LINE,
                )
            )
        page.plot((x, x), (TEACHER_BASE + 3, STUDENT_BASE - 3), linewidth=0.8, color="#aab1b8",
                  zorder=1)
        page.text(
            x, (TEACHER_BASE + STUDENT_BASE) / 2, name, rotation=0 if index == 0 else 90,
            ha="center", va="center", fontsize=SMALL, zorder=4, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.6},
        )
        if index:
            page.text(x, TEACHER_BASE - height - 5, str(shapes[name][0]), ha="center",
                      va="bottom", fontsize=9, color=MUTED)


def _write_resolutions(
    page: Axes,
    shapes: Shapes,
    centre: Mapping[str, float],
    sizes: Mapping[str, tuple[float, float]],
) -> None:
    """Write under the student what each group of boxes shares, its resolution."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name, (_, height, width) in list(shapes.items())[1:]:
        groups.setdefault((height, width), []).append(name)
    places = [
        (
            (centre[members[0]] + centre[members[-1]]) / 2,
            STUDENT_BASE + max(sizes[member][1] for member in members),
            resolution,
        )
        for resolution, members in groups.items()
    ]
    for x, y, (height, width) in [*places, (centre["image"], STUDENT_FOOT, shapes["image"][1:])]:
        page.text(x, y + 7, f"{height}×{width}", ha="center", va="top", fontsize=SMALL, color=MUTED)


def _draw_directions(page: Axes, foot: tuple[float, float], caption: str) -> None:
    """Draw titles and arrows, in the corners that the small boxes leave free.

    foot: where the caption enters the student, under its first box.
    """

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        page.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11,
                                       color=MUTED, linewidth=1.3, zorder=5))

    teacher, student = TEACHER_BASE - TALLEST / 2, STUDENT_BASE + TALLEST / 2
    arrow((TALLEST + 10, teacher), (LEFT - 4, teacher))
    arrow((LEFT - 4, student), (TALLEST + 10, student))
    corner = WIDTH - 4
    x, y = foot
    page.text(corner, y + 42, caption, ha="right", va="center", fontsize=SMALL,
              bbox={"boxstyle": "round,pad=0.4", "facecolor": "#f4f5f7", "edgecolor": "#b4bac1"})
    arrow((x, y + 24), (x, y - 2))
    for y, who, does in (
        (0, "Teacher", "reads the image, left to right; frozen"),
        (STUDENT_FOOT - 40, "Student", "paints the image, right to left; learns"),
    ):
        page.text(corner, y, who, ha="right", va="top", fontsize=13, fontweight="bold")
        page.text(corner, y + 32, does, ha="right", va="top", fontsize=SMALL, color=MUTED)


def _draw_key(page: Axes, shapes: Shapes) -> None:
    """Draw the key along the bottom."""
    x, y = 4.0, STUDENT_FOOT + 76
    present = {LEVEL_OF[name] for name in list(shapes)[1:]}
    entries = [(f"{level} level", LEVEL_COLOURS[level], True)
               for level in vgg.LEVELS if level in present]
    entries += [("with weights", MUTED, True), ("without", MUTED, False)]
    for label, colour, filled in entries:
        page.add_patch(Rectangle((x, y - 8), 16, 16, facecolor=colour if filled else "white",
                                 edgecolor=colour, linewidth=LINE))
        page.text(x + 24, y, label, va="center", fontsize=SMALL, color=MUTED)
        x += 24 + text_width(label, SMALL) + 28
    page.text(x, y, "number: channels", va="center", fontsize=SMALL, color=MUTED)
