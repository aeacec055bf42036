"""Pictures as bytes, and as text that a page can hold."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

LEAST_PSNR = 27.0
"""Decibels. At 64 pixels quality 80 looks the same as the original; the ratio is as low as this
because halved colour resolution blunts edges."""


def data_uri(image: np.ndarray) -> str:
    """Return a picture as a WebP data URI, in the smallest form that is good enough.

    image: uint8 (H, W, 3 or 4). Lossy wins over lossless only if its peak signal-to-noise ratio is
    `LEAST_PSNR` or more.
    """
    picture = Image.fromarray(image)
    best = encode(picture, "WEBP", lossless=True, quality=80, method=3)
    for quality in (80, 92):
        lossy = encode(picture, "WEBP", quality=quality, method=5, use_sharp_yuv=True)
        if len(lossy) >= len(best):
            break
        back = np.asarray(Image.open(io.BytesIO(lossy)).convert(picture.mode), dtype=float)
        seen = (image[..., 3:] > 0) if image.shape[2] == 4 else np.ones_like(image[..., :1])
        error = ((back - image)[..., :3] ** 2 * seen).sum() / max(3 * seen.sum(), 1)
        if 10 * math.log10(255**2 / max(error, 1e-9)) >= LEAST_PSNR:
            best = lossy
            break
    return f"data:image/webp;base64,{base64.b64encode(best).decode()}"


def encode(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Return a picture as the bytes of a file, with Pillow's options for its kind."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def beside(pictures: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Join uint8 (H, W, 3) pictures side by side, with white gaps."""
    tall = max(picture.shape[0] for picture in pictures)
    wide = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    canvas = np.full((tall, wide, 3), 255, dtype=np.uint8)
    x = 0
    for picture in pictures:
        canvas[: picture.shape[0], x : x + picture.shape[1]] = picture
        x += picture.shape[1] + gap
    return canvas


def below(pictures: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Join uint8 (H, W, 3) pictures one under the other, with white gaps."""
    turned = [picture.transpose(1, 0, 2) for picture in pictures]
    return beside(turned, gap).transpose(1, 0, 2).copy()
