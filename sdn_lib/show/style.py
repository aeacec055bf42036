"""The house style of the book's figures: fonts, sizes, colours.

A figure looks the same whatever matplotlibrc, style sheet or backend the reader has, and pyplot
does not know it, so that a notebook shows it once.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

from cycler import cycler
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from sdn_lib import vgg
from sdn_lib.errors import SDNError, near

# 7.2 inches at 150 dpi is eight 64-pixel pictures at exactly twice their size, with gaps between.
DPI = 150
WIDTH = 1080
GAP = 8
INK, MUTED, FAINT = "#1f2328", "#667079", "#e4e7ea"
TEXT, SMALL, CAPTION = 10.0, 9.5, 9.0
# Every VGG's layers are among VGG19's; the student's fully connected ones are as high as any.
LEVEL_OF = vgg.level_of(19) | {"fc6": "high", "fc7": "high"}
LEVEL_COLOURS = {"image": "#6b7280", "low": "#E69F00", "mid": "#009E73", "high": "#0072B2"}
# Okabe and Ito's palette, which readers with any of the common colour deficiencies can tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
RUN_COLOURS = {
    "real": "#1f2328",
    "baseline": "#9aa1a9",
    "pixel-only": "#9aa1a9",
    "stage one": "#56B4E9",
    "stage two": "#D55E00",
}
STYLE: dict[str, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": "figure",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.edgecolor": "#b4bac1",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "axes.prop_cycle": cycler(color=PALETTE),
    "image.cmap": "viridis",
}


def use_style() -> None:
    """Make the house style matplotlib's own, for a chapter that draws a plot of its own.

    Whatever else the reader's matplotlibrc or style sheet says goes back to matplotlib's defaults.
    """
    style.use(["default", STYLE])


def _house_style() -> AbstractContextManager:
    return style.context(STYLE, after_reset=True)


def in_house_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Return the function `draw` as one that runs in the house style."""

    @functools.wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        with _house_style():
            return draw(*args, **kwargs)

    return styled


class _Canvas(FigureCanvasAgg):
    def print_figure(self, *args: Any, **kwargs: Any) -> Any:
        with _house_style():
            return super().print_figure(*args, **kwargs)


class HouseFigure(Figure):
    """A figure in the house style, also when it is drawn or saved, where matplotlib looks again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with _house_style():
            super().__init__(*args, **kwargs)
        _Canvas(self)

    def draw(self, renderer: Any) -> None:
        """Draw in the house style."""
        with _house_style():
            super().draw(renderer)

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save in the house style, as matplotlib's own figures are saved."""
        with _house_style():
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows; IPython knows figures by itself only beside pyplot."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()


def level_colour(name: str) -> str:
    """Return the colour of a layer's level; raises SDNError for a name that is no layer's."""
    if name == "image":
        return LEVEL_COLOURS["image"]
    if name not in LEVEL_OF:
        raise SDNError(f"no layer {name!r} to colour; {near(name, LEVEL_OF)}")
    return LEVEL_COLOURS[LEVEL_OF[name]]


def run_colours(labels: Collection[str]) -> dict[str, str]:
    """Return {label: colour}: a run's own over the whole book, or the palette's next."""
    own = {}
    for label in labels:
        plain = label.lower().replace("_", " ")
        known = [colour for name, colour in RUN_COLOURS.items() if plain.startswith(name)]
        if known:
            own[label] = known[0]
    spare = itertools.cycle(colour for colour in PALETTE if colour not in own.values())
    return {label: own[label] if label in own else next(spare) for label in labels}


def tint(colour: str, strength: float) -> tuple[float, float, float]:
    """Return a colour mixed with white: all of it at strength 1, white at 0."""
    red, green, blue = (1 - strength * (1 - part) for part in to_rgb(colour))
    return red, green, blue
