"""Pictures, and activations as pictures, in rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sdn_lib.errors import SDNError
from sdn_lib.show.arrays import as_activation, as_images, strongest
from sdn_lib.show.layout import fit_cell, line_height, new_page, paste, text_width, wrap, write
from sdn_lib.show.style import GAP, MUTED, SMALL, TEXT, WIDTH, in_house_style, level_colour


@in_house_style
def image_grid(images: Any, titles: Sequence[str] | None = None, columns: int = 8) -> Figure:
    """Show pictures in rows, each with its caption wrapped under it.

    images: float (N, 3, H, W) in 0..1 or uint8 (N, H, W, 3). titles: N strings. Raises SDNError
    on a mismatch.
    """
    pictures = as_images(images)
    count = len(pictures)
    if count == 0:
        raise SDNError("image_grid: no images to show")
    if titles is not None and len(titles) != count:
        raise SDNError(f"image_grid: {count} images but {len(titles)} titles")
    columns = max(1, min(columns, count))
    cell = (WIDTH - GAP * (columns - 1)) // columns
    width, height = fit_cell(pictures.shape[1:], min(cell, 320))
    column = cell if titles else width
    wrapped = [wrap(title, cell - 2) for title in titles or [""] * count]
    rows = [range(start, min(start + columns, count)) for start in range(0, count, columns)]
    text = [
        max(len(wrapped[i]) for i in row) * line_height() + GAP if titles else 0 for row in rows
    ]
    between = GAP * (1 + bool(titles))
    figure, page = new_page(len(rows) * height + sum(text) + between * (len(rows) - 1))
    left = int((WIDTH - columns * column - GAP * (columns - 1)) / 2)
    y = 0
    for row, text_height in zip(rows, text, strict=True):
        for place, index in enumerate(row):
            x = left + place * (column + GAP)
            paste(page, pictures[index], x + (column - width) // 2, y, width, height)
            write(page, x + column / 2, y + height + GAP / 2, wrapped[index])
        y += height + text_height + between
    return figure


@in_house_style
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
    labels = {label: wrap(label.replace("_", " "), 130, TEXT) for label in pictures}
    longest = max(text_width(line, TEXT) for lines in labels.values() for line in lines)
    margin = int(longest * 1.13) + 3 * GAP  # bold letters are wider than those measured
    cell = min((WIDTH - margin - GAP * (count - 1)) // count, 256)
    wrapped = [wrap(caption, cell - 4) for caption in captions or []]
    top = max((len(lines) for lines in wrapped), default=0) * line_height() + GAP * bool(wrapped)
    sizes = {label: fit_cell(array.shape[1:], cell) for label, array in pictures.items()}
    figure, page = new_page(top + sum(h for _, h in sizes.values()) + GAP * (len(rows) - 1))
    for column, lines in enumerate(wrapped):
        x = margin + column * (cell + GAP) + cell / 2
        write(page, x, top - GAP - len(lines) * line_height(), lines)
    y = top
    for label, array in pictures.items():
        width, height = sizes[label]
        page.text(margin - 1.5 * GAP, y + height / 2, "\n".join(labels[label]), ha="right",
                  va="center", fontsize=TEXT, fontweight="bold", parse_math=False)
        for column in range(count):
            x = margin + column * (cell + GAP) + (cell - width) // 2
            paste(page, array[column], x, y, width, height)
        y += height + GAP
    return figure


@in_house_style
def activation_maps(
    activations: Mapping[str, Any],
    layers: Sequence[str] | None = None,
    channels: int = 8,
) -> Figure:
    """Show, a row a layer, the mean map and the channels that respond most, each on its own scale.

    activations: {layer: (C, H, W)} of one picture; 'image' (3, H, W) is shown in colour.
    layers: which, in order (default: all). Raises SDNError for an unknown layer or wrong shape.
    """
    layers = list(layers if layers is not None else activations)
    missing = [name for name in layers if name not in activations]
    if missing:
        raise SDNError(f"activation_maps: no layer {missing[0]!r}; have {', '.join(activations)}")
    margin, shown = 165, channels + 1
    cell = (WIDTH - margin - GAP * shown - 16) // shown
    heading = line_height(SMALL) + GAP
    figure, page = new_page(heading + len(layers) * (cell + GAP) - GAP)
    page.text(margin + cell / 2, heading - GAP, "mean", ha="center", va="bottom", fontsize=SMALL)
    page.text(margin + cell + 24, heading - GAP, "channels that respond most, strongest first",
              va="bottom", fontsize=SMALL)
    for row, name in enumerate(layers):
        maps = as_activation(activations[name], name)
        y = heading + row * (cell + GAP)
        shape = " × ".join(str(side) for side in maps.shape)
        colour = level_colour(name)
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


def _paste_map(page: Axes, values: np.ndarray, x: float, y: float, cell: int) -> None:
    """Paste one map over its own range in viridis; whole-number enlargement keeps cells visible."""
    if values.ndim == 2:
        low, high = min(0.0, float(values.min())), float(values.max())
        values = colormaps["viridis"]((values - low) / max(high - low, 1e-12))[..., :3]
    factor = max(1, cell // max(values.shape[:2]))
    big = (values * 255).round().astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)
    paste(page, big, x, y, cell, cell)
