"""What an interactive is made of: controls, and frames of labelled pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sdn_lib.captions import LENGTH, CaptionWarning, remarks
from sdn_lib.errors import SDNError

KINDS = ("select", "slider", "buttons")


@dataclass(frozen=True)
class Control:
    """One thing that the reader can set: a name, a visible label and the values it takes.

    kind: 'select' (a list), 'slider' or 'buttons'. default: one of the values, '' for the first.
    play: milliseconds a step when a slider has a play button, else 0. Raises SDNError otherwise.
    """

    name: str
    label: str
    values: tuple[str, ...]
    kind: str = "select"
    default: str = ""
    play: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if self.kind not in KINDS:
            raise SDNError(
                f"control {self.name!r}: kind {self.kind!r} is none of {', '.join(KINDS)}"
            )
        if not self.values or len(set(self.values)) != len(self.values):
            raise SDNError(f"control {self.name!r}: values must be distinct, got {self.values}")
        if not self.default:
            object.__setattr__(self, "default", self.values[0])
        if self.default not in self.values:
            raise SDNError(
                f"control {self.name!r}: default {self.default!r} is none of its values, "
                f"{', '.join(self.values)}"
            )
        if self.play and self.kind != "slider":
            raise SDNError(f"control {self.name!r}: only a slider can play")


@dataclass(frozen=True)
class Panel:
    """A labelled row of pictures: uint8 arrays (H, W, 3), or (H, W, 4) where parts are clear."""

    label: str
    images: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tuple(self.images))
        if not self.images:
            raise SDNError(f"panel {self.label!r} has no images")
        for image in self.images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
                raise SDNError(
                    f"panel {self.label!r}: an image must be uint8 (H, W, 3) or (H, W, 4), "
                    f"got {image.dtype} {image.shape}"
                )


@dataclass(frozen=True)
class Frame:
    """What one combination shows: panels, a line of text, and a warning about a typed text."""

    panels: tuple[Panel, ...]
    text: str = ""
    warning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", tuple(self.panels))
        if not self.panels:
            raise SDNError("a frame needs at least one panel")

    @property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """Return ((panel label, number of images), ...), which all frames of an Explorer share."""
        return tuple((panel.label, len(panel.images)) for panel in self.panels)


def typed(caption: str, panels_of: Callable[[str], tuple[Panel, ...]]) -> Frame:
    """Return the frame of a caption that a reader typed, with remarks on what cannot be read of it.

    The caption is shown as far as it is read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaptionWarning)  # the frame says it
        panels = panels_of(caption)
    shown = caption if len(caption) <= LENGTH else f"{caption[:LENGTH]}..."
    return Frame(panels, shown, " ".join(f"Note: {remark}." for remark in remarks(caption)))
