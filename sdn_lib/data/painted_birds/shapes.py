"""Contours of which birds are made, from a short notation.

They face right, y points down, a bird spans about 100 units. "x y, x y, ..." is a closed smooth
curve; a point with ! is a corner. Lines (`stroke`) carry a width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shape:
    """A contour in bird units: `ink` is its colour, `joint` what it turns about, `when` a mark."""

    ink: str
    joint: str
    points: np.ndarray
    rim: np.ndarray | None = None
    when: str = ""


STEPS = 5
"""Points on a curve between two that the notation gives."""

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


def blob(ink: str, text: str, joint: str = "", when: str = "", rim: float = 1.3) -> Shape:
    """Return the smooth closed contour that `text` notes, `rim` units of darker edge around it."""
    control = []
    for point in text.split(","):
        x, y = point.replace("!", "").split()
        control += [(float(x), float(y))] * (2 if "!" in point else 1)
    return _shape(ink, _catmull_rom(np.array(control)), joint, when, rim)


def oval(ink: str, x: float, y: float, r: float, when: str = "", rim: float = 0.0) -> Shape:
    """Return a circle about (x, y)."""
    turn = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    return _shape(ink, np.stack([x + r * np.cos(turn), y + r * np.sin(turn)], 1), "", when, rim)


def stroke(
    ink: str, text: str, width: float, end: float = 0.0, when: str = "", rim: float = 0.0
) -> Shape:
    """Return the contour of a line, `width` thick at its start, `end` (or the same) at its end."""
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


def _catmull_rom(control: np.ndarray, closed: bool = True) -> np.ndarray:
    """Points on the Catmull-Rom curve through `control` (n, 2); a doubled point makes a corner."""
    if closed:
        before, after = np.roll(control, 1, 0), np.roll(control, -1, 0)
        beyond = np.roll(control, -2, 0)
    else:
        padded = np.concatenate([control[:1], control, control[-1:]])
        before, control, after, beyond = (padded[i : len(padded) - 3 + i] for i in range(4))
    t = np.linspace(0, 1, STEPS, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None] for p in (before, control, after, beyond))
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    keep = np.abs(control - after).max(1) > 0
    points = curve[keep].reshape(-1, 2)
    return points if closed else np.concatenate([points, after[-1:]])
