"""The picture of a bird and its part map, painted as filled contours on a supersampled canvas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sdn_lib.data.painted_birds.attributes import MARKS
from sdn_lib.data.painted_birds.bird import Bird
from sdn_lib.data.painted_birds.families import families
from sdn_lib.data.painted_birds.inks import (
    BIRD_OF_INK,
    COVER_OF_INK,
    INK_NUMBER,
    PART_OF_INK,
    colour_inks,
)
from sdn_lib.data.painted_birds.scenes import background, cover_feet, draw_perch
from sdn_lib.data.painted_birds.shapes import JOINTS
from sdn_lib.errors import SDNError


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
    points, fills, to_canvas = _pose(bird, side)
    scene = bird.attributes["scene"]
    foot = float(points[:, 1].max())

    canvas = Image.new("L", (side, side))
    pen = ImageDraw.Draw(canvas)
    draw_perch(pen, scene, family.posture, foot, side, to_canvas, rng)
    flat = points.ravel().tolist()
    for ink, start, stop in fills:
        pen.polygon(flat[start:stop], fill=ink)
    if scene in ("water", "snow") and family.posture in ("stands", "floats"):
        depth = 0.035 if family.posture == "stands" else (0.13 if scene == "water" else 0.03)
        cover_feet(pen, foot - depth * side, side, rng)

    parts = PART_OF_INK[np.asarray(canvas)[factor // 2 :: factor, factor // 2 :: factor]]
    colours = colour_inks(bird, family, rng)
    cover = canvas.point(COVER_OF_INK).reduce(factor)
    whole = canvas.point(BIRD_OF_INK).reduce(factor)
    canvas.putpalette(colours.astype(np.uint8).ravel().tolist(), "RGB")
    painted = np.asarray(canvas.convert("RGB").reduce(factor), np.float32)

    painted *= _shade(whole, bird, rng, size)[:, :, None]
    behind = background(scene, foot / side, rng).resize((size, size), Image.Resampling.BICUBIC)
    share = 1 - np.asarray(cover, np.float32)[:, :, None] / 255
    image = painted + share * np.asarray(behind, np.float32)
    image *= bird.exposure
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), parts


@cache
def _contours(family: str, marks: frozenset[str]) -> tuple[np.ndarray, np.ndarray, list, tuple]:
    """All contours of a family joined: points (n, 2), joint of each, (ink, start, stop), pivots."""
    shapes = [s for s in families()[family].shapes if not s.when or s.when in marks]
    pieces, joints, fills = [], [], []
    at = 0
    for shape in shapes:
        rims = [] if shape.rim is None else [(f"{shape.ink}-", shape.rim)]
        for ink, points in [*rims, (shape.ink, shape.points)]:
            pieces.append(points)
            joints.append(np.full(len(points), JOINTS.index(shape.joint)))
            fills.append((INK_NUMBER[ink], 2 * at, 2 * (at + len(points))))
            at += len(points)
    pivots = tuple(np.array(families()[family].pivots[joint]) for joint in JOINTS)
    return np.concatenate(pieces), np.concatenate(joints), fills, pivots


def _pose(bird: Bird, side: int) -> tuple[np.ndarray, list, Callable]:
    """Contours on a canvas of `side` pixels (n, 2), what fills them, and the bird-to-canvas map."""
    attributes = bird.attributes
    marks = frozenset(mark for mark in MARKS if attributes[mark] != "none")
    points, joint, fills, pivots = _contours(attributes["family"], marks)
    turns = [bird.tilt + extra for extra in (*bird.joints, 0.0)]
    if families()[attributes["family"]].posture in ("clings", "floats"):
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


def _shade(whole: Image.Image, bird: Bird, rng: np.random.Generator, size: int) -> np.ndarray:
    """Light on the bird (size, size), about 1: brighter towards the light, darker away, soft grain.

    The blurred silhouette serves as a height map; computed small, so all sizes look alike.
    """
    small = 48
    blurred = whole.resize((small, small), Image.Resampling.BILINEAR)
    blurred = blurred.filter(ImageFilter.GaussianBlur(3.2))
    height = np.asarray(blurred, np.float32) / 255
    fall = np.zeros((2, small, small), np.float32)
    fall[0, :, 1:-1] = height[:, :-2] - height[:, 2:]
    fall[1, 1:-1] = height[:-2] - height[2:]
    facing = math.cos(bird.light) * fall[0] + math.sin(bird.light) * fall[1]
    light = 1.0 + bird.shading * np.clip(6.0 * facing, -1.5, 1.0)
    light += 0.022 * rng.standard_normal((small, small), np.float32)
    return np.asarray(Image.fromarray(light).resize((size, size), Image.Resampling.BICUBIC))
