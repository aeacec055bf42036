"""Text and pictures placed by the pixel on a figure of the book's width."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from sdn_lib.show.style import CAPTION, DPI, WIDTH, HouseFigure


def line_height(size: float = CAPTION) -> int:
    """Return the pixels from one line to the next of text of `size` points."""
    return round(size * 1.26 * DPI / 72)


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float) -> float:
    """Return the width in pixels of text of `size` points."""
    plain = text.replace("$", r"\$")  # a caption's dollars are no formula
    outline = TextPath((0, 0), plain, size=size, prop=FontProperties(family="DejaVu Sans"))
    # Agg fits letters to whole pixels, which makes small text a little wider than its outline.
    return outline.get_extents().width * 1.06 * DPI / 72 if text.strip() else 0.0


def new_page(height: float) -> tuple[Figure, Axes]:
    """Return a full-width figure and axes over all of it, in pixels from the top left corner."""
    figure = HouseFigure(figsize=(WIDTH / DPI, height / DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def new_plot(height: float) -> tuple[Figure, Axes]:
    """Return a full-width figure, `height` inches high, and its only axes."""
    figure = HouseFigure(figsize=(WIDTH / DPI, height), layout="constrained")
    return figure, figure.subplots()


def paste(page: Axes, picture: np.ndarray, x: float, y: float, w: float, h: float) -> None:
    """Put a picture of w by h pixels on a page, its top left corner at x, y."""
    height, _ = page.get_ylim()
    axes = page.figure.add_axes((x / WIDTH, 1 - (y + h) / height, w / WIDTH, h / height))
    whole = h % picture.shape[0] == 0 and w % picture.shape[1] == 0
    axes.imshow(picture, interpolation="nearest" if whole else "auto", aspect="auto")
    axes.axis("off")
