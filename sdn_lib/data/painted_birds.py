"""PaintedBirds: a procedural stand-in for CUB, its attributes, masks and captions known.

`make_species` invents the classes, `draw` a bird of one of them, `paint` its picture and part
map, `describe` its captions, `generate` the whole data set in the prepared form. `bird_from` makes
a bird of any attributes at all. A picture depends on its seed alone, never on how many processes
paint.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sdn_lib.data import prepared
from sdn_lib.data.parallel import check_processes, workers
from sdn_lib.errors import SDNError, near

VERSION = 2

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

Seed = int | Sequence[int]


# --------------------------------------------------------------------------------------------------
# Species


@dataclass(frozen=True)
class Species:
    """One class: `id` from 1, unique `name`, `split` 'train' or 'test', attribute name -> value."""

    id: int
    name: str
    split: str
    attributes: dict[str, str]


def make_species(n: int = 200, n_test: int = 50, seed: int = 0) -> list[Species]:
    """Invent `n` species, `n_test` of them for testing, with every attribute value balanced.

    Returns them in the order of their ids, both splits mixed. No two species share their family,
    colours and marks, and every value of every attribute occurs in training. Raises SDNError where
    that cannot be had: fewer training species than the palette has colours, or a negative `n_test`.
    """
    if n_test < 0 or n - n_test < len(COLOURS):
        raise SDNError(
            f"make_species: n={n} with n_test={n_test} leaves {n - n_test} species to train on; "
            f"at least {len(COLOURS)} are needed so that every colour is seen"
        )
    rng = np.random.default_rng([seed, 1])
    taken: set[tuple[str, ...]] = set()
    rows = [("train", row) for row in _balanced(n - n_test, rng, taken)]
    rows += [("test", row) for row in _balanced(n_test, rng, taken)]
    names: set[str] = set()
    found = []
    for place, at in enumerate(rng.permutation(n)):
        split, attributes = rows[at]
        name = _name(attributes, names, rng)
        found.append(Species(place + 1, name, split, attributes))
    return found


def _balanced(n: int, rng: np.random.Generator, taken: set) -> list[dict[str, str]]:
    """`n` attribute rows in which each attribute's values occur equally often, give or take one."""
    columns = {}
    for name, values in ATTRIBUTES.items():
        if name not in OF_THE_IMAGE:
            order = rng.permutation(len(values))
            columns[name] = [values[order[i % len(values)]] for i in rng.permutation(n)]
    key = lambda i: tuple(column[i] for column in columns.values())  # noqa: E731
    places: dict[tuple[str, ...], set[int]] = {}
    for i in range(n):
        places.setdefault(key(i), set()).add(i)

    def is_poor(i: int) -> bool:
        hidden = columns["wing_bars"][i] == columns["wing"][i]
        plain = len({columns[part][i] for part in COLOURED[:5]}) < 3
        return hidden or plain or key(i) in taken or min(places[key(i)]) < i

    poor = {i for i in range(n) if is_poor(i)}
    while poor:
        # Exchange one colour of a poor row with another row's: the balance stays.
        part = COLOURED[rng.integers(5)]
        i, j = min(poor), int(rng.integers(n))
        changed = {i, j} | places[key(i)] | places[key(j)]
        for row in {i, j}:
            places[key(row)].discard(row)
        if n == 1:
            columns[part][i] = COLOURS[rng.integers(len(COLOURS))]
        columns[part][i], columns[part][j] = columns[part][j], columns[part][i]
        for row in (i, j):
            places.setdefault(key(row), set()).add(row)
        changed |= places[key(i)] | places[key(j)]
        poor = (poor - changed) | {row for row in changed if is_poor(row)}
    taken.update(k for k, rows in places.items() if rows)
    return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def _name(attributes: Mapping[str, str], names: set[str], rng: np.random.Generator) -> str:
    kinds = {"crown": "crowned", "wing": "winged", "breast": "breasted", "tail": "tailed"}
    kinds |= {"back": "backed", "beak": "billed"}
    order = [list(kinds)[i] for i in rng.permutation(len(kinds))]
    marks = [f"{attributes[part].capitalize()}-{kinds[part]}" for part in order]
    family = attributes["family"].capitalize()
    for words in (1, 2, 3):
        for start in range(len(marks) - words + 1):
            name = " ".join([*marks[start : start + words], family])
            if name not in names:
                names.add(name)
                return name
    name = f"{marks[0]} {family} {len(names)}"
    names.add(name)
    return name


# --------------------------------------------------------------------------------------------------
# One bird


@dataclass(frozen=True)
class Bird:
    """All that `paint` and `describe` need: attribute values, and a pose that no caption mentions.

    `attributes` holds one value for every name in ATTRIBUTES. `tilt` of the whole bird, `joints`
    (head, tail, wing, legs) and the direction of `light` are in radians; `extent` is the longer
    side of the bird's bounding box as a fraction of the frame; `shift` places it within the room
    that is left, each from -1 to 1; `shading` and `exposure` are strengths of light; `grain` seeds
    texture, jitter of colours and background.
    """

    attributes: dict[str, str]
    tilt: float
    joints: tuple[float, float, float, float]
    extent: float
    shift: tuple[float, float]
    light: float
    shading: float
    exposure: float
    grain: int


def draw(species: Species, seed: Seed) -> Bird:
    """Draw a bird of `species`: `seed` decides facing, scene and pose, the species the rest."""
    return bird_from(species.attributes, seed)


def bird_from(attributes: Mapping[str, str], seed: Seed) -> Bird:
    """Make a bird of any attribute values; those left out are drawn uniformly from `seed`.

    Raises SDNError for a name or value that ATTRIBUTES does not have, with the near matches.
    """
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            raise SDNError(f"unknown attribute {name!r}: {near(str(name), ATTRIBUTES)}")
        if value not in ATTRIBUTES[name]:
            hint = near(str(value), ATTRIBUTES[name])
            raise SDNError(f"attribute {name!r} has no value {value!r}: {hint}")
    rng = np.random.default_rng(seed)
    drawn = {name: values[rng.integers(len(values))] for name, values in ATTRIBUTES.items()}
    drawn.update(attributes)
    u = rng.uniform(-1.0, 1.0, 10).tolist()
    return Bird(
        attributes=drawn,
        tilt=0.09 * u[0],
        joints=(0.16 * u[1], 0.10 * u[2], 0.06 * u[3], 0.05 * u[4]),
        extent={"small": 0.81, "large": 0.97}[drawn["size"]] * (1 + 0.025 * u[5]),
        shift=(u[6], u[7]),
        light=-math.pi / 2 + 0.9 * u[8],
        shading=0.16 + 0.04 * u[9],
        exposure=float(rng.uniform(0.93, 1.05)),
        grain=int(rng.integers(2**31)),
    )


# --------------------------------------------------------------------------------------------------
# Shapes. Contours face right, y points down, a bird spans about 100 units. "x y, x y, ..." is a
# closed smooth curve; a point with ! is a corner. Lines ("stroke") carry a width.


@dataclass(frozen=True)
class Shape:
    """A contour in bird units: `ink` is its colour, `joint` what it turns about, `when` a mark."""

    ink: str
    joint: str
    points: np.ndarray
    rim: np.ndarray | None = None
    when: str = ""


JOINTS = ("head", "tail", "wing", "legs", "body")
JOINT_OF_INK = {
    "wing-": "wing",
    "far wing": "wing",
    "bar": "wing",
    "back": "body",
    "breast": "body",
}
JOINT_OF_INK |= {joint: joint for joint in JOINTS}
JOINT_OF_INK |= dict.fromkeys(("crown", "beak", "ring", "eye", "glint", "ink"), "head")


def _blob(ink: str, text: str, joint: str = "", when: str = "", rim: float = 1.3) -> Shape:
    control = []
    for point in text.split(","):
        x, y = point.replace("!", "").split()
        control += [(float(x), float(y))] * (2 if "!" in point else 1)
    return _shape(ink, _catmull_rom(np.array(control)), joint, when, rim)


def _oval(ink: str, x: float, y: float, r: float, when: str = "", rim: float = 0.0) -> Shape:
    turn = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    return _shape(ink, np.stack([x + r * np.cos(turn), y + r * np.sin(turn)], 1), "", when, rim)


def _stroke(
    ink: str, text: str, width: float, end: float = 0.0, when: str = "", rim: float = 0.0
) -> Shape:
    """The contour of a line `width` thick at its start, `end` (default: the same) at its end."""
    control = np.array([[float(v) for v in point.split()] for point in text.split(",")])
    if len(control) > 2:
        control = _catmull_rom(control, closed=False)
    half = np.linspace(width, end or width, len(control))[:, None] / 2
    along = np.gradient(control, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.stack([-along[:, 1], along[:, 0]], 1) * half
    return _shape(ink, np.concatenate([control + side, (control - side)[::-1]]), "", when, rim)


def _shape(ink: str, points: np.ndarray, joint: str, when: str, rim: float) -> Shape:
    outer = None
    if rim:
        along = np.roll(points, -1, 0) - np.roll(points, 1, 0)
        along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
        normal = np.stack([along[:, 1], -along[:, 0]], 1)
        x, y = points.T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
        outer = points + normal * (rim if area > 0 else -rim)
    return Shape(ink, joint or JOINT_OF_INK[ink], points, outer, when)


def _catmull_rom(control: np.ndarray, closed: bool = True, steps: int = 5) -> np.ndarray:
    """Points on the Catmull-Rom curve through `control` (n, 2); a doubled point makes a corner."""
    if closed:
        before, after = np.roll(control, 1, 0), np.roll(control, -1, 0)
        beyond = np.roll(control, -2, 0)
    else:
        padded = np.concatenate([control[:1], control, control[-1:]])
        before, control, after, beyond = (padded[i : len(padded) - 3 + i] for i in range(4))
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None] for p in (before, control, after, beyond))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    keep = np.abs(control - after).max(1) > 0
    points = curve[keep].reshape(-1, 2)
    return points if closed else np.concatenate([points, after[-1:]])


@dataclass(frozen=True)
class Family:
    """Shapes in the order of painting, where each joint turns, and how the bird stays up."""

    shapes: tuple[Shape, ...]
    pivots: dict[str, tuple[float, float]]
    stays: str  # 'stands', 'floats', 'hovers' or 'clings'
    legs: tuple[int, int, int] = (92, 78, 66)


def _eye(x: float, y: float, r: float) -> tuple[Shape, ...]:
    return (
        _oval("ring", x, y, 2.0 * r, "eye_ring", rim=0.9),
        _oval("eye", x, y, r),
        _oval("glint", x + 0.3 * r, y - 0.35 * r, 0.36 * r),
    )


def _leg(leg: str, toes: str, width: float = 2.6) -> tuple[Shape, ...]:
    return tuple(_stroke("legs", line, width, rim=0.5) for line in (leg, toes))


def _bars(*lines: str, width: float = 4.4) -> tuple[Shape, ...]:
    return tuple(_stroke("bar", line, width, when="wing_bars", rim=0.8) for line in lines)


def _quills(*lines: str) -> tuple[Shape, ...]:
    return tuple(_stroke("wing-", line, 1.3, 0.6) for line in lines)


@cache
def families() -> dict[str, Family]:
    """The shape families of ATTRIBUTES['family'], by name; built once in a process."""
    finch = Family(
        (
            *_leg("56 78, 55 94", "49 95, 63 95"),
            _blob("tail", "42 56!, 22 67, 1 78!, 8 82, 8 91!, 26 83, 46 74!"),
            _blob("breast", "66 30, 78 44, 82 60, 73 76, 56 83, 40 77, 33 64, 40 48, 52 36"),
            _blob("back", "62 28!, 50 34, 38 46, 29 62, 33 70, 48 62, 62 50, 66 42!"),
            _blob("crown", "60 16!, 50 5, 38 0!, 43 13, 49 26!", when="crest"),
            _blob("breast", "65 11, 77 16, 82 27, 77 38, 66 43, 55 40, 50 28, 54 17", joint="head"),
            _blob("crown", "82 24!, 77 15, 65 10, 54 16, 49 28, 53 42!, 62 37, 72 32"),
            _blob("beak", "77 19!, 88 23, 97 32!, 87 36, 76 37!"),
            *_eye(70, 25, 3.3),
            *_leg("48 80, 46 94", "40 95, 54 95"),
            _blob("wing", "62 46, 67 56, 60 68, 44 76, 26 82, 14 83!, 26 68, 40 55, 52 47"),
            *_quills("52 67, 38 75, 20 81", "48 62, 34 70, 20 78"),
            *_bars("47 50, 53 59, 54 69", "36 59, 43 66, 44 75"),
        ),
        {"head": (62, 38), "tail": (42, 66), "wing": (58, 50), "legs": (52, 78), "body": (55, 60)},
        "stands",
    )
    hawk = Family(
        (
            _blob("tail", "34 62!, 20 80, 7 94!, 26 101!, 42 90, 52 72!"),
            *_leg("56 84, 55 97", "48 98, 62 98", 3.2),
            _blob("breast", "58 20, 74 28, 83 42, 80 58, 68 72, 50 78, 36 70, 30 52, 36 32, 46 22"),
            _blob("breast", "58 64!, 76 62!, 76 80, 67 91!, 60 86, 55 76"),
            *_leg("67 86, 67 97", "60 98, 75 98", 3.2),
            _blob("back", "58 15!, 44 19, 28 32, 20 50, 24 68, 42 58, 54 46, 64 27!"),
            _blob("crown", "63 3!, 52 -5, 41 -5!, 45 5, 52 16!", when="crest"),
            _blob("breast", "66 3, 76 6, 81 13, 78 23, 68 28, 58 26, 53 17, 57 7", joint="head"),
            _blob("crown", "82 11!, 75 5, 65 2.5, 56 6, 51 15, 53 30!, 62 25, 72 20"),
            _blob("beak", "77 8!, 86 9, 92 15, 91 25!, 86 20, 76 22!"),
            *_eye(72, 13, 2.8),
            _stroke("ink", "65 8.5, 78 11", 1.8),
            _blob("wing", "42 32, 55 38, 61 52, 57 68, 44 80, 29 89!, 20 76, 20 58, 28 42"),
            *_quills("50 70, 40 79, 31 85", "42 69, 34 79, 30 84", "33 66, 29 76, 28 82"),
            *_bars("25 49, 42 51, 60 49", "20 65, 38 67, 58 65", width=4.8),
        ),
        {"head": (62, 26), "tail": (44, 72), "wing": (46, 38), "legs": (62, 84), "body": (54, 55)},
        "stands",
        (212, 168, 52),
    )
    heron = Family(
        (
            _stroke("legs", "44 66, 50 83, 46 109", 2.6, rim=0.5),
            _stroke("legs", "40 110, 55 110", 2.2, rim=0.5),
            _blob("tail", "24 56!, 6 68, -9 82!, -3 93!, 16 86, 32 70!"),
            _blob("breast", "48 42, 60 47, 63 58, 52 69, 36 74, 20 71, 12 64, 20 53, 34 45"),
            _stroke("breast", "46 58, 62 49, 65 38, 54 27, 51 15, 62 8", 19, 9, rim=1.2),
            _blob("back", "56 38!, 46 39, 28 43, 8 63, 14 70, 32 62, 48 55, 58 46!"),
            _blob("crown", "57 4!, 44 3, 31 10!, 43 13, 54 14!", when="crest"),
            _blob("crown", "56 1, 67 0, 76 6, 73 14, 61 18, 50 16, 48 7"),
            _blob("beak", "72 3!, 84 7, 98 14!, 84 15, 70 15!"),
            *_eye(65, 7.5, 2.6),
            _stroke("legs", "33 70, 40 86, 34 109", 2.6, rim=0.5),
            _stroke("legs", "28 110, 43 110", 2.2, rim=0.5),
            _blob("wing", "47 50, 52 58, 47 67, 32 74, 11 79!, 17 67, 29 56"),
            *_quills("40 66, 28 72, 16 76", "32 63, 24 69, 16 75"),
            *_bars("35 52, 42 60, 42 70", "25 59, 31 66, 32 74"),
        ),
        {"head": (54, 14), "tail": (24, 66), "wing": (46, 54), "legs": (40, 70), "body": (40, 58)},
        "stands",
        (120, 104, 70),
    )
    duck = Family(
        (
            *_leg("52 78, 54 89", "50 90, 62 91", 3.2),
            _blob("tail", "24 52!, 8 48, -2 37!, -1 54, 8 70, 26 72!"),
            _blob("breast", "66 44, 80 52, 83 66, 70 79, 46 83, 22 79, 8 66, 14 56, 30 52, 50 50"),
            _blob("breast", "62 30!, 80 38!, 83 54, 72 62, 56 58, 58 44"),
            _blob("back", "61 34!, 56 46, 38 50, 20 51, 8 60, 22 68, 46 64, 64 56, 67 42!"),
            _blob("crown", "66 20!, 58 10, 48 10!, 51 22, 58 32!", when="crest"),
            _blob("crown", "73 14, 84 17, 89 27, 85 37, 76 42, 66 42, 59 35, 60 23"),
            _blob("beak", "85 22!, 94 27, 105 30, 107 35, 97 38, 84 37!"),
            *_eye(77, 25, 3.2),
            *_leg("42 80, 42 90", "38 91, 50 92", 3.2),
            _blob("wing", "60 54, 66 63, 56 73, 36 77, 16 72, 6 60!, 24 57, 44 53"),
            *_quills("52 70, 34 73, 18 69", "46 65, 30 68, 14 64"),
            *_bars("46 53, 52 62, 48 74", "34 55, 40 64, 36 76"),
        ),
        {"head": (68, 40), "tail": (20, 62), "wing": (56, 60), "legs": (48, 80), "body": (48, 65)},
        "floats",
        (232, 128, 40),
    )
    owl = Family(
        (
            _blob("tail", "28 66!, 9 86!, 24 99!, 48 88!"),
            *_leg("52 86, 52 97", "45 98, 58 98", 3.6),
            *_leg("64 86, 64 97", "58 98, 71 98", 3.6),
            _blob("breast", "58 30, 76 44, 81 62, 74 82, 58 91, 40 88, 28 74, 26 54, 36 38"),
            _blob("back", "50 32!, 33 36, 20 50, 18 70, 29 82, 46 62, 56 44!"),
            _blob("wing", "43 50, 54 58, 55 72, 47 83, 34 92!, 27 78, 27 63, 34 52"),
            *_quills("48 78, 42 84, 36 89", "41 77, 37 83, 34 89"),
            *_bars("30 61, 41 64, 53 61", "28 73, 40 76, 53 73", width=4.8),
            _blob("crown", "38 16!, 32 -8!, 54 4!", when="crest"),
            _blob("crown", "64 5!, 83 -8!, 83 16!", when="crest"),
            _blob("crown", "58 1, 76 5, 85 19, 81 36, 66 44, 46 42, 33 29, 36 12, 45 4"),
            _blob(
                "breast",
                "67 12, 77 12, 83 23, 79 35, 68 41, 55 36, 50 24, 57 13",
                joint="head",
                rim=0.9,
            ),
            *_eye(61, 23, 4.2),
            *_eye(76, 23, 4.2),
            _blob("beak", "66 24!, 74 27, 77 34, 73 42!, 66 35!", rim=1.0),
        ),
        {"head": (58, 36), "tail": (36, 82), "wing": (42, 52), "legs": (58, 86), "body": (54, 60)},
        "stands",
        (176, 150, 96),
    )
    hummingbird = Family(
        (
            _blob("far wing", "60 50!, 66 30, 65 12, 56 -6!, 50 12, 50 34, 52 50!"),
            _blob("tail", "34 66!, 19 78, 6 93!, 15 94, 18 101!, 35 88, 46 74!"),
            _blob("breast", "60 36, 69 48, 68 62, 57 74, 42 80, 33 76, 36 62, 48 44"),
            _blob("back", "60 32!, 46 40, 34 53, 27 70, 33 80, 46 69, 57 57, 64 44!"),
            _blob("crown", "58 26!, 48 16, 38 15!, 43 26, 50 38!", when="crest"),
            _blob("breast", "63 21, 72 25, 75 33, 72 42, 63 46, 54 42, 51 33, 54 25", joint="head"),
            _blob("crown", "76 31!, 72 23, 63 19, 54 23, 49 33, 53 46!, 61 42, 68 36"),
            _blob("beak", "73 28!, 90 25.5, 109 21!, 109 22.5!, 90 30.5, 73 36!", rim=1.0),
            *_eye(66, 30, 2.9),
            _blob("wing", "59 58!, 52 38, 40 18, 20 -4!, 14 -2, 16 16, 26 36, 40 52, 50 62!"),
            *_quills("46 44, 36 28, 22 8", "44 50, 32 36, 20 18"),
            *_bars("40 52, 46 43, 51 34", "29 41, 35 32, 41 21", width=4.6),
        ),
        {"head": (62, 42), "tail": (40, 72), "wing": (54, 58), "legs": (50, 70), "body": (52, 52)},
        "hovers",
    )
    woodpecker = Family(
        (
            _blob("tail", "33 70!, 44 88, 60 104!, 66 98!, 60 82, 52 68!"),
            _stroke("legs", "64 60, 78 57, 85 50", 3.0, rim=0.5),
            _stroke("legs", "60 72, 74 72, 85 66", 3.0, rim=0.5),
            _blob("breast", "56 22, 69 33, 74 50, 68 68, 56 81, 42 82, 32 68, 31 46, 40 30"),
            _blob("back", "54 16!, 40 27, 29 44, 27 64, 35 76, 46 60, 54 44, 60 30!"),
            _blob("crown", "62 4!, 50 -6, 36 -8!, 40 4, 46 20!", when="crest"),
            _blob("breast", "58 3, 69 5, 76 13, 73 25, 62 31, 51 28, 45 18, 48 8", joint="head"),
            _blob("crown", "76 12!, 69 4, 58 2, 48 7, 44 18, 48 32!, 57 26, 67 19"),
            _blob("beak", "73 7!, 85 11, 99 16!, 85 20, 72 23!"),
            *_eye(65, 13, 3.0),
            _blob("wing", "44 36, 54 45, 58 60, 53 74, 42 91!, 32 76, 29 60, 34 44"),
            *_quills("50 72, 44 82, 41 88", "42 72, 40 82, 40 88"),
            *_bars("32 50, 43 53, 56 50", "30 64, 42 67, 56 64", width=4.6),
        ),
        {"head": (58, 26), "tail": (44, 74), "wing": (46, 42), "legs": (62, 66), "body": (50, 52)},
        "clings",
    )
    gull = Family(
        (
            _blob("far wing", "68 48!, 80 32, 84 14, 80 -12!, 70 2, 58 24, 50 48!"),
            _blob("tail", "26 54!, 8 56, -6 57!, -8 66, -4 75!, 14 72, 30 66!"),
            _blob("breast", "70 43, 84 46, 87 57, 75 67, 54 72, 34 70, 20 64, 20 56, 38 48, 56 44"),
            _stroke("legs", "44 68, 30 73, 20 75", 3.2, 2.0, rim=0.5),
            _blob("back", "77 38!, 60 38, 38 42, 16 53, 20 61, 44 58, 66 55, 79 48!"),
            _blob("crown", "78 36!, 70 27, 60 28!, 64 36, 70 44!", when="crest"),
            _blob("crown", "82 34, 91 36, 96 43, 94 51, 84 56, 75 53, 71 45, 74 37"),
            _blob("beak", "92 38!, 103 40, 113 45, 112 52!, 105 49, 92 50!"),
            *_eye(85.5, 42.5, 2.8),
            _blob("wing", "66 60!, 60 38, 46 16, 28 2, -10 -10!, 6 4, 18 20, 28 40, 44 60!"),
            *_quills("50 48, 36 26, 18 6", "43 52, 28 32, 14 10"),
            *_bars("33 49, 42 38, 53 27", "21 29, 30 20, 41 11", width=4.8),
        ),
        {"head": (78, 50), "tail": (24, 62), "wing": (56, 56), "legs": (40, 68), "body": (54, 56)},
        "hovers",
        (226, 150, 70),
    )
    built = (finch, hawk, heron, duck, owl, hummingbird, woodpecker, gull)
    return dict(zip(ATTRIBUTES["family"], built, strict=True))


# --------------------------------------------------------------------------------------------------
# Painting: shapes are filled with ink numbers on a supersampled canvas; a palette turns ink numbers
# into colours, another table into part labels, so the picture and the part map cannot disagree.

INKS: dict[str, str] = {"": "background"}
for _part in PARTS[1:-1]:
    INKS |= {_part: _part, f"{_part}-": _part}
INKS |= {"far wing": "wing", "far wing-": "wing", "bar": "wing", "bar-": "wing", "ring": "eye"}
INKS |= {"ring-": "eye", "eye": "eye", "glint": "eye", "ink": "crown"}
INKS |= {"perch": "background", "perch-": "background", "fleck": "background"}
INK_NUMBER = {ink: number for number, ink in enumerate(INKS)}
PART_OF_INK = np.array([PARTS.index(part) for part in INKS.values()], np.uint8)
_BIRD_TABLE = [0 if part == "background" else 255 for part in INKS.values()]
_BIRD_TABLE += [0] * (256 - len(INKS))
_COVER_TABLE = [0] + [255] * 255


@cache
def _layout(family: str, marks: frozenset[str]) -> tuple[np.ndarray, np.ndarray, list, tuple]:
    """All contours of a family joined: points (n, 2), joint of each, (ink, start, stop), spans."""
    shapes = [s for s in families()[family].shapes if not s.when or s.when in marks]
    pieces, joints, fills, spans = [], [], [], []
    at = 0
    for shape in shapes:
        rims = [] if shape.rim is None else [(f"{shape.ink}-", shape.rim)]
        for ink, points in [*rims, (shape.ink, shape.points)]:
            pieces.append(points)
            joints.append(np.full(len(points), JOINTS.index(shape.joint)))
            fills.append((INK_NUMBER[ink], 2 * at, 2 * (at + len(points))))
            at += len(points)
    spans = tuple(np.array(families()[family].pivots[joint]) for joint in JOINTS)
    return np.concatenate(pieces), np.concatenate(joints), fills, spans


def _posed(bird: Bird, side: int) -> tuple[np.ndarray, list, Callable]:
    """Contours on a canvas of `side` pixels (n, 2), what fills them, and the bird-to-canvas map."""
    attributes = bird.attributes
    marks = frozenset(mark for mark in MARKS if attributes[mark] != "none")
    points, joint, fills, pivots = _layout(attributes["family"], marks)
    turns = [bird.tilt + extra for extra in (*bird.joints, 0.0)]
    if families()[attributes["family"]].stays in ("clings", "floats"):
        turns = [turn - 0.6 * bird.tilt for turn in turns]
    base = pivots[-1]
    whole = turns[-1]
    flip = -1.0 if attributes["facing"] == "left" else 1.0
    matrices, offsets = [], []
    for turn, pivot in zip(turns, pivots, strict=True):
        matrix = _rotation(turn)
        matrices.append(matrix)
        offsets.append(_rotation(whole) @ (pivot - base) - matrix @ pivot)
    placed = np.einsum("nij,nj->ni", np.array(matrices)[joint], points) + np.array(offsets)[joint]
    placed[:, 0] *= flip
    low, high = placed.min(0), placed.max(0)
    scale = bird.extent * side / (high - low).max()
    room = np.minimum((side - scale * (high - low)) / 2, 0.12 * side) * 0.7
    centre = side / 2 + room * np.array(bird.shift)
    offset = centre - scale * (low + high) / 2

    def to_canvas(xy: Sequence[tuple[float, float]]) -> list[float]:
        moved = (np.array(xy, float) - base) * (flip, 1.0)
        return (moved * scale + offset).ravel().tolist()

    return placed * scale + offset, fills, to_canvas


def _rotation(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def paint(bird: Bird, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Paint a bird: its image (size, size, 3) uint8 RGB, and its part map (size, size) uint8.

    A label in the part map is an index into PARTS, 0 the background. Sizes from 16 to 1024 pixels
    (SDNError otherwise); the same bird at another size is the same picture, sharper or softer.
    """
    if not isinstance(size, int | np.integer) or not 16 <= size <= 1024:
        raise SDNError(f"paint: size must be a whole number from 16 to 1024 pixels, got {size!r}")
    factor = 4 if size <= 96 else 3 if size <= 160 else 2
    side = int(size) * factor
    rng = np.random.default_rng(bird.grain)
    family = families()[bird.attributes["family"]]
    points, fills, to_canvas = _posed(bird, side)
    scene = bird.attributes["scene"]
    foot = float(points[:, 1].max())

    canvas = Image.new("L", (side, side))
    pen = ImageDraw.Draw(canvas)
    _perch(pen, scene, family.stays, foot, side, to_canvas, rng)
    flat = points.ravel().tolist()
    for ink, start, stop in fills:
        pen.polygon(flat[start:stop], fill=ink)
    if scene in ("water", "snow") and family.stays in ("stands", "floats"):
        depth = 0.035 if family.stays == "stands" else (0.13 if scene == "water" else 0.03)
        _sink(pen, foot - depth * side, side, rng)

    parts = PART_OF_INK[np.asarray(canvas)[factor // 2 :: factor, factor // 2 :: factor]]
    colours = _inks(bird, family, rng)
    cover = canvas.point(_COVER_TABLE).reduce(factor)
    whole = canvas.point(_BIRD_TABLE).reduce(factor)
    canvas.putpalette(colours.astype(np.uint8).ravel().tolist(), "RGB")
    painted = np.asarray(canvas.convert("RGB").reduce(factor), np.float32)

    painted *= _shade(whole, bird, rng, size)[:, :, None]
    behind = _background(scene, foot / side, rng).resize((size, size), Image.Resampling.BICUBIC)
    share = 1 - np.asarray(cover, np.float32)[:, :, None] / 255
    image = painted + share * np.asarray(behind, np.float32)
    image *= bird.exposure
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), parts


def _inks(bird: Bird, family: Family, rng: np.random.Generator) -> np.ndarray:
    """A colour for each ink (n, 3), jittered a little but still nameable; ink 0 stays black."""
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


def _shade(whole: Image.Image, bird: Bird, rng: np.random.Generator, size: int) -> np.ndarray:
    """Light on the bird (size, size), about 1: brighter towards the light, darker away, soft grain.

    The blurred silhouette serves as a height map; computed small, so all sizes look alike.
    """
    small = 48
    height = whole.resize((small, small), Image.Resampling.BILINEAR)
    height = np.asarray(height.filter(ImageFilter.GaussianBlur(3.2)), np.float32) / 255
    fall = np.zeros((2, small, small), np.float32)
    fall[0, :, 1:-1] = height[:, :-2] - height[:, 2:]
    fall[1, 1:-1] = height[:-2] - height[2:]
    facing = math.cos(bird.light) * fall[0] + math.sin(bird.light) * fall[1]
    light = 1.0 + bird.shading * np.clip(6.0 * facing, -1.5, 1.0)
    light += 0.022 * rng.standard_normal((small, small), np.float32)
    return np.asarray(Image.fromarray(light).resize((size, size), Image.Resampling.BICUBIC))


_GRID = (np.arange(32, dtype=np.float32) + 0.5) / 32


def _glow(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    across = np.exp(-(((_GRID - x) / rx) ** 2))
    down = np.exp(-(((_GRID - y) / ry) ** 2))
    return (down[:, None] * across[None])[:, :, None]


def _background(scene: str, foot: float, rng: np.random.Generator) -> Image.Image:
    """A calm 32 x 32 backdrop, to be enlarged smoothly: gradients and a few large soft shapes."""
    u = rng.random((6, 4)).tolist()
    down = _GRID[:, None, None]
    tops = {"sky": (150, 196, 240), "leaves": (176, 208, 146), "water": (206, 222, 224)}
    tops |= {"snow": (196, 206, 220), "branch": (232, 218, 194)}
    feet = {"sky": (220, 236, 248), "leaves": (122, 168, 102), "water": (196, 214, 220)}
    feet |= {"snow": (212, 220, 230), "branch": (216, 196, 166)}
    top, bottom = np.float32(tops[scene]), np.float32(feet[scene])
    field = top + (bottom - top) * down + np.zeros((32, 32, 3), np.float32)
    if scene == "sky":
        for x, y, a, b in u[:3]:
            field += (250 - field) * 0.75 * _glow(x, 0.85 * y, 0.16 + 0.14 * a, 0.05 + 0.05 * b)
    elif scene == "leaves":
        for n, (x, y, a, b) in enumerate(u):
            tone = np.float32((204, 222, 156) if n % 2 else (92, 146, 84))
            field += (tone - field) * 0.6 * _glow(x, y, 0.10 + 0.10 * a, 0.10 + 0.08 * b)
    elif scene == "water":
        shore = 0.30 + 0.10 * u[0][0]
        wet = 1 / (1 + np.exp(-(down - shore) * 60))
        sway = 0.5 * np.sin(6 * _GRID + 6 * u[0][2])[None, :, None]
        waves = np.sin(down * (26 + 6 * u[0][1]) + sway)
        field += (np.float32((104, 164, 178)) + 11 * waves - field) * wet
    elif scene == "snow":
        crest = min(foot - 0.16, 0.72) + 0.04 * np.sin(4 * _GRID + 6 * u[0][0])[None, :, None]
        white = 1 / (1 + np.exp(-(down - crest) * 40))
        field += (np.float32((246, 248, 252)) - field) * white
    else:
        for x, y, a, b in u[:4]:
            tone = np.float32((244, 234, 214) if a > 0.5 else (206, 188, 160))
            field += (tone - field) * 0.5 * _glow(x, y, 0.14 + 0.1 * a, 0.14 + 0.1 * b)
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))


def _perch(
    pen: ImageDraw.ImageDraw,
    scene: str,
    stays: str,
    foot: float,
    side: int,
    to_canvas: Callable,
    rng: np.random.Generator,
) -> None:
    """What is behind the bird and has an edge: branch, rock, trunk, falling snow."""
    perch, edge = INK_NUMBER["perch"], INK_NUMBER["perch-"]
    u = rng.random(24).tolist()
    if scene == "snow":
        for x, y in zip(u[:10], u[10:20], strict=True):
            r = 0.011 * side * (0.8 + 0.6 * x * y)
            box = (x * side - r, y * side - r, x * side + r, y * side + r)
            pen.ellipse(box, INK_NUMBER["fleck"])
    slope = 0.06 * side * (u[20] - 0.5)
    if stays == "clings":
        trunk = to_canvas([(85, -60), (86, 50), (84, 160), (140, 160), (140, -60)])
        pen.polygon(to_canvas([(83.5, -60), (84.5, 50), (82.5, 160), (140, 160), (140, -60)]), edge)
        pen.polygon(trunk, perch)
        for y in (-12, 18, 44, 76, 104):
            crack = [(91, y), (93, y + 9 + 6 * u[21]), (92, y + 20), (90, y + 9)]
            pen.polygon(to_canvas(crack), edge)
    if scene == "branch":
        thick = 0.045 * side
        level = foot + 0.01 * side if stays != "hovers" else min(foot + 0.02 * side, 0.95 * side)
        if stays == "clings":
            level = 0.86 * side
        line = [-9, level - slope, side + 9, level + slope, side + 9, level + slope + 1.5 * thick]
        line += [-9, level - slope + 1.9 * thick]
        pen.polygon([v + (i % 2) * -0.006 * side for i, v in enumerate(line)], edge)
        pen.polygon(line, perch)
        x = side * (0.08 if u[22] < 0.5 else 0.92)
        tip = x + 0.10 * side * (u[23] - 0.5)
        base = level + thick
        pen.polygon([x - thick / 2, base, tip, level - 0.2 * side, x + thick / 2, base], perch)
    elif scene in ("sky", "leaves") and stays in ("stands", "floats"):
        half, rise = 0.36 * side, foot - 0.012 * side
        x = side / 2 + slope
        pen.ellipse((x - half, rise, x + half, rise + 0.5 * side), perch, edge)


def _sink(pen: ImageDraw.ImageDraw, level: float, side: int, rng: np.random.Generator) -> None:
    """Let water or snow cover what is below `level`, with a gently waving edge."""
    x = np.linspace(0, side, 17)
    y = level + 0.008 * side * np.sin(x / side * 22 + 6 * rng.random())
    edge = np.stack([x, y], 1).ravel().tolist()
    pen.polygon([*edge, side, side, 0, side], 0)


# --------------------------------------------------------------------------------------------------
# Captions


@dataclass(frozen=True)
class Caption:
    """A sentence about a bird, and exactly those attributes whose value it tells."""

    text: str
    mentions: frozenset[str]


LONGEST = 200
"""Characters in the longest caption; the char-CNN-RNN reads 201."""

FAMILY_WORDS = {
    "finch": ("finch", "finch", "round finch", "stubby-billed finch"),
    "hawk": ("hawk", "hawk", "hook-billed hawk", "broad-winged hawk"),
    "heron": ("heron", "heron", "long-legged heron", "long-necked wading bird"),
    "duck": ("duck", "duck", "flat-billed duck", "low-bodied duck"),
    "owl": ("owl", "owl", "round-headed owl", "big-eyed owl"),
    "hummingbird": (
        "hummingbird",
        "hummingbird",
        "hovering hummingbird",
        "needle-billed hummingbird",
    ),
    "woodpecker": ("woodpecker", "woodpecker", "clinging woodpecker", "tree-climbing woodpecker"),
    "gull": ("gull", "gull", "seagull", "flying gull"),
}
PART_WORDS = {
    "crown": ("crown", "crown", "head", "cap"),
    "back": ("back", "back", "mantle"),
    "breast": ("breast", "belly", "chest"),
    "wing": ("wings", "wings", "feathers on its wings"),
    "tail": ("tail", "tail", "tail feathers"),
    "beak": ("beak", "bill"),
}
FACING_WORDS = (
    "facing {}",
    "facing {}",
    "facing to the {}",
    "looking to the {}",
    "turned to the {}",
)
SCENE_WORDS = {
    "sky": ("against the sky", "in front of a blue sky", "under the open sky"),
    "leaves": ("in front of green leaves", "among green leaves", "surrounded by leaves"),
    "water": ("on the water", "by the water", "in front of the water"),
    "snow": ("in the snow", "on a snowy day", "in front of white snow"),
    "branch": ("on a branch", "by a brown branch", "next to a branch"),
}
SIZE_WORDS = {"small": ("small", "small", "little"), "large": ("large", "big")}
SHAPED = {"beak": ("pointed",), "tail": ("short", "stiff"), "wing": ("rounded", "folded")}


def describe(bird: Bird, seed: Seed, count: int = 10) -> list[Caption]:
    """Describe a bird `count` times, each time by another subset of 3 to 8 of its attributes.

    Texts hold lower-case letters, digits and ``,-.'`` only and at most 200 characters. Marks that
    are absent ("no crest") count as mentioned when the text says so.
    """
    numbers = [seed] if isinstance(seed, int | np.integer) else list(seed)
    dice = random.Random("-".join(str(int(number)) for number in numbers))
    captions: list[Caption] = []
    seen: set[frozenset[str]] = set()
    while len(captions) < count:
        chosen = _subset(bird.attributes, dice)
        if chosen in seen and len(seen) < 40 and dice.random() < 0.9:
            continue
        text = _sentence(bird.attributes, chosen, dice)
        if len(text) <= LONGEST:
            seen.add(chosen)
            captions.append(Caption(text, chosen))
    return captions


def _subset(attributes: Mapping[str, str], dice: random.Random) -> frozenset[str]:
    chosen = {
        name
        for name, chance in (("family", 0.9), ("facing", 0.75), ("scene", 0.6), ("size", 0.35))
        if dice.random() < chance
    }
    chances = {part: 1.0 for part in COLOURED}
    for mark in MARKS:
        chances[mark] = 0.12 if attributes[mark] == "none" else 0.8
    # The smallest of exponential waits: a draw without replacement, weighted.
    order = sorted(chances, key=lambda name: dice.expovariate(1.0) / chances[name])
    wanted = min(dice.choice((3, 4, 4, 5, 5, 6)), 8 - len(chosen))
    return frozenset(chosen | set(order[: max(wanted, 3 - len(chosen))]))


def _sentence(attributes: Mapping[str, str], chosen: frozenset[str], dice: random.Random) -> str:
    pick = dice.choice
    noun = pick(FAMILY_WORDS[attributes["family"]]) if "family" in chosen else "bird"
    if "size" in chosen:
        noun = f"{pick(SIZE_WORDS[attributes['size']])} {noun}"
    facing = pick(FACING_WORDS).format(attributes["facing"]) if "facing" in chosen else ""
    scene = pick(SCENE_WORDS[attributes["scene"]]) if "scene" in chosen else ""
    where = f"{facing} {scene}".strip()
    aside = f", {where}" if where else ""
    names = [name for name in (*COLOURED, *MARKS) if name in chosen]
    dice.shuffle(names)
    things = _listed(_things(attributes, names, dice))
    style = dice.random()
    if not names:
        text = f"this is {_a(noun)}{aside}"
    elif style < 0.28:
        text = f"{pick(('this', 'the'))} {noun} has {things}"
        text += f" and is {where}" if facing and dice.random() < 0.5 else aside
    elif style < 0.50:
        text = f"{_a(noun)} {where}".rstrip() + f" with {things}"
    elif style < 0.66:
        text = f"this is {_a(noun)} with {things}{aside}"
    elif style < 0.78:
        clauses = _listed([_clause(attributes, name, dice) for name in names])
        text = f"{pick(('this is ', ''))}{_a(noun)} {where}".rstrip() + f". {clauses}"
    elif style < 0.88 and names[0] in COLOURED:
        text = f"{_clause(attributes, names[0], dice, noun)}"
        if names[1:]:
            text += f" and it has {_listed(_things(attributes, names[1:], dice))}"
        text += f". it is {where}" if facing else aside
    elif scene:
        text = f"{scene}, {_a(noun)}{' ' + facing if facing else ''} with {things}"
    else:
        text = f"{pick(('this', 'the'))} {noun} has {things}"
        text += f". it is {where}" if where else ""
    return text + ("." if dice.random() < 0.75 else "")


def _things(attributes: Mapping[str, str], names: Sequence[str], dice: random.Random) -> list[str]:
    """Noun phrases for `names`; two parts of one colour may share its word."""
    names, things = list(names), []
    while names:
        name = names.pop(0)
        if name not in COLOURED:
            things.append(_mark(attributes, name, dice))
            continue
        value = attributes[name]
        twin = next((n for n in names if n in COLOURED and attributes[n] == value), None)
        part = dice.choice(PART_WORDS[name])
        if twin and dice.random() < 0.7 and " on " not in part:
            names.remove(twin)
            other = dice.choice(PART_WORDS[twin][:2])
            pair = sorted((part, other), key=lambda word: word.endswith("s"))
            phrase = f"{_colour(value, dice)} {pair[0]} and {pair[1]}"
            things.append(phrase if pair[0].endswith("s") else _a(phrase))
            continue
        if dice.random() < 0.12 and " on " not in part:
            verb = "are" if part.endswith("s") else "is"
            phrase = f"{part} that {verb} {_colour(value, dice)}"
        else:
            shaped = name in SHAPED and " on " not in part and dice.random() < 0.12
            shape = dice.choice(SHAPED[name]) + " " if shaped else ""
            phrase = f"{shape}{_colour(value, dice)} {part}"
        things.append(phrase if part.endswith("s") else _a(phrase))
    return things


def _mark(attributes: Mapping[str, str], name: str, dice: random.Random) -> str:
    value = attributes[name]
    if name == "wing_bars":
        if value == "none":
            return dice.choice(("no wing bars", "plain wings without bars", "no wingbars"))
        many = (
            "two {} wing bars",
            "{} wingbars",
            "{} bars on its wings",
            "{} stripes on its wings",
        )
        return dice.choice(many).format(value)
    if name == "eye_ring":
        if value == "none":
            return dice.choice(("no eye ring", "a plain eye without a ring"))
        rings = ("a {} eye ring", "a {} eyering", "a {} ring around its eye")
        return dice.choice(rings).format(value)
    if value == "none":
        return "no crest"
    return dice.choice(("a crest", "a pointed crest", "a crest on its head", "a tufted crest"))


def _clause(attributes: Mapping[str, str], name: str, dice: random.Random, owner: str = "") -> str:
    if name not in COLOURED:
        return f"it has {_mark(attributes, name, dice)}"
    part = dice.choice([word for word in PART_WORDS[name] if " on " not in word])
    verb = "are" if part.endswith("s") else "is"
    subject = f"the {part} of this {owner}" if owner else f"its {part}"
    return f"{subject} {verb} {_colour(attributes[name], dice)}"


def _colour(value: str, dice: random.Random) -> str:
    if value == "grey" and dice.random() < 0.5:
        return "gray"
    if value in ("red", "orange", "yellow", "green", "blue", "purple") and dice.random() < 0.10:
        return f"bright {value}"
    return value


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _listed(items: Sequence[str]) -> str:
    if len(items) < 2:
        return "".join(items)
    comma = "," if len(items) > 2 or " and " in " ".join(items) else ""
    return ", ".join(items[:-1]) + f"{comma} and {items[-1]}"


# --------------------------------------------------------------------------------------------------
# The data set


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
    seeds = [[(seed, k.id, i) for i in range(images_per_species)] for k in kinds]
    birds = [[draw(k, at) for at in own] for k, own in zip(kinds, seeds, strict=True)]
    total = species * images_per_species
    parts = np.empty((total, size, size), np.uint8)

    with workers(processes, species) as spread:
        jobs = [(own, at, captions) for own, at in zip(birds, seeds, strict=True)]
        told = [own for chunk in spread(_describe_all, jobs) for own in chunk]

        def painted() -> Iterator[np.ndarray]:
            # `prepared.write` takes the images first, so `parts` is full before it is written.
            done = 0
            for images, labels in spread(_paint_all, [(own, size) for own in birds]):
                parts[done : done + len(labels)] = labels
                done += len(labels)
                if progress:
                    progress(done, total)
                yield images

        return _write(folder, kinds, birds, told, painted(), parts, config)


def fitting(
    data: prepared.Prepared, row: int, caption: str, count: int, seed: int = 0
) -> np.ndarray:
    """Paint `count` birds that fit a caption of picture `row`, uint8 (count, size, size, 3) RGB.

    They share with that picture what the caption names; all else is drawn anew. Raises SDNError
    for a caption that the picture does not have.
    """
    if caption not in data.captions[row]:
        raise SDNError(f"picture {row} has no caption {caption!r}: take one of data.captions[row]")
    told = data.arrays["mentions"][row, data.captions[row].index(caption)]
    table = data.tables["attributes"].items()
    codes = data.arrays["attributes"][row]
    fixed = {n: v[code] for (n, v), code, said in zip(table, codes, told, strict=True) if said}
    birds = [bird_from(fixed, (seed, int(row), i)) for i in range(count)]
    return np.stack([paint(bird, data.size)[0] for bird in birds])


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
    told: list[list[Caption]],
    images: Iterator[np.ndarray],
    parts: np.ndarray,
    config: dict[str, int],
) -> prepared.Prepared:
    each = range(config["images_per_species"])
    values = {name: {value: n for n, value in enumerate(v)} for name, v in ATTRIBUTES.items()}
    codes = [[values[a][b.attributes[a]] for a in ATTRIBUTES] for own in birds for b in own]
    mentions = [[[a in c.mentions for a in ATTRIBUTES] for c in own] for own in told]
    stems = {k.id: f"{k.id:03d}.{k.name.replace(' ', '_').replace('-', '_')}" for k in kinds}
    return prepared.write(
        folder,
        images=images,
        captions=[[caption.text for caption in own] for own in told],
        class_ids=[k.id for k in kinds for _ in each],
        names=[f"{stems[k.id]}/{i + 1:04d}" for k in kinds for i in each],
        splits=[k.split for k in kinds for _ in each],
        arrays={
            "attributes": np.array(codes, np.uint8),
            "mentions": np.array(mentions, bool),
            "parts": parts,
        },
        tables={
            "attributes": {name: list(known) for name, known in ATTRIBUTES.items()},
            "parts": list(PARTS),
            "species": [asdict(k) for k in kinds],
        },
        source={"generator": "painted_birds", "version": VERSION, **config},
    )
