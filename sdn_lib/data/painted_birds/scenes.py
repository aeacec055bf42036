"""What is around a bird: a soft backdrop, a perch with edges, water or snow about its feet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from sdn_lib.data.painted_birds.inks import INK_NUMBER

_GRID = (np.arange(32, dtype=np.float32) + 0.5) / 32


def _glow(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    across = np.exp(-(((_GRID - x) / rx) ** 2))
    down = np.exp(-(((_GRID - y) / ry) ** 2))
    return (down[:, None] * across[None])[:, :, None]


def background(scene: str, foot: float, rng: np.random.Generator) -> Image.Image:
    """Return a calm 32 x 32 backdrop to be enlarged smoothly: gradients, a few soft shapes."""
    u = rng.random((6, 4)).tolist()
    down = _GRID[:, None, None]
    tops = {"sky": (150, 196, 240), "leaves": (176, 208, 146), "water": (206, 222, 224)}
    tops |= {"snow": (196, 206, 220), "branch": (232, 218, 194)}
    feet = {"sky": (220, 236, 248), "leaves": (122, 168, 102), "water": (196, 214, 220)}
    feet |= {"snow": (212, 220, 230), "branch": (216, 196, 166)}
    top, bottom = np.array(tops[scene], np.float32), np.array(feet[scene], np.float32)
    field = top + (bottom - top) * down + np.zeros((32, 32, 3), np.float32)
    if scene == "sky":
        for x, y, a, b in u[:3]:
            field += (250 - field) * 0.75 * _glow(x, 0.85 * y, 0.16 + 0.14 * a, 0.05 + 0.05 * b)
    elif scene == "leaves":
        for n, (x, y, a, b) in enumerate(u):
            tone = np.array((204, 222, 156) if n % 2 else (92, 146, 84), np.float32)
            field += (tone - field) * 0.6 * _glow(x, y, 0.10 + 0.10 * a, 0.10 + 0.08 * b)
    elif scene == "water":
        shore = 0.30 + 0.10 * u[0][0]
        wet = 1 / (1 + np.exp(-(down - shore) * 60))
        sway = 0.5 * np.sin(6 * _GRID + 6 * u[0][2])[None, :, None]
        waves = np.sin(down * (26 + 6 * u[0][1]) + sway)
        field += (np.array((104, 164, 178), np.float32) + 11 * waves - field) * wet
    elif scene == "snow":
        crest = min(foot - 0.16, 0.72) + 0.04 * np.sin(4 * _GRID + 6 * u[0][0])[None, :, None]
        white = 1 / (1 + np.exp(-(down - crest) * 40))
        field += (np.array((246, 248, 252), np.float32) - field) * white
    else:
        for x, y, a, b in u[:4]:
            tone = np.array((244, 234, 214) if a > 0.5 else (206, 188, 160), np.float32)
            field += (tone - field) * 0.5 * _glow(x, y, 0.14 + 0.1 * a, 0.14 + 0.1 * b)
    return Image.fromarray(np.clip(field, 0, 255).astype(np.uint8))


def draw_perch(
    pen: ImageDraw.ImageDraw,
    scene: str,
    posture: str,
    foot: float,
    side: int,
    to_canvas: Callable,
    rng: np.random.Generator,
) -> None:
    """Draw what is behind the bird and has an edge: branch, rock, trunk, falling snow."""
    perch, edge = INK_NUMBER["perch"], INK_NUMBER["perch-"]
    u = rng.random(24).tolist()
    if scene == "snow":
        for x, y in zip(u[:10], u[10:20], strict=True):
            r = 0.011 * side * (0.8 + 0.6 * x * y)
            box = (x * side - r, y * side - r, x * side + r, y * side + r)
            pen.ellipse(box, INK_NUMBER["fleck"])
    slope = 0.06 * side * (u[20] - 0.5)
    if posture == "clings":
        trunk = to_canvas([(85, -60), (86, 50), (84, 160), (140, 160), (140, -60)])
        pen.polygon(to_canvas([(83.5, -60), (84.5, 50), (82.5, 160), (140, 160), (140, -60)]), edge)
        pen.polygon(trunk, perch)
        for y in (-12, 18, 44, 76, 104):
            crack = [(91, y), (93, y + 9 + 6 * u[21]), (92, y + 20), (90, y + 9)]
            pen.polygon(to_canvas(crack), edge)
    if scene == "branch":
        thick = 0.045 * side
        level = foot + 0.01 * side if posture != "hovers" else min(foot + 0.02 * side, 0.95 * side)
        if posture == "clings":
            level = 0.86 * side
        line = [-9, level - slope, side + 9, level + slope, side + 9, level + slope + 1.5 * thick]
        line += [-9, level - slope + 1.9 * thick]
        pen.polygon([v + (i % 2) * -0.006 * side for i, v in enumerate(line)], edge)
        pen.polygon(line, perch)
        x = side * (0.08 if u[22] < 0.5 else 0.92)
        tip = x + 0.10 * side * (u[23] - 0.5)
        base = level + thick
        pen.polygon([x - thick / 2, base, tip, level - 0.2 * side, x + thick / 2, base], perch)
    elif scene in ("sky", "leaves") and posture in ("stands", "floats"):
        half, rise = 0.36 * side, foot - 0.012 * side
        x = side / 2 + slope
        pen.ellipse((x - half, rise, x + half, rise + 0.5 * side), perch, edge)


def cover_feet(pen: ImageDraw.ImageDraw, level: float, side: int, rng: np.random.Generator) -> None:
    """Let water or snow cover what is below `level`, with a gently waving edge."""
    x = np.linspace(0, side, 17)
    y = level + 0.008 * side * np.sin(x / side * 22 + 6 * rng.random())
    edge = np.stack([x, y], 1).ravel().tolist()
    pen.polygon([*edge, side, side, 0, side], 0)
