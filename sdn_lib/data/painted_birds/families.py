"""The eight families of birds, drawn in the notation of `shapes`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sdn_lib.data.painted_birds.attributes import ATTRIBUTES
from sdn_lib.data.painted_birds.shapes import Shape, blob, oval, stroke


@dataclass(frozen=True)
class Family:
    """Shapes in the order of painting, where each joint turns, and how the bird holds itself."""

    shapes: tuple[Shape, ...]
    pivots: dict[str, tuple[float, float]]
    posture: str  # 'stands', 'floats', 'hovers' or 'clings'
    legs: tuple[int, int, int] = (92, 78, 66)


def _eye(x: float, y: float, r: float) -> tuple[Shape, ...]:
    return (
        oval("ring", x, y, 2.0 * r, "eye_ring", rim=0.9),
        oval("eye", x, y, r),
        oval("glint", x + 0.3 * r, y - 0.35 * r, 0.36 * r),
    )


def _leg(leg: str, toes: str, width: float = 2.6) -> tuple[Shape, ...]:
    return tuple(stroke("legs", line, width, rim=0.5) for line in (leg, toes))


def _bars(*lines: str, width: float = 4.4) -> tuple[Shape, ...]:
    return tuple(stroke("bar", line, width, when="wing_bars", rim=0.8) for line in lines)


def _quills(*lines: str) -> tuple[Shape, ...]:
    return tuple(stroke("wing-", line, 1.3, 0.6) for line in lines)


@cache
def families() -> dict[str, Family]:
    """Return the families of ATTRIBUTES['family'], by name; built once in a process."""
    finch = Family(
        (
            *_leg("56 78, 55 94", "49 95, 63 95"),
            blob("tail", "42 56!, 22 67, 1 78!, 8 82, 8 91!, 26 83, 46 74!"),
            blob("breast", "66 30, 78 44, 82 60, 73 76, 56 83, 40 77, 33 64, 40 48, 52 36"),
            blob("back", "62 28!, 50 34, 38 46, 29 62, 33 70, 48 62, 62 50, 66 42!"),
            blob("crown", "60 16!, 50 5, 38 0!, 43 13, 49 26!", when="crest"),
            blob("breast", "65 11, 77 16, 82 27, 77 38, 66 43, 55 40, 50 28, 54 17", joint="head"),
            blob("crown", "82 24!, 77 15, 65 10, 54 16, 49 28, 53 42!, 62 37, 72 32"),
            blob("beak", "77 19!, 88 23, 97 32!, 87 36, 76 37!"),
            *_eye(70, 25, 3.3),
            *_leg("48 80, 46 94", "40 95, 54 95"),
            blob("wing", "62 46, 67 56, 60 68, 44 76, 26 82, 14 83!, 26 68, 40 55, 52 47"),
            *_quills("52 67, 38 75, 20 81", "48 62, 34 70, 20 78"),
            *_bars("47 50, 53 59, 54 69", "36 59, 43 66, 44 75"),
        ),
        {"head": (62, 38), "tail": (42, 66), "wing": (58, 50), "legs": (52, 78), "body": (55, 60)},
        "stands",
    )
    hawk = Family(
        (
            blob("tail", "34 62!, 20 80, 7 94!, 26 101!, 42 90, 52 72!"),
            *_leg("56 84, 55 97", "48 98, 62 98", 3.2),
            blob("breast", "58 20, 74 28, 83 42, 80 58, 68 72, 50 78, 36 70, 30 52, 36 32, 46 22"),
            blob("breast", "58 64!, 76 62!, 76 80, 67 91!, 60 86, 55 76"),
            *_leg("67 86, 67 97", "60 98, 75 98", 3.2),
            blob("back", "58 15!, 44 19, 28 32, 20 50, 24 68, 42 58, 54 46, 64 27!"),
            blob("crown", "63 3!, 52 -5, 41 -5!, 45 5, 52 16!", when="crest"),
            blob("breast", "66 3, 76 6, 81 13, 78 23, 68 28, 58 26, 53 17, 57 7", joint="head"),
            blob("crown", "82 11!, 75 5, 65 2.5, 56 6, 51 15, 53 30!, 62 25, 72 20"),
            blob("beak", "77 8!, 86 9, 92 15, 91 25!, 86 20, 76 22!"),
            *_eye(72, 13, 2.8),
            stroke("ink", "65 8.5, 78 11", 1.8),
            blob("wing", "42 32, 55 38, 61 52, 57 68, 44 80, 29 89!, 20 76, 20 58, 28 42"),
            *_quills("50 70, 40 79, 31 85", "42 69, 34 79, 30 84", "33 66, 29 76, 28 82"),
            *_bars("25 49, 42 51, 60 49", "20 65, 38 67, 58 65", width=4.8),
        ),
        {"head": (62, 26), "tail": (44, 72), "wing": (46, 38), "legs": (62, 84), "body": (54, 55)},
        "stands",
        (212, 168, 52),
    )
    heron = Family(
        (
            stroke("legs", "44 66, 50 83, 46 109", 2.6, rim=0.5),
            stroke("legs", "40 110, 55 110", 2.2, rim=0.5),
            blob("tail", "24 56!, 6 68, -9 82!, -3 93!, 16 86, 32 70!"),
            blob("breast", "48 42, 60 47, 63 58, 52 69, 36 74, 20 71, 12 64, 20 53, 34 45"),
            stroke("breast", "46 58, 62 49, 65 38, 54 27, 51 15, 62 8", 19, 9, rim=1.2),
            blob("back", "56 38!, 46 39, 28 43, 8 63, 14 70, 32 62, 48 55, 58 46!"),
            blob("crown", "57 4!, 44 3, 31 10!, 43 13, 54 14!", when="crest"),
            blob("crown", "56 1, 67 0, 76 6, 73 14, 61 18, 50 16, 48 7"),
            blob("beak", "72 3!, 84 7, 98 14!, 84 15, 70 15!"),
            *_eye(65, 7.5, 2.6),
            stroke("legs", "33 70, 40 86, 34 109", 2.6, rim=0.5),
            stroke("legs", "28 110, 43 110", 2.2, rim=0.5),
            blob("wing", "47 50, 52 58, 47 67, 32 74, 11 79!, 17 67, 29 56"),
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
            blob("tail", "24 52!, 8 48, -2 37!, -1 54, 8 70, 26 72!"),
            blob("breast", "66 44, 80 52, 83 66, 70 79, 46 83, 22 79, 8 66, 14 56, 30 52, 50 50"),
            blob("breast", "62 30!, 80 38!, 83 54, 72 62, 56 58, 58 44"),
            blob("back", "61 34!, 56 46, 38 50, 20 51, 8 60, 22 68, 46 64, 64 56, 67 42!"),
            blob("crown", "66 20!, 58 10, 48 10!, 51 22, 58 32!", when="crest"),
            blob("crown", "73 14, 84 17, 89 27, 85 37, 76 42, 66 42, 59 35, 60 23"),
            blob("beak", "85 22!, 94 27, 105 30, 107 35, 97 38, 84 37!"),
            *_eye(77, 25, 3.2),
            *_leg("42 80, 42 90", "38 91, 50 92", 3.2),
            blob("wing", "60 54, 66 63, 56 73, 36 77, 16 72, 6 60!, 24 57, 44 53"),
            *_quills("52 70, 34 73, 18 69", "46 65, 30 68, 14 64"),
            *_bars("46 53, 52 62, 48 74", "34 55, 40 64, 36 76"),
        ),
        {"head": (68, 40), "tail": (20, 62), "wing": (56, 60), "legs": (48, 80), "body": (48, 65)},
        "floats",
        (232, 128, 40),
    )
    owl = Family(
        (
            blob("tail", "28 66!, 9 86!, 24 99!, 48 88!"),
            *_leg("52 86, 52 97", "45 98, 58 98", 3.6),
            *_leg("64 86, 64 97", "58 98, 71 98", 3.6),
            blob("breast", "58 30, 76 44, 81 62, 74 82, 58 91, 40 88, 28 74, 26 54, 36 38"),
            blob("back", "50 32!, 33 36, 20 50, 18 70, 29 82, 46 62, 56 44!"),
            blob("wing", "43 50, 54 58, 55 72, 47 83, 34 92!, 27 78, 27 63, 34 52"),
            *_quills("48 78, 42 84, 36 89", "41 77, 37 83, 34 89"),
            *_bars("30 61, 41 64, 53 61", "28 73, 40 76, 53 73", width=4.8),
            blob("crown", "38 16!, 32 -8!, 54 4!", when="crest"),
            blob("crown", "64 5!, 83 -8!, 83 16!", when="crest"),
            blob("crown", "58 1, 76 5, 85 19, 81 36, 66 44, 46 42, 33 29, 36 12, 45 4"),
            blob(
                "breast",
                "67 12, 77 12, 83 23, 79 35, 68 41, 55 36, 50 24, 57 13",
                joint="head",
                rim=0.9,
            ),
            *_eye(61, 23, 4.2),
            *_eye(76, 23, 4.2),
            blob("beak", "66 24!, 74 27, 77 34, 73 42!, 66 35!", rim=1.0),
        ),
        {"head": (58, 36), "tail": (36, 82), "wing": (42, 52), "legs": (58, 86), "body": (54, 60)},
        "stands",
        (176, 150, 96),
    )
    hummingbird = Family(
        (
            blob("far wing", "60 50!, 66 30, 65 12, 56 -6!, 50 12, 50 34, 52 50!"),
            blob("tail", "34 66!, 19 78, 6 93!, 15 94, 18 101!, 35 88, 46 74!"),
            blob("breast", "60 36, 69 48, 68 62, 57 74, 42 80, 33 76, 36 62, 48 44"),
            blob("back", "60 32!, 46 40, 34 53, 27 70, 33 80, 46 69, 57 57, 64 44!"),
            blob("crown", "58 26!, 48 16, 38 15!, 43 26, 50 38!", when="crest"),
            blob("breast", "63 21, 72 25, 75 33, 72 42, 63 46, 54 42, 51 33, 54 25", joint="head"),
            blob("crown", "76 31!, 72 23, 63 19, 54 23, 49 33, 53 46!, 61 42, 68 36"),
            blob("beak", "73 28!, 90 25.5, 109 21!, 109 22.5!, 90 30.5, 73 36!", rim=1.0),
            *_eye(66, 30, 2.9),
            blob("wing", "59 58!, 52 38, 40 18, 20 -4!, 14 -2, 16 16, 26 36, 40 52, 50 62!"),
            *_quills("46 44, 36 28, 22 8", "44 50, 32 36, 20 18"),
            *_bars("40 52, 46 43, 51 34", "29 41, 35 32, 41 21", width=4.6),
        ),
        {"head": (62, 42), "tail": (40, 72), "wing": (54, 58), "legs": (50, 70), "body": (52, 52)},
        "hovers",
    )
    woodpecker = Family(
        (
            blob("tail", "33 70!, 44 88, 60 104!, 66 98!, 60 82, 52 68!"),
            stroke("legs", "64 60, 78 57, 85 50", 3.0, rim=0.5),
            stroke("legs", "60 72, 74 72, 85 66", 3.0, rim=0.5),
            blob("breast", "56 22, 69 33, 74 50, 68 68, 56 81, 42 82, 32 68, 31 46, 40 30"),
            blob("back", "54 16!, 40 27, 29 44, 27 64, 35 76, 46 60, 54 44, 60 30!"),
            blob("crown", "62 4!, 50 -6, 36 -8!, 40 4, 46 20!", when="crest"),
            blob("breast", "58 3, 69 5, 76 13, 73 25, 62 31, 51 28, 45 18, 48 8", joint="head"),
            blob("crown", "76 12!, 69 4, 58 2, 48 7, 44 18, 48 32!, 57 26, 67 19"),
            blob("beak", "73 7!, 85 11, 99 16!, 85 20, 72 23!"),
            *_eye(65, 13, 3.0),
            blob("wing", "44 36, 54 45, 58 60, 53 74, 42 91!, 32 76, 29 60, 34 44"),
            *_quills("50 72, 44 82, 41 88", "42 72, 40 82, 40 88"),
            *_bars("32 50, 43 53, 56 50", "30 64, 42 67, 56 64", width=4.6),
        ),
        {"head": (58, 26), "tail": (44, 74), "wing": (46, 42), "legs": (62, 66), "body": (50, 52)},
        "clings",
    )
    gull = Family(
        (
            blob("far wing", "68 48!, 80 32, 84 14, 80 -12!, 70 2, 58 24, 50 48!"),
            blob("tail", "26 54!, 8 56, -6 57!, -8 66, -4 75!, 14 72, 30 66!"),
            blob("breast", "70 43, 84 46, 87 57, 75 67, 54 72, 34 70, 20 64, 20 56, 38 48, 56 44"),
            stroke("legs", "44 68, 30 73, 20 75", 3.2, 2.0, rim=0.5),
            blob("back", "77 38!, 60 38, 38 42, 16 53, 20 61, 44 58, 66 55, 79 48!"),
            blob("crown", "78 36!, 70 27, 60 28!, 64 36, 70 44!", when="crest"),
            blob("crown", "82 34, 91 36, 96 43, 94 51, 84 56, 75 53, 71 45, 74 37"),
            blob("beak", "92 38!, 103 40, 113 45, 112 52!, 105 49, 92 50!"),
            *_eye(85.5, 42.5, 2.8),
            blob("wing", "66 60!, 60 38, 46 16, 28 2, -10 -10!, 6 4, 18 20, 28 40, 44 60!"),
            *_quills("50 48, 36 26, 18 6", "43 52, 28 32, 14 10"),
            *_bars("33 49, 42 38, 53 27", "21 29, 30 20, 41 11", width=4.8),
        ),
        {"head": (78, 50), "tail": (24, 62), "wing": (56, 56), "legs": (40, 68), "body": (54, 56)},
        "hovers",
        (226, 150, 70),
    )
    built = (finch, hawk, heron, duck, owl, hummingbird, woodpecker, gull)
    return dict(zip(ATTRIBUTES["family"], built, strict=True))
