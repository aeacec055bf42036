"""The layer table: the one place that knows VGG's shape.

Teacher, student and losses are all built from `layers`, so that they agree in names and shapes
by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sdn_lib.errors import SDNError

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each of the five blocks, by VGG depth (Simonyan and Zisserman 2015, table 1)."""

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of each block at width 1."""

LEVELS = ("low", "mid", "high")
_LEVEL_OF_BLOCK = ("low", "low", "low", "mid", "mid", "high")  # block 0 is the image


@dataclass(frozen=True)
class Layer:
    """One row of the table: a named tensor of the network.

    `kind` is 'image', 'conv' (after its ReLU) or 'pool'; `block` counts 1..5, 0 for the image;
    `stride` is image pixels a feature pixel; `level` is 'low', 'mid' or 'high'.
    """

    name: str
    kind: str
    block: int
    channels: int
    stride: int
    level: str


def layers(depth: int = 19, width: float = 1.0) -> tuple[Layer, ...]:
    """Return the table from 'image' to 'pool5', in the order in which the teacher computes it.

    `depth` is 11, 13, 16 or 19; `width` multiplies the channels of every block. Raises SDNError
    for another depth, or a width that leaves a block without a channel.
    """
    if depth not in CONVOLUTIONS:
        raise SDNError(f"there is no VGG{depth}: depth must be one of {sorted(CONVOLUTIONS)}")
    if width * CHANNELS[0] < 1:
        raise SDNError(f"width {width} leaves block 1 without a channel: use 1/64 or more")
    table = [Layer("image", "image", 0, 3, 1, _LEVEL_OF_BLOCK[0])]
    blocks = zip(CONVOLUTIONS[depth], CHANNELS, strict=True)
    for block, (convolutions, full) in enumerate(blocks, start=1):
        channels, level = int(full * width), _LEVEL_OF_BLOCK[block]
        for number in range(1, convolutions + 1):
            name = f"conv{block}_{number}"
            table.append(Layer(name, "conv", block, channels, 2 ** (block - 1), level))
        table.append(Layer(f"pool{block}", "pool", block, channels, 2**block, level))
    return tuple(table)


def names(depth: int = 19) -> tuple[str, ...]:
    """Return the layer names from 'image' to 'pool5' (22 of them for VGG19)."""
    return tuple(layer.name for layer in layers(depth))


def shapes(depth: int = 19, width: float = 1.0, size: int = 224) -> dict[str, tuple[int, int, int]]:
    """Return {name: (channels, height, width)} for a square image of `size` pixels.

    Raises SDNError unless `size` is a positive multiple of 32, as five halvings need.
    """
    if size < 32 or size % 32:
        raise SDNError(f"image size {size} must be a positive multiple of 32")
    return {
        layer.name: (layer.channels, size // layer.stride, size // layer.stride)
        for layer in layers(depth, width)
    }


def level_of(depth: int = 19) -> dict[str, str]:
    """Return {name: 'low', 'mid' or 'high'}: the image and blocks 1-2, blocks 3-4, block 5."""
    return {layer.name: layer.level for layer in layers(depth)}
