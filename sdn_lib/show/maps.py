"""Activations as pictures, in rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sdn_lib.errors import SDNError
from sdn_lib.show.arrays import as_activation, strongest
from sdn_lib.show.layout import line_height, new_page, paste
from sdn_lib.show.style import GAP, MUTED, SMALL, TEXT, WIDTH, in_house_style, level_colour


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
