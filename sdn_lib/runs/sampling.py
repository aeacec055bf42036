"""Pictures of captions, painted by a student, and sheets of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sdn_lib import devices, files
from sdn_lib.errors import SDNError
from sdn_lib.text import CharCNNRNN

BATCH = 128
"""Pictures that are painted at a time."""


def paint(student: nn.Module, encoder: CharCNNRNN, captions: Sequence[str]) -> Tensor:
    """Return pictures of captions, float32 (n, 3, size, size) RGB clamped to 0..1, on the CPU."""
    return paint_embeddings(student, encoder.encode(list(captions)))


@torch.no_grad()
def paint_embeddings(student: nn.Module, text: Tensor) -> Tensor:
    """Return pictures of embeddings (n, text_dim), as `paint` does."""
    with devices.borrowed(student) as device:
        parts = [
            student(part.to(device))["image"].float().clamp(0, 1).cpu()
            for part in text.split(BATCH)
        ]
    return torch.cat(parts)


def painter_of(
    encoder: CharCNNRNN, students: Mapping[str, nn.Module]
) -> Callable[[str], dict[str, np.ndarray]]:
    """Return what paints a caption with every student: {student: uint8 (h, w, 3)}."""

    def painted(caption: str) -> dict[str, np.ndarray]:
        text = encoder.encode([caption])
        return {name: to_uint8(paint_embeddings(s, text))[0] for name, s in students.items()}

    return painted


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Return pictures (n, 3, h, w) in 0..1 as uint8 (n, h, w, 3)."""
    return (pictures.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)


def sheet_of(pictures: Tensor, columns: int, scale: int) -> Image.Image:
    """Return one image, `scale` times as large, of pictures (count, 3, size, size), 0..1."""
    count, _, size, _ = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * columns, size, size, 3), 255, dtype=np.uint8)
    sheet[:count] = to_uint8(pictures)
    sheet = sheet.reshape(rows, columns, size, size, 3).swapaxes(1, 2)
    image = Image.fromarray(sheet.reshape(rows * size, columns * size, 3))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def write_strip(path: Path, pictures: Tensor) -> None:
    """Write pictures (count, 3, size, size), 0..1, side by side as a PNG, whole or not at all."""
    with files.writing(path) as partial:
        sheet_of(pictures, len(pictures), 1).save(partial, format="PNG", optimize=True)


def read_sheet(path: Path, remedy: str) -> np.ndarray:
    """Return a stored image, uint8 (height, width, 3); SDNError where it is missing or damaged."""
    try:
        return np.asarray(Image.open(path).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise SDNError(f"{path} cannot be read ({error}): {remedy}") from None


def read_strip(path: Path, count: int, remedy: str) -> np.ndarray:
    """Return the pictures of a strip, uint8 (count, size, size, 3), as `write_strip` wrote it.

    Raises SDNError, with the remedy, where it is missing, damaged, or of another count.
    """
    strip = read_sheet(path, remedy)
    if strip.shape[1] != count * strip.shape[0]:
        raise SDNError(f"{path} does not hold {count} pictures: {remedy}")
    return np.stack(np.split(strip, count, axis=1))
