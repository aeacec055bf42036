"""Networks as files that a page of the book loads: quantised, and in the order that it reads.

A file is a script, as a page that is opened from disk may load no other kind: a call of
`sdnLive.receive(name, header, data)`. `data` is base64 of gzip of little-endian numbers; the header
lists the tensors, each with its place, and what the engine has to do with them. A matrix has a row
for each output: whole numbers of BITS bits, first the high byte of all of them and then the low
one, as gzip finds more to save so; and a float32 a row, by which they are multiplied.
"""

from __future__ import annotations

import base64
import copy
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdn_lib import files
from sdn_lib.captions import ALPHABET, LENGTH
from sdn_lib.errors import SDNError
from sdn_lib.student import Student
from sdn_lib.text import CharCNNRNN

BITS = 11
"""Bits of a weight: with 8, single places of a picture came out wrong by 15 of 255."""

AXES = 64
"""Axes along which the captions nearest to a reader's are looked for."""


def quantise(matrix: np.ndarray, bits: int = BITS) -> tuple[np.ndarray, np.ndarray]:
    """Return the int16 numbers (rows, n) and float32 scales (rows,) nearest to a matrix (rows, n).

    The largest of a row becomes the largest number of that many bits.
    """
    largest = 2 ** (bits - 1) - 1
    scales = (np.abs(matrix).max(1) / largest).astype(np.float32)
    whole = np.rint(matrix / np.where(scales > 0, scales, 1)[:, None])
    return whole.clip(-largest, largest).astype("<i2"), scales


@torch.no_grad()
def quantised(network: Any) -> Any:
    """Return a copy of a network with the weights that its file holds; biases stay as they are."""
    network = copy.deepcopy(network)
    for name, parameter in network.named_parameters():
        if "bias" not in name:
            whole, scales = quantise(parameter.flatten(1).cpu().numpy())
            values = whole.astype(np.float32) * scales[:, None]
            parameter.copy_(torch.from_numpy(values).view_as(parameter))
    return network


def write_text(encoder: CharCNNRNN, path: Path) -> int:
    """Write a text encoder for the page and return the size of the file in bytes.

    Raises SDNError for another variant than 'icml'.
    """
    if encoder.variant != "icml":
        raise SDNError(f"the page reads with the variant 'icml', not with {encoder.variant!r}")
    tensors: dict[str, np.ndarray] = {}
    convolutions = [layer for layer in encoder.convolutions if isinstance(layer, nn.Conv1d)]
    for k, conv in enumerate(convolutions):
        tensors[f"conv{k + 1}"] = _rows(conv.weight.permute(0, 2, 1))
        tensors[f"conv{k + 1}.bias"] = _vector(conv.bias)
    for part in ("ih", "hh"):
        tensors[f"gru.{part}"] = _rows(getattr(encoder.recurrent, f"weight_{part}_l0"))
        tensors[f"gru.{part}.bias"] = _vector(getattr(encoder.recurrent, f"bias_{part}_l0"))
    tensors["project"], tensors["project.bias"] = (
        _rows(encoder.project.weight),
        _vector(encoder.project.bias),
    )
    facts = {"alphabet": ALPHABET, "length": LENGTH, "kernel": 4, "pool": 3}
    return write(path, "text", tensors, facts)


def write_student(student: Student, name: str, path: Path) -> int:
    """Write a student, batch norm folded, and return the size of the file in bytes.

    The header's `layers` say in the order of the walk what each is: 'dense', 'enlarged' or 'conv',
    with its shape (height, width, channels). Raises SDNError for a student of the authors' output,
    and for one that still has batch norm.
    """
    if student.output != "unit" or len(student.norms):
        raise SDNError("the page paints with students of output 'unit' whose norm is folded")
    tensors, layers = {}, []
    for layer, fc in student.fcs.items():
        weight, bias = fc.parameters()
        tensors[layer], tensors[f"{layer}.bias"] = _rows(weight), _vector(bias)
        channels, height, width = student.shapes.get(layer, (len(bias), 1, 1))
        layers.append({"name": layer, "kind": "dense", "shape": [height, width, channels]})
    for made in reversed(student.table[:-1]):
        channels, height, width = student.shapes[made.name]
        kind = "conv" if made.name in student.convs else "enlarged"
        layers.append({"name": made.name, "kind": kind, "shape": [height, width, channels]})
        if kind == "conv":
            weight, bias = student.convs[made.name].parameters()
            tensors[made.name] = _rows(weight.permute(0, 2, 3, 1))
            tensors[f"{made.name}.bias"] = _vector(bias)
    return write(path, name, tensors, {"layers": layers})


def write(
    path: Path, name: str, tensors: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> int:
    """Write named matrices, quantised, and vectors, float32, as one script; return its size."""
    data, places = bytearray(), []

    def add(raw: bytes) -> int:
        at = len(data)
        data.extend(raw + b"\0" * (-len(raw) % 4))  # float32 begins at a multiple of four
        return at

    for label, array in tensors.items():
        place: dict[str, Any] = {"name": label, "shape": list(array.shape)}
        if array.ndim == 1:
            place["at"] = add(array.astype("<f4").tobytes())
        else:
            whole, scales = quantise(array)
            planes = np.frombuffer(whole.tobytes(), np.uint8).reshape(-1, 2)
            place["at"] = add(planes[:, 1].tobytes() + planes[:, 0].tobytes())
            place["scales"] = add(scales.astype("<f4").tobytes())
        places.append(place)
    header = {**facts, "tensors": places, "bytes": len(data), "crc32": zlib.crc32(data)}
    packed = base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
    body = f'{json.dumps(name)},{json.dumps(header)},"{packed}"'
    files.write_text(path, f"sdnLive.receive({body});\n")
    return path.stat().st_size


def _rows(weight: Tensor) -> np.ndarray:
    return weight.detach().cpu().float().flatten(1).numpy()


def _vector(bias: Tensor | None) -> np.ndarray:
    if bias is None:
        raise SDNError("the page expects layers with a bias")
    return bias.detach().cpu().float().numpy()


def write_nearest(embeddings: np.ndarray, captions: Sequence[str], path: Path) -> int:
    """Write captions (n) and their embeddings (n, d) as points along AXES axes; return the size.

    The axes are those of largest variance; each point has length 1 along them, so that a product
    is a cosine.
    """
    middle = embeddings.mean(0)
    _, _, directions = np.linalg.svd(embeddings - middle, full_matrices=False)
    points = (embeddings - middle) @ directions[:AXES].T
    points /= np.linalg.norm(points, axis=1, keepdims=True) + 1e-9
    tensors = {
        "axes": directions[:AXES].astype(np.float32),
        "points": points.astype(np.float32),
        "middle": middle.astype(np.float32),
    }
    return write(path, "nearest", tensors, {"captions": list(captions)})
