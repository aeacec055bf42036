"""Pictures beside each other with their captions, as HTML that fits a page and a phone."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sdn_lib.errors import SDNError
from sdn_lib.show.arrays import as_images
from sdn_lib.show.encoding import data_uri

_CSS = resources.files(__package__).joinpath("gallery.css").read_text(encoding="utf-8")


class Gallery:
    """Pictures that a notebook or a page shows; captions are text, which wraps as the page does.

    `cells` is HTML in reading order, `kind` a class of gallery.css and `counts` its numbers: of
    columns, where there is room and on a `narrow` page.
    """

    def __init__(self, kind: str, cells: Sequence[str], **counts: int) -> None:
        self.kind, self.cells, self.counts = kind, cells, counts

    def __repr__(self) -> str:
        return f"<Gallery of {sum('<img' in cell for cell in self.cells)} pictures>"

    def _repr_html_(self) -> str:
        counts = ";".join(f"--sdn-{name}:{count}" for name, count in self.counts.items())
        return (
            f'<div class="sdn-gallery"><style>{_CSS}</style>'
            f'<div class="{self.kind}" style="{counts}">{"".join(self.cells)}</div></div>'
        )


def image_grid(images: Any, titles: Sequence[str] | None = None, columns: int = 8) -> Gallery:
    """Show pictures in rows, each with its caption under it.

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
    cells = [
        _cell(picture, title or f"{number} of {count}", title)
        for number, (picture, title) in enumerate(
            zip(pictures, titles or [""] * count, strict=True), start=1
        )
    ]
    narrow = columns if columns <= 3 else math.ceil(columns / 2)
    return Gallery("sdn-pictures", cells, columns=columns, narrow=narrow)


def compare_rows(rows: Mapping[str, Any], captions: Sequence[str] | None = None) -> Gallery:
    """Show the same samples row by row (real, pixel-only, stage one, ...), a caption a column.

    rows: {label: images}, each float (N, 3, H, W) in 0..1 or uint8 (N, H, W, 3), the same N.
    captions: N strings, above the columns; 6 columns read best. On a phone a sample is a row.
    Raises SDNError naming the row that differs.
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
    names = {label: label.replace("_", " ") for label in pictures}
    cells = [f'<b class="sdn-head">{html.escape(name)}</b>' for name in names.values()]
    if captions is not None:
        cells.insert(0, '<span class="sdn-head"></span>')
    for column in range(count):
        which = f"{column + 1} of {count}" if captions is None else captions[column]
        if captions is not None:
            cells.append(f'<span class="sdn-caption">{html.escape(which)}</span>')
        cells += [
            _cell(pictures[label][column], f"{name}: {which}", name)
            for label, name in names.items()
        ]
    deep = len(rows)
    narrow = deep if deep <= 4 else math.ceil(deep / 2)
    if captions is None:
        narrow *= max(1, 4 // narrow)
    lines = deep + (captions is not None)
    return Gallery("sdn-samples", cells, columns=count, rows=lines, narrow=max(2, narrow))


def rows_figure(rows: Mapping[str, Any], captions: Sequence[str]) -> Figure:
    """Return the pictures of `compare_rows` as a figure: for a file that no page shows."""
    pictures = {label: as_images(images, f"row {label!r}") for label, images in rows.items()}
    count = len(captions)
    figure = Figure(figsize=(1.5 * count + 1, 1.5 * len(rows) + 2), layout="constrained")
    axes = figure.subplots(len(rows), count, squeeze=False)
    for place, caption in zip(axes[0], captions, strict=True):
        place.set_title(textwrap.fill(caption, 20), fontsize=9)
    for line, (label, of) in zip(axes, pictures.items(), strict=True):
        line[0].set_ylabel(label, fontsize=11)
        for place, picture in zip(line, of, strict=True):
            place.imshow(picture)
            place.set(xticks=[], yticks=[], frame_on=False)
    return figure


def _cell(picture: np.ndarray, alt: str, label: str) -> str:
    height, width = picture.shape[:2]
    text = f'<span class="sdn-label">{html.escape(label)}</span>' if label else ""
    return (
        f'<div><img class="dark-light" src="{data_uri(picture)}" '
        f'width="{width}" height="{height}" alt="{html.escape(alt)}">{text}</div>'
    )
