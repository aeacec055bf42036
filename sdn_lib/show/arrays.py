"""Tensors, arrays and lists as what can be drawn: pictures, and channels of activations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import colormaps

from sdn_lib.errors import SDNError


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


def as_activation(values: Any, name: str) -> np.ndarray:
    """Return one sample's activation as float32 (C, H, W); raises SDNError for another shape."""
    array = as_array(values)
    if array.ndim != 3:
        raise SDNError(f"activation {name!r}: expected one sample, (C, H, W), got {array.shape}")
    return array.astype(np.float32)


def strongest(activation: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the `count` channels with the largest mean size, largest first.

    activation: (C, H, W). Ties keep the network's own order, so the choice never depends on luck.
    """
    means = np.abs(activation).mean(axis=(1, 2))
    return np.argsort(-means, kind="stable")[:count]


def mosaic(activation: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Lay out channels as one uint8 (H, W, 4) picture in viridis, the gaps transparent.

    activation: (C, H, W). scale: (C,) the value that is drawn brightest. Maps with less than 16
    pixels a side are enlarged by whole factors.
    """
    channels, height, width = activation.shape
    columns = math.ceil(math.sqrt(channels))
    rows = math.ceil(channels / columns)
    brightest = np.maximum(scale, 1e-12)[:, None, None]
    painted = (colormaps["viridis"](np.clip(activation / brightest, 0, 1)) * 255).round()
    factor = max(1, math.ceil(16 / max(height, width)))
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
