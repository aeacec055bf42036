"""The book's figures, in one house style: plain arrays, tensors and dicts in, a Figure out.

Images are float tensors (N, 3, H, W) in 0..1 or uint8 arrays (N, H, W, 3); activations are
(C, H, W) of one sample. Every function returns a Figure that pyplot does not know, so a notebook
shows it once, and that looks the same whatever matplotlibrc, style sheet or backend the reader has.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from cycler import cycler
from matplotlib import colormaps, style, ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from matplotlib.textpath import TextPath

from sdn_lib import vgg
from sdn_lib.errors import SDNError

# 7.2 inches at 150 dpi is eight 64-pixel pictures at exactly twice their size, with gaps between.
DPI = 150
WIDTH = 1080
GAP = 8
INK, MUTED, FAINT = "#1f2328", "#667079", "#e4e7ea"
TEXT, SMALL, CAPTION = 10.0, 9.5, 9.0
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


def _style() -> AbstractContextManager:
    return style.context(STYLE, after_reset=True)


class _Canvas(FigureCanvasAgg):
    def print_figure(self, *args: Any, **kwargs: Any) -> Any:
        with _style():
            return super().print_figure(*args, **kwargs)


class _HouseFigure(Figure):
    """A figure in the house style, also when it is drawn or saved, where matplotlib looks again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with _style():
            super().__init__(*args, **kwargs)
        _Canvas(self)

    def draw(self, renderer: Any) -> None:
        """Draw in the house style."""
        with _style():
            super().draw(renderer)

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save in the house style, as matplotlib's own figures are saved."""
        with _style():
            super().savefig(*args, **kwargs)

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows; IPython knows figures by itself only beside pyplot."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", bbox_inches="tight")
        return picture.getvalue()


def _house(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the house style."""

    @functools.wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        with _style():
            return draw(*args, **kwargs)

    return styled


# ---------------------------------------------------------------- arrays in


def as_array(values: Any) -> np.ndarray:
    """Return a tensor on any device, a list of tensors, an array or nested lists as a numpy array.

    Half precision becomes float32.
    """
    if isinstance(values, list | tuple) and any(hasattr(value, "detach") for value in values):
        return np.stack([as_array(value) for value in values])
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
        return values.numpy()
    values = np.asarray(values)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def as_images(images: Any, what: str = "images") -> np.ndarray:
    """Return pictures as uint8 (N, H, W, 3).

    images: float (N, 3, H, W), clamped to 0..1, or uint8 (N, H, W, 3).
    Raises SDNError, naming `what`, for any other shape or dtype and for values that are not finite.
    """
    array = as_array(images)
    if array.dtype == np.uint8:
        if array.ndim != 4 or array.shape[3] != 3:
            raise SDNError(f"{what}: uint8 pictures must be (N, H, W, 3), got {array.shape}")
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise SDNError(
            f"{what}: expected float (N, 3, H, W) in 0..1 or uint8 (N, H, W, 3), "
            f"got {array.dtype} {array.shape}"
        )
    if array.ndim != 4 or array.shape[1] != 3:
        raise SDNError(f"{what}: float pictures must be (N, 3, H, W), got {array.shape}")
    if not np.isfinite(array).all():
        raise SDNError(f"{what}: holds values that are not finite; did the training diverge?")
    return np.round(np.clip(array, 0, 1).transpose(0, 2, 3, 1) * 255).astype(np.uint8)


def _activation(values: Any, name: str) -> np.ndarray:
    array = as_array(values)
    if array.ndim != 3:
        raise SDNError(f"activation {name!r}: expected one sample, (C, H, W), got {array.shape}")
    return array.astype(np.float32)


def strongest(activation: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` channels with the largest mean, largest first.

    activation: (C, H, W). Ties keep the network's own order, so the choice never depends on luck.
    """
    means = np.abs(activation).mean(axis=(1, 2))
    return np.argsort(-means, kind="stable")[:count]


def mosaic(
    activation: np.ndarray,
    scale: np.ndarray | None = None,
    columns: int | None = None,
    cell: int = 16,
) -> np.ndarray:
    """Lay out channels as one uint8 (H, W, 4) picture in viridis, the gaps transparent.

    activation: (C, H, W). scale: (C,) value that is drawn brightest, each channel's own maximum if
    None. cell: the least side of a channel in pixels; smaller maps are enlarged by whole factors.
    """
    channels, height, width = activation.shape
    columns = columns or math.ceil(math.sqrt(channels))
    rows = math.ceil(channels / columns)
    if scale is None:
        scale = activation.max(axis=(1, 2))
    tall = np.maximum(scale, 1e-12)[:, None, None]
    painted = (colormaps["viridis"](np.clip(activation / tall, 0, 1)) * 255).round()
    factor = max(1, math.ceil(cell / max(height, width)))
    painted = painted.astype(np.uint8).repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = painted.shape[1:3]
    gap = max(1, max(height, width) // 16)
    canvas = np.zeros(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 4), dtype=np.uint8
    )
    for index, tile in enumerate(painted):
        y, x = index // columns * (height + gap), index % columns * (width + gap)
        canvas[y : y + height, x : x + width] = tile
    return canvas


def levels_of(levels: Mapping[str, str] | None) -> dict[str, str]:
    """Return {layer name: 'low' | 'mid' | 'high'}, VGG19's (which holds every smaller VGG's)."""
    return dict(vgg.level_of(19) if levels is None else levels)


def _level_colour(name: str, levels: Mapping[str, str]) -> str:
    level = "image" if name == "image" else levels.get(name)
    if level not in LEVEL_COLOURS:
        raise SDNError(
            f"layer {name!r} has level {level!r}; expected one of {', '.join(LEVEL_COLOURS)}"
        )
    return LEVEL_COLOURS[level]


def _run_colours(labels: Collection[str]) -> dict[str, str]:
    """Runs keep their colour across the whole book; other labels take the palette's in turn."""
    spare = iter(PALETTE * (1 + len(labels) // len(PALETTE)))
    colours = {}
    for label in labels:
        plain = label.lower().replace("_", " ")
        known = [colour for name, colour in RUN_COLOURS.items() if plain.startswith(name)]
        colours[label] = known[0] if known else next(spare)
    return colours


def _tint(colour: str, strength: float) -> tuple[float, ...]:
    return tuple(1 - strength * (1 - part) for part in to_rgb(colour))


# ---------------------------------------------------------------- layout in pixels


def _points(pixels: float) -> float:
    return pixels * 72 / DPI


def _line_height(size: float = CAPTION) -> int:
    return round(size * 1.26 * DPI / 72)


@functools.lru_cache(maxsize=4096)
def _text_width(text: str, size: float) -> float:
    plain = text.replace("$", r"\$")  # a caption's dollars are no formula
    outline = TextPath((0, 0), plain, size=size, prop=FontProperties(family="DejaVu Sans"))
    # Agg fits letters to whole pixels, which makes small text a little wider than its outline.
    return outline.get_extents().width * 1.06 * DPI / 72 if text.strip() else 0.0


def _wrap(text: str, width: float, size: float = CAPTION) -> list[str]:
    """Break text into lines no wider than `width` pixels; a longer word gets a line of its own."""
    space = size * 0.32 * DPI / 72
    lines: list[str] = []
    room = 0.0
    for word in text.split():
        needed = _text_width(word, size)
        if lines and needed + space <= room:
            lines[-1] += f" {word}"
            room -= needed + space
        else:
            lines.append(word)
            room = width - needed
    return lines


def _write(page: Any, x: float, y: float, lines: list[str], ha: str = "center") -> None:
    """Write lines from y downward; one text each, as matplotlib spaces joined lines unevenly."""
    step = _line_height()
    for index, line in enumerate(lines):
        page.text(x, y + index * step + 0.8 * step, line, ha=ha, va="baseline", fontsize=CAPTION,
                  parse_math=False)


def _page(height: float) -> tuple[Figure, Any]:
    """Return a full-width figure and axes over all of it, in pixels from the top left corner."""
    figure = _HouseFigure(figsize=(WIDTH / DPI, height / DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def _plot(height: float) -> tuple[Figure, Any]:
    """Return a full-width figure, `height` inches high, and its only axes."""
    figure = _HouseFigure(figsize=(WIDTH / DPI, height), layout="constrained")
    return figure, figure.subplots()


def _paste(page: Any, picture: np.ndarray, x: float, y: float, w: float, h: float) -> None:
    figure = page.figure
    height = figure.get_figheight() * DPI
    axes = figure.add_axes((x / WIDTH, 1 - (y + h) / height, w / WIDTH, h / height))
    whole = h % picture.shape[0] == 0 and w % picture.shape[1] == 0
    axes.imshow(picture, interpolation="nearest" if whole else "auto", aspect="auto")
    axes.axis("off")


def _fit(shape: tuple[int, ...], cell: float) -> tuple[int, int]:
    """Return (width, height) for a picture in a cell: a whole multiple where that nearly fills."""
    height, width = shape[:2]
    whole = int(cell // width)
    if whole and whole * width >= 0.8 * cell:
        return whole * width, whole * height
    return int(cell), round(cell * height / width)


@_house
def image_grid(
    images: Any,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    place: str = "under",
) -> Figure:
    """Show pictures in rows, each with its caption wrapped under it or to its left.

    images: float (N, 3, H, W) in 0..1 or uint8 (N, H, W, 3). titles: N strings. place: 'under', or
    'left' for few pictures with long captions (then 2 columns suit). Raises SDNError on a mismatch.
    """
    pictures = as_images(images)
    count = len(pictures)
    if count == 0:
        raise SDNError("image_grid: no images to show")
    if titles is not None and len(titles) != count:
        raise SDNError(f"image_grid: {count} images but {len(titles)} titles")
    if place not in ("under", "left"):
        raise SDNError(f"image_grid: place must be 'under' or 'left', got {place!r}")
    columns = max(1, min(columns, count))
    cell = (WIDTH - GAP * (columns - 1)) // columns
    beside = place == "left" and titles is not None
    width, height = _fit(pictures.shape[1:], min(cell * 0.45 if beside else cell, 320))
    column = cell if beside or titles else width
    room = cell - width - 3 * GAP if beside else cell - 2
    wrapped = [_wrap(title, room) for title in titles or [""] * count]
    rows = [range(start, min(start + columns, count)) for start in range(0, count, columns)]
    text = [
        max(len(wrapped[i]) for i in row) * _line_height() + GAP if titles else 0 for row in rows
    ]
    tall = [max(height, t) if beside else height + t for t in text]
    figure, page = _page(sum(tall) + GAP * (1 + bool(titles)) * (len(rows) - 1))
    left = (WIDTH - columns * column - GAP * (columns - 1)) / 2
    y = 0
    for row, row_height in zip(rows, tall, strict=True):
        for place_in_row, index in enumerate(row):
            x = int(left) + place_in_row * (column + GAP)
            shift = cell - width if beside else (column - width) // 2
            _paste(page, pictures[index], x + shift, y, width, height)
            if beside:
                middle = y + (height - len(wrapped[index]) * _line_height()) / 2
                _write(page, x + cell - width - 1.5 * GAP, middle, wrapped[index], ha="right")
            else:
                _write(page, x + column / 2, y + height + GAP / 2, wrapped[index])
        y += row_height + GAP * (1 + bool(titles))
    return figure


@_house
def compare_rows(rows: Mapping[str, Any], captions: Sequence[str] | None = None) -> Figure:
    """Show the same samples row by row (real, pixel-only, stage one, ...), a caption a column.

    rows: {label: images}, each float (N, 3, H, W) in 0..1 or uint8 (N, H, W, 3), the same N.
    captions: N strings, wrapped above the columns; 6 columns read best. Raises SDNError naming the
    row that differs.
    """
    if not rows:
        raise SDNError("compare_rows: no rows to show")
    pictures = {label: as_images(images, f"row {label!r}") for label, images in rows.items()}
    first, *rest = pictures
    count = len(pictures[first])
    for label in rest:
        if len(pictures[label]) != count:
            raise SDNError(
                f"compare_rows: row {label!r} has {len(pictures[label])} images, "
                f"row {first!r} has {count}"
            )
    if captions is not None and len(captions) != count:
        raise SDNError(f"compare_rows: {count} columns but {len(captions)} captions")
    labels = {label: _wrap(label.replace("_", " "), 130, TEXT) for label in pictures}
    longest = max(_text_width(line, TEXT) for lines in labels.values() for line in lines)
    margin = int(longest * 1.13) + 3 * GAP  # bold letters are wider than those measured
    cell = min((WIDTH - margin - GAP * (count - 1)) // count, 256)
    wrapped = [_wrap(caption, cell - 4) for caption in captions or []]
    top = max((len(lines) for lines in wrapped), default=0) * _line_height() + GAP * bool(wrapped)
    sizes = {label: _fit(array.shape[1:], cell) for label, array in pictures.items()}
    figure, page = _page(top + sum(h for _, h in sizes.values()) + GAP * (len(rows) - 1))
    for column, lines in enumerate(wrapped):
        x = margin + column * (cell + GAP) + cell / 2
        _write(page, x, top - GAP - len(lines) * _line_height(), lines)
    y = top
    for label, array in pictures.items():
        width, height = sizes[label]
        page.text(margin - 1.5 * GAP, y + height / 2, "\n".join(labels[label]), ha="right",
                  va="center", fontsize=TEXT, fontweight="bold", parse_math=False)
        for column in range(count):
            x = margin + column * (cell + GAP) + (cell - width) // 2
            _paste(page, array[column], x, y, width, height)
        y += height + GAP
    return figure


# ---------------------------------------------------------------- activations


@_house
def activation_maps(
    activations: Mapping[str, Any],
    layers: Sequence[str] | None = None,
    channels: int = 8,
    levels: Mapping[str, str] | None = None,
) -> Figure:
    """Show, a row a layer, the mean map and the channels that respond most, each on its own scale.

    activations: {layer: (C, H, W)} of one picture; 'image' (3, H, W) is shown in colour.
    layers: which, in order (default: all). Raises SDNError for an unknown layer or wrong shape.
    """
    layers = list(layers if layers is not None else activations)
    missing = [name for name in layers if name not in activations]
    if missing:
        raise SDNError(f"activation_maps: no layer {missing[0]!r}; have {', '.join(activations)}")
    known = levels_of(levels)
    margin, shown = 165, channels + 1
    cell = (WIDTH - margin - GAP * shown - 16) // shown
    heading = _line_height(SMALL) + GAP
    figure, page = _page(heading + len(layers) * (cell + GAP) - GAP)
    page.text(margin + cell / 2, heading - GAP, "mean", ha="center", va="bottom", fontsize=SMALL)
    page.text(margin + cell + 24, heading - GAP, "channels that respond most, strongest first",
              va="bottom", fontsize=SMALL)
    for row, name in enumerate(layers):
        maps = _activation(activations[name], name)
        y = heading + row * (cell + GAP)
        shape = " × ".join(str(side) for side in maps.shape)
        colour = _level_colour(name, known)
        page.add_patch(Rectangle((0, y), 7, cell, color=colour, linewidth=0))
        page.text(20, y + cell / 2 - 2, name, va="bottom", fontsize=TEXT, fontweight="bold")
        page.text(20, y + cell / 2 + 4, shape, va="top", fontsize=SMALL, color=MUTED)
        picture = name == "image" and maps.shape[0] == 3
        lead = maps.transpose(1, 2, 0).clip(0, 1) if picture else maps.mean(axis=0)
        chosen = range(3) if picture else strongest(maps, channels)
        _paste_map(page, lead, margin, y, cell)
        for column, channel in enumerate(chosen, start=1):
            _paste_map(page, maps[channel], margin + 16 + column * (cell + GAP), y, cell)
    return figure


def _paste_map(page: Any, values: np.ndarray, x: float, y: float, cell: int) -> None:
    """Paste one map over its own range in viridis; whole-number enlargement keeps cells visible."""
    if values.ndim == 2:
        low, high = min(0.0, float(values.min())), float(values.max())
        values = colormaps["viridis"]((values - low) / max(high - low, 1e-12))[..., :3]
    factor = max(1, cell // max(values.shape[:2]))
    big = (values * 255).round().astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    _paste(page, big, x, y, cell, cell)


@_house
def activation_pair(
    teacher_act: Any, student_act: Any, name: str, channels: int = 36
) -> Figure:
    """Show teacher's and student's channels of one layer side by side, same order, same scale.

    teacher_act, student_act: (C, H, W). The teacher's strongest channels come first; a channel's
    brightest value is the larger of the two networks'. Raises SDNError if the shapes differ.
    """
    teacher, student = _activation(teacher_act, name), _activation(student_act, name)
    if teacher.shape != student.shape:
        raise SDNError(
            f"activation_pair: layer {name!r} is {teacher.shape} in the teacher "
            f"but {student.shape} in the student"
        )
    chosen = strongest(teacher, channels)
    left, right = teacher[chosen], student[chosen]
    scale = np.maximum(left.max(axis=(1, 2)), right.max(axis=(1, 2)))
    side = (WIDTH - 60) // 2
    pictures = [mosaic(maps, scale, cell=side // 6) for maps in (left, right)]
    heading = 2 * _line_height(SMALL) + GAP
    height = round(side * pictures[0].shape[0] / pictures[0].shape[1])
    figure, page = _page(heading + height)
    total, tall, wide = teacher.shape
    gap = float(np.abs(teacher - student).mean())
    shown = f"{len(chosen)} of {total}" if len(chosen) < total else f"{total}"
    notes = (f"{name}: {shown} channels, {tall}×{wide}", f"mean absolute difference {gap:.3g}")
    for x, who, note, picture in zip(
        (0, WIDTH - side), ("teacher", "student"), notes, pictures, strict=True
    ):
        page.text(x, 0, who, va="top", fontsize=10.5, fontweight="bold")
        page.text(x, _line_height(10.5), note, va="top", fontsize=SMALL, color=MUTED)
        _paste(page, picture, x, heading, side, height)
    return figure


# ---------------------------------------------------------------- the mirror


@_house
def symmetry_diagram(
    shapes: Mapping[str, tuple[int, int, int]],
    levels: Mapping[str, str] | None = None,
    text_dim: int = 1024,
    fc_width: int | None = None,
    pictures: tuple[Any, Any] | None = None,
) -> Figure:
    """Draw teacher and student as mirror images, every name of one above the same of the other.

    shapes: {name: (C, H, W)} from 'image' to the last pool, in the teacher's order (any VGG).
    levels: {name: 'low' | 'mid' | 'high'}. pictures: (real, generated), each float (3, H, W) in
    0..1, for the two ends. Box heights show resolution, widths the square root of the channels;
    filled boxes have weights, hollow ones none. Raises SDNError for shapes that are no such list.
    """
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
    known = levels_of(levels)
    tallest = 168.0
    top, strip = 62.0, 142.0
    axis_teacher = top + tallest
    axis_student = axis_teacher + strip
    figure, page = _page(axis_student + tallest + 92)
    thick, thin = {"linewidth": 1.5}, {"linewidth": 0.8, "color": "#aab1b8"}

    # Columns: the picture at the far left, then one column a layer.
    left = tallest + 44.0
    pitch = (WIDTH - left - 4) / (len(names) - 1)
    centre = {"image": tallest / 2 + 2}
    centre |= {name: left + pitch * (i + 0.5) for i, name in enumerate(names[1:])}
    widest = max(shape[0] for shape in shapes.values())
    size = shapes["image"][1]

    def box(name: str) -> tuple[float, float]:
        channels, height, _ = shapes[name]
        width = min(pitch - 7, 60) * math.sqrt(channels / widest)
        return (tallest if name == "image" else max(width, 7)), max(tallest * height / size, 6)

    def draw(name: str, upward: bool, learned: bool) -> None:
        width, height = box(name)
        base = axis_teacher if upward else axis_student
        y = base - height if upward else base
        colour = _level_colour(name, known)
        picture = pictures[0 if upward else 1] if pictures and name == "image" else None
        if picture is not None:
            ready = as_images(as_array(picture)[None], "picture")[0]
            _paste(page, ready, centre[name] - width / 2, y, width, height)
            return
        page.add_patch(
            FancyBboxPatch(
                (centre[name] - width / 2 + 2, y + 2), width - 4, height - 4,
                boxstyle="round,pad=2,rounding_size=3", mutation_aspect=1,
                facecolor=colour if learned else "white", edgecolor=colour, **thick, zorder=3,
            )
        )

    for index, name in enumerate(names):
        following = names[index + 1] if index + 1 < len(names) else ""
        draw(name, upward=True, learned=not name.startswith("pool"))
        # In the student a name that heads a block, conv5_4 say, is its pool enlarged: no weights.
        draw(name, upward=False, learned=not following.startswith("pool"))
        x = centre[name]
        page.plot((x, x), (axis_teacher + 3, axis_student - 3), **thin, zorder=1)
        page.text(
            x, (axis_teacher + axis_student) / 2, name, rotation=0 if index == 0 else 90,
            ha="center", va="center", fontsize=SMALL, zorder=4, color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.6},
        )
        if index:
            _, height = box(name)
            page.text(x, axis_teacher - height - 5, str(shapes[name][0]), ha="center",
                      va="bottom", fontsize=9, color=MUTED)

    # Under the student: what each group of boxes shares, its resolution.
    groups: dict[tuple[int, int], list[str]] = {}
    for name in names[1:]:
        groups.setdefault(shapes[name][1:], []).append(name)
    for (height, width), members in groups.items():
        y = axis_student + max(box(member)[1] for member in members)
        x = (centre[members[0]] + centre[members[-1]]) / 2
        label = f"{height}×{width}"
        page.text(x, y + 7, label, ha="center", va="top", fontsize=SMALL, color=MUTED)
    page.text(centre["image"], axis_student + tallest + 7, f"{size}×{shapes['image'][2]}",
              ha="center", va="top", fontsize=SMALL, color=MUTED)
    if not pictures:
        for y, label in ((axis_teacher - tallest / 2, "real\nimage"),
                         (axis_student + tallest / 2, "generated\nimage")):
            page.text(centre["image"], y, label, ha="center", va="center", color="white",
                      fontsize=TEXT, fontweight="bold", zorder=5)

    # Titles and directions use the corner that the small boxes leave free.
    def arrow(start: tuple[float, float], end: tuple[float, float], bend: float = 0) -> None:
        page.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=MUTED,
                            linewidth=1.3, connectionstyle=f"arc3,rad={bend}", zorder=5)
        )

    for middle in (axis_teacher - tallest / 2, axis_student + tallest / 2):
        ends = ((tallest + 10, middle), (left - 4, middle))
        arrow(*(ends if middle < axis_student else ends[::-1]))
    corner = WIDTH - 4
    last = centre[names[-1]]
    foot = axis_student + box(names[-1])[1] + 34
    chain = f"two layers of {fc_width}" if fc_width else "two fully connected layers"
    page.text(corner, foot + 42, f"caption: {text_dim} numbers → {chain}", ha="right", va="center",
              fontsize=SMALL,
              bbox={"boxstyle": "round,pad=0.4", "facecolor": "#f4f5f7", "edgecolor": "#b4bac1"})
    arrow((last, foot + 24), (last, foot - 2))
    for y, who, does in (
        (0, "Teacher", "reads the image, left to right; frozen"),
        (axis_student + tallest - 40, "Student", "paints the image, right to left; learns"),
    ):
        page.text(corner, y, who, ha="right", va="top", fontsize=13, fontweight="bold")
        page.text(corner, y + 32, does, ha="right", va="top", fontsize=SMALL, color=MUTED)

    # The key runs along the bottom.
    y = axis_student + tallest + 76
    x = 4.0
    present = {known[name] for name in names[1:]}
    entries = [(f"{level} level", LEVEL_COLOURS[level], True)
               for level in vgg.LEVELS if level in present]
    entries += [("with weights", MUTED, True), ("without", MUTED, False)]
    for label, colour, filled in entries:
        page.add_patch(Rectangle((x, y - 8), 16, 16, facecolor=colour if filled else "white",
                                 edgecolor=colour, **thick))
        page.text(x + 24, y, label, va="center", fontsize=SMALL, color=MUTED)
        x += 24 + _text_width(label, SMALL) + 28
    page.text(x, y, "number: channels", va="center", fontsize=SMALL, color=MUTED)
    return figure


# ---------------------------------------------------------------- curves and bars


def _curve(log: Sequence[Mapping[str, Any]], label: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    entries = [entry for entry in log if "step" in entry and key in entry]
    if not entries:
        raise SDNError(f"loss_curves: {label!r} has no entry with both 'step' and {key!r}")
    steps = np.array([entry["step"] for entry in entries], dtype=float)
    values = np.array([float(entry[key]) for entry in entries])
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        raise SDNError(f"loss_curves: {label!r} is not finite at step {steps[broken[0]]:.0f}")
    return steps, values


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    window = max(1, min(window, len(values)))
    kernel = np.ones(window)
    # Dividing by what the window holds keeps the ends level instead of drooping to zero.
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


@_house
def loss_curves(
    logs: Mapping[str, Sequence[Mapping[str, Any]]],
    recorded: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    smooth: int = 15,
    log_scale: bool = True,
    key: str = "total",
    ylabel: str = "loss (sum over layers)",
) -> Figure:
    """Plot losses against steps: what was logged faint, its moving average strong.

    logs, recorded: {label: log}, a log a list of dicts with 'step' and `key` (other entries are
    passed over). Recorded runs are dashed, in the colour of the live run of the same label.
    smooth: entries in the moving average. Raises SDNError for a log without such entries or with
    a value that is not finite.
    """
    recorded = recorded or {}
    if not logs and not recorded:
        raise SDNError("loss_curves: no logs to plot")
    colours = _run_colours(dict.fromkeys([*logs, *recorded]))
    figure, axes = _plot(3.4)
    for kind, group, dashes in (("recorded", recorded, (0, (5, 2))), ("live", logs, "-")):
        for label, log in group.items():
            steps, values = _curve(log, label, key)
            note = f"{label} ({kind})" if recorded and logs else label
            axes.plot(steps, values, color=colours[label], alpha=0.22, linewidth=0.8)
            axes.plot(steps, _smooth(values, smooth), color=colours[label], linestyle=dashes,
                      linewidth=2.2 if kind == "live" else 1.6, label=note)
    axes.set(xlabel="step", ylabel=ylabel)
    if log_scale:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high / low < 30:  # too few decades for powers of ten to say anything
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
            axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.legend(loc="upper right")
    return figure


def _layer_bars(
    values: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, Mapping[str, float]] | None,
    ylabel: str,
    levels: Mapping[str, str] | None,
    log_scale: bool,
    what: str,
) -> Figure:
    if not values:
        raise SDNError(f"{what}: nothing to plot")
    known = levels_of(levels)
    first = next(iter(values))
    names = list(values[first])
    for table, kind in ((values, "values"), (errors or {}, "errors")):
        for label, row in table.items():
            if label not in values:
                raise SDNError(f"{what}: errors for {label!r}, which has no values")
            if set(row) != set(names):
                odd = sorted(set(row) ^ set(names))
                raise SDNError(f"{what}: {kind} of {label!r} and {first!r} differ in {odd}")
    figure, axes = _plot(3.5)
    width = 0.82 / len(values)
    strengths = np.linspace(0.4, 1.0, len(values)) if len(values) > 1 else [1.0]
    for index, (label, row) in enumerate(values.items()):
        x = np.arange(len(names)) + (index - (len(values) - 1) / 2) * width
        colours = [_tint(_level_colour(name, known), strengths[index]) for name in names]
        known_spread = errors[label] if errors and label in errors else None
        spread = [float(known_spread[name]) for name in names] if known_spread else None
        axes.bar(x, [float(row[name]) for name in names], width * 0.94, color=colours, yerr=spread,
                 error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 1.5})
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel(ylabel)
    if log_scale:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high / low < 2000:  # over more decades, powers of ten are enough
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_minor_locator(ticker.NullLocator())
            axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    keys = [Patch(color=LEVEL_COLOURS[level], label=f"{level} level")
            for level in vgg.LEVELS if level in {known[name] for name in names}]
    if len(values) > 1:
        keys += [Patch(color=_tint("#444444", strength), label=label)
                 for strength, label in zip(strengths, values, strict=True)]
    axes.legend(handles=keys, ncols=len(keys), loc="lower center", bbox_to_anchor=(0.5, 1.0),
                columnspacing=1.2, handlelength=1.2)
    return figure


@_house
def layer_losses(
    losses: Mapping[str, Mapping[str, float]],
    levels: Mapping[str, str] | None = None,
    log_scale: bool = False,
    ylabel: str = "loss",
) -> Figure:
    """Draw each layer's loss as a bar, coloured by level, the labels side by side.

    losses: {label: {layer: value}}, every label over the same layers; later labels are darker.
    Raises SDNError naming the layers in which labels differ.
    """
    return _layer_bars(losses, None, ylabel, levels, log_scale, "layer_losses")


@_house
def gap_bars(
    gaps: Mapping[str, Mapping[str, float]],
    error: Mapping[str, Mapping[str, float]] | None = None,
    ylabel: str = "gap",
    levels: Mapping[str, str] | None = None,
    log_scale: bool = False,
) -> Figure:
    """Draw a gap layer by layer, before and after, with error bars where they are given.

    gaps, error: {label: {layer: value}}; later labels are darker. Raises SDNError naming the
    layers in which they differ.
    """
    return _layer_bars(gaps, error, ylabel, levels, log_scale, "gap_bars")


@_house
def attribute_bars(
    runs: Mapping[str, Mapping[str, float]],
    ceiling: Mapping[str, float] | float | None = None,
    chance: Mapping[str, float] | float | None = None,
) -> Figure:
    """Draw the accuracy of each attribute for each run, between chance and the ceiling.

    runs: {run: {attribute: accuracy in 0..1}}. ceiling (real images) and chance: one number, or
    {attribute: number}. Raises SDNError naming the attributes in which they differ.
    """
    if not runs:
        raise SDNError("attribute_bars: no runs to plot")
    first = next(iter(runs))
    names = list(runs[first])
    marks = {
        label: mark if isinstance(mark, Mapping) else dict.fromkeys(names, float(mark))
        for label, mark in (("real images", ceiling), ("chance", chance))
        if mark is not None
    }
    for label, row in [*runs.items(), *marks.items()]:
        if set(row) != set(names):
            odd = sorted(set(row) ^ set(names))
            raise SDNError(f"attribute_bars: {label!r} and {first!r} differ in {odd}")
    colours = _run_colours(runs)
    rows = np.arange(len(names))
    height = 0.8 / len(runs)
    tall = 0.8 + len(names) * max(0.3, 0.13 * len(runs) + 0.1)
    figure, axes = _plot(tall)
    for index, (label, row) in enumerate(runs.items()):
        y = rows + (index - (len(runs) - 1) / 2) * height
        axes.barh(y, [row[name] for name in names], height * 0.9, color=colours[label],
                  label=label)
    for label, dashes in (("chance", (0, (1.5, 1.5))), ("real images", "-")):
        if label in marks:
            axes.vlines([marks[label][name] for name in names], rows - 0.44, rows + 0.44,
                        color=INK, linewidth=1.6, linestyle=dashes, label=label)
    axes.set_yticks(rows, [name.replace("_", " ") for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 1), xlabel="accuracy")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    handles, texts = axes.get_legend_handles_labels()
    order = sorted(range(len(texts)), key=lambda index: texts[index] in marks)
    axes.legend([handles[i] for i in order], [texts[i] for i in order],
                ncols=len(runs) + len(marks), loc="lower center", bbox_to_anchor=(0.45, 1.0),
                columnspacing=1.2, handlelength=1.3)
    return figure


# ---------------------------------------------------------------- matrices and maps of points


@_house
def row_scores(
    scores: Mapping[str, Mapping[str, Sequence[float]]],
    marks: Mapping[str, float] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw every run's score as a dot, a line a row and a panel a measure, with the rows' means.

    scores: {measure: {row: values by seed}}; marks: {measure: the score of real pictures}; groups:
    {title: rows}, which are drawn together (default: one group of all rows, without a title).
    Raises SDNError for no scores, or measures whose rows differ.
    """
    if not scores or not all(scores.values()):
        raise SDNError("row_scores: no scores to plot")
    first = next(iter(scores))
    for measure, rows in scores.items():
        if set(rows) != set(scores[first]):
            odd = sorted(set(rows) ^ set(scores[first]))
            raise SDNError(f"row_scores: {measure!r} and {first!r} differ in {odd}")
    figure, panels, places = _row_panels(groups or {"": list(scores[first])}, list(scores))
    for axes, (measure, rows) in zip(panels, scores.items(), strict=True):
        for (_, name), at in places.items():
            values = as_array(rows[name]).astype(float)
            axes.plot(values, np.full(len(values), at), "o", color=PALETTE[0], alpha=0.45,
                      markersize=5, markeredgewidth=0)
            axes.plot(values.mean(), at, "|", color=INK, markersize=11, markeredgewidth=1.6)
        if marks and measure in marks:
            axes.axvline(marks[measure], color=INK, linewidth=1, linestyle=(0, (1.5, 1.5)))
    return figure


def _row_panels(
    groups: Mapping[str, Collection[str]], measures: Sequence[str]
) -> tuple[Figure, Sequence[Any], dict[tuple[str, str], float]]:
    """Return a figure, a panel a measure, and {(group, row): y} of the rows that they share."""
    places, heads, y = {}, {}, 0.0
    for title, rows in groups.items():
        if title:
            heads[title] = y
            y += 0.9
        for name in rows:
            places[title, name] = y
            y += 1
        y += 0.3
    figure = _HouseFigure(figsize=(WIDTH / DPI, 0.7 + 0.235 * y), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)
    figure.get_layout_engine().set(wspace=0.04)
    for axes, measure in zip(panels[0], measures, strict=True):
        axes.set(xlabel=measure, ylim=(y - 0.4, -0.8))
        axes.tick_params(axis="y", length=0)
    axes = panels[0][0]
    axes.set_yticks(
        [*heads.values(), *places.values()], [*heads, *(name for _, name in places)]
    )
    for text in axes.get_yticklabels()[: len(heads)]:
        text.set_fontweight("bold")
    return figure, panels[0], places


@_house
def cost_bars(
    costs: Mapping[str, Mapping[str, Mapping[str, float]]],
    floors: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw what variants cost as bars with their values, a panel a measure, rows in groups.

    costs: {measure: {group: {variant: value}}}; floors: {measure: {group: value}}, what the least
    should be, drawn as a line across the group. Raises SDNError for no costs, or measures whose
    groups or variants differ.
    """
    if not costs or not all(costs.values()):
        raise SDNError("cost_bars: no costs to plot")
    groups = {group: list(rows) for group, rows in next(iter(costs.values())).items()}
    for measure, found in costs.items():
        if {group: list(rows) for group, rows in found.items()} != groups:
            raise SDNError(f"cost_bars: {measure!r} has not the rows {groups}")
    figure, panels, places = _row_panels(groups, list(costs))
    names = dict.fromkeys(name for _, name in places)
    colours = dict(zip(names, (RUN_COLOURS["baseline"], *PALETTE), strict=False))
    for axes, (measure, found) in zip(panels, costs.items(), strict=True):
        for (group, name), at in places.items():
            value = found[group][name]
            axes.barh(at, value, 0.72, color=colours[name])
            axes.annotate(
                f"{value:.3g}", (value, at), (5, 0), textcoords="offset points", va="center",
                fontsize=SMALL, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.14)
        for group, floor in (floors or {}).get(measure, {}).items():
            rows = [at for (title, _), at in places.items() if title == group]
            axes.plot([floor] * 2, [min(rows) - 0.5, max(rows) + 0.5], color=INK, linewidth=1.2,
                      linestyle=(0, (1.5, 1.5)), zorder=2.5)
    return figure


@_house
def heatmap(
    matrix: Any,
    xlabels: Sequence[str],
    ylabels: Sequence[str],
    label: str,
    annotate: bool | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Figure:
    """Draw a matrix as colours, with its numbers when there is room for them.

    matrix: (rows, columns) of finite numbers; ylabels name rows, xlabels columns; label names the
    colour. annotate: None writes numbers up to 12 columns. Raises SDNError if labels do not fit.
    """
    values = as_array(matrix).astype(float)
    if values.ndim != 2 or values.shape != (len(ylabels), len(xlabels)):
        raise SDNError(
            f"heatmap: matrix is {values.shape}, but there are {len(ylabels)} row labels "
            f"and {len(xlabels)} column labels"
        )
    if annotate is None:
        annotate = values.shape[1] <= 12
    tall = min(max(1.3 + 0.27 * values.shape[0], 2.4), 7.2)
    figure, axes = _plot(tall)
    image = axes.imshow(values, aspect="auto", vmin=vmin, vmax=vmax, interpolation="nearest")
    axes.set_xticks(range(len(xlabels)), xlabels, rotation=45 if len(xlabels) > 6 else 0,
                    ha="right" if len(xlabels) > 6 else "center", rotation_mode="anchor",
                    parse_math=False)
    if len(xlabels) <= 6:
        axes.tick_params(axis="x", pad=12)
    axes.set_yticks(range(len(ylabels)), ylabels, parse_math=False)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05, aspect=8 * tall)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if annotate:
        for (row, column), value in np.ndenumerate(values):
            bright = image.norm(value) > 0.6
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9,
                      color=INK if bright else "white")
    return figure


@_house
def thumbnails_scatter(
    points: Any,
    images: Any,
    colours: Sequence[str] | None = None,
    legend: Mapping[str, str] | None = None,
    thumbnail: int = 44,
) -> Figure:
    """Draw every picture at its point, a map of what lies near what.

    points: (N, 2). images: float (N, 3, H, W) in 0..1 or uint8 (N, H, W, 3). colours: N frame
    colours, which `legend` {label: colour} explains. thumbnail: side in pixels of the 1080-pixel
    figure. Raises SDNError if the lengths differ.
    """
    places, pictures = as_array(points).astype(float), as_images(images)
    if places.ndim != 2 or places.shape[1] != 2 or len(places) != len(pictures):
        raise SDNError(
            f"thumbnails_scatter: points are {places.shape} for {len(pictures)} images; "
            f"expected ({len(pictures)}, 2)"
        )
    if colours is not None and len(colours) != len(places):
        raise SDNError(f"thumbnails_scatter: {len(places)} points but {len(colours)} colours")
    figure, axes = _plot(5.6)
    axes.scatter(*places.T, s=0)
    axes.margins(0.06)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    for index, (place, picture) in enumerate(zip(places, pictures, strict=True)):
        inset = OffsetImage(picture, zoom=_points(thumbnail) / picture.shape[1],
                            interpolation="bilinear")
        edge = colours[index] if colours is not None else "#b4bac1"
        axes.add_artist(AnnotationBbox(
            inset, tuple(place), pad=0.08,
            bboxprops={"edgecolor": edge, "linewidth": 1.6 if colours is not None else 0.6},
        ))
    if legend:
        axes.legend(handles=[Patch(color=colour, label=label) for label, colour in legend.items()],
                    ncols=min(len(legend), 6), loc="upper center", bbox_to_anchor=(0.5, 0.0))
    return figure
