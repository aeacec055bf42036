"""Weights of a VGG trunk from elsewhere, brought into the one form that this library reads.

=========== ======================================= ================ =======================
from        file                                    preprocessing    colours
=========== ======================================= ================ =======================
torchvision vgg11, vgg13, vgg16, vgg19, a .pth      'imagenet'       RGB, 0..1, mean and sd
MatConvNet  imagenet-vgg-verydeep-16.mat, -19.mat   'matconvnet'     RGB, 0..255, minus mean
state dict  .pth, .safetensors; torchvision's keys  any of the above as it was trained
=========== ======================================= ================ =======================
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sdn_lib import files, vgg
from sdn_lib.errors import SDNError, first_line, near
from sdn_lib.learning import checkpoints
from sdn_lib.teacher import PREPROCESSING, Teacher

ORDERS = ("hw", "wh")


def torchvision_file(depth: int) -> tuple[str, str]:
    """Return address and SHA-256 prefix of torchvision's ImageNet weights of VGG `depth`."""
    import torchvision

    vgg.layers(depth)
    address = torchvision.models.get_model_weights(f"vgg{depth}").IMAGENET1K_V1.url
    return address, address.rsplit("-", 1)[1].removesuffix(".pth")


def download(depth: int = 19) -> Path:
    """Return torchvision's ImageNet weights of VGG `depth`, from torch.hub's cache or the network.

    Raises SDNError that says where the file is to be had and where to put it when it cannot be
    downloaded.
    """
    address, prefix = torchvision_file(depth)
    path = Path(torch.hub.get_dir()) / "checkpoints" / address.rsplit("/", 1)[1]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), hash_prefix=prefix)
        except (OSError, RuntimeError) as error:
            raise SDNError(
                f"{address} could not be downloaded ({error}): fetch it by hand and put it at "
                f"{path}, or name the file instead"
            ) from None
    return path


def convert(
    source: str | Path,
    target: str | Path,
    depth: int = 19,
    preprocessing: str | None = None,
    sha256: str | None = None,
    order: str | None = None,
) -> dict[str, Any]:
    """Bring the weights `source` into `target`, a safetensors file, and return what it records.

    `source` is 'torchvision' or a file: MatConvNet's .mat, or a .pth, .pt or .safetensors with
    torchvision's keys. `preprocessing` is what the weights were trained with; by default
    'matconvnet' for a .mat, else 'imagenet'. `sha256` is the file's checksum or its beginning; a
    name that ends in a dash and eight hexadecimal digits, as torchvision's do, states its own.
    `order` says which side of a .mat's kernels comes first, 'hw' (the default) or 'wh'. Raises
    SDNError that names the file for a wrong checksum, a damaged file, another network, or an order
    where there is no .mat; `target` is written whole or not at all.
    """
    path = download(depth) if source == "torchvision" else Path(source)
    if not path.is_file():
        raise SDNError(f"{path} is missing: name a weights file, or 'torchvision'")
    found = files.checksum(path)
    wanted = sha256 or _stated(path)
    if wanted and not found.startswith(wanted.lower()):
        raise SDNError(
            f"{path} has the SHA-256 {found}, wanted {wanted}: it is damaged or another file; "
            "fetch it again"
        )
    matlab = path.suffix == ".mat"
    preprocessing = preprocessing or ("matconvnet" if matlab else "imagenet")
    if preprocessing not in PREPROCESSING:
        raise SDNError(
            f"unknown preprocessing {preprocessing!r}: {near(preprocessing, PREPROCESSING)}"
        )
    if order and not matlab:
        raise SDNError(f"{path} is no .mat, whose kernels have an order: leave it out")
    order = order or "hw"
    pairs = read_matconvnet(path, order) if matlab else read_state_dict(path)
    teacher = _teacher(path, pairs, depth)
    meta = {
        "network": f"vgg{depth}",
        "preprocessing": preprocessing,
        "file": path.name,
        "sha256": found,
        "checked": bool(wanted),
        **({"order": order} if matlab else {}),
    }
    checkpoints.save(target, teacher.state_dict(), meta)
    return meta


def load(path: str | Path, pooling: str = "avg", preprocessing: str | None = None) -> Teacher:
    """Return the frozen teacher of a file that `convert` wrote.

    `preprocessing` is the one recorded there unless it is named; only 'authors' may differ from
    it, for that is what the authors' code does. Raises SDNError otherwise.
    """
    meta = read_meta(path)
    recorded = meta["preprocessing"]
    if preprocessing not in (None, recorded, "authors"):
        raise SDNError(
            f"{path} was trained with preprocessing {recorded!r}, not {preprocessing!r}: leave it "
            "out, or convert the weights again"
        )
    depth = int(meta["network"].removeprefix("vgg"))
    teacher = Teacher(depth, 1.0, pooling, preprocessing or recorded)
    checkpoints.load_weights(path, teacher)
    return teacher.freeze()


def read_meta(path: str | Path) -> dict[str, Any]:
    """Return what `convert` noted in a file; SDNError for a file that it did not write."""
    meta = checkpoints.read_meta(path)
    if "preprocessing" not in meta or "sha256" not in meta:
        raise SDNError(f"{path} does not say how its weights see pictures: make it with convert")
    return meta


def read_state_dict(path: str | Path) -> list[tuple[Tensor, Tensor]]:
    """Return (weight, bias) of each convolution 'features.N' of a state dict, in order.

    Reads .safetensors, or a pickle of tensors and nothing else; a classifier is ignored. Raises
    SDNError that names the file.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            state: Mapping[str, Tensor] = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise SDNError(f"{path} is no state dict, or damaged ({first_line(error)})") from None
    except pickle.UnpicklingError as error:
        line = first_line(error)
        raise SDNError(f"{path} holds more than tensors and was not read ({line})") from None
    if not isinstance(state, Mapping):
        raise SDNError(f"{path} holds a {type(state).__name__}, not a state dict")
    numbers = sorted(
        int(key.split(".")[1])
        for key in state
        if isinstance(key, str)
        and key.startswith("features.")
        and key.endswith(".weight")
        and key.split(".")[1].isdigit()
    )
    if not numbers:
        raise SDNError(f"{path} has no 'features.N.weight': it is no VGG of torchvision's form")
    pairs = []
    for number in numbers:
        bias = state.get(f"features.{number}.bias")
        if bias is None:
            raise SDNError(f"{path} has no 'features.{number}.bias'")
        pair = state[f"features.{number}.weight"], bias
        if not all(isinstance(value, Tensor) for value in pair):
            raise SDNError(f"{path}: features.{number} holds something else than tensors")
        pairs.append(pair)
    return pairs


def read_matconvnet(path: str | Path, order: str = "hw") -> list[tuple[Tensor, Tensor]]:
    """Return (weight, bias) of each 3x3 convolution of a MatConvNet model, in order.

    A model is a cell of layers; a convolution has `weights` {kernels, biases}, or in older files
    `filters` and `biases`. Kernels are (height, width, in, out) for `order` 'hw'; MatConvNet's
    manual says in one sentence that the width comes first ('wh'). Raises SDNError that names the
    file. Source: vlfeat.org/matconvnet, vl_nnconv.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if order not in ORDERS:
        raise SDNError(f"unknown order {order!r}: {near(order, ORDERS)}")
    try:
        model = loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=["layers"])
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise SDNError(f"{path} is no MATLAB 5 file, or damaged ({first_line(error)})") from None
    layers = np.atleast_1d(model.get("layers", np.array([])))
    if not layers.size:
        raise SDNError(f"{path} has no 'layers': it is no MatConvNet model")
    pairs = []
    for number, layer in enumerate(layers.ravel()):
        if getattr(layer, "type", None) != "conv":
            continue
        name = getattr(layer, "name", f"layer {number}")
        if hasattr(layer, "weights"):
            parts = list(np.atleast_1d(layer.weights))
        else:
            parts = [getattr(layer, part, None) for part in ("filters", "biases")]
        if len(parts) != 2 or getattr(parts[0], "ndim", 0) != 4:
            raise SDNError(f"{path}: {name} has no kernels of four dimensions and biases")
        kernels = np.asarray(parts[0], dtype=np.float32)
        if kernels.shape[:2] != (3, 3):
            break  # fc6 and what follows
        axes = (3, 2, 0, 1) if order == "hw" else (3, 2, 1, 0)
        weight = np.ascontiguousarray(kernels.transpose(axes))
        bias = np.array(parts[1], dtype=np.float32).reshape(-1)
        pairs.append((torch.from_numpy(weight), torch.from_numpy(bias)))
    if not pairs:
        raise SDNError(f"{path} has no 3x3 convolution: it is no VGG")
    return pairs


def _teacher(path: Path, pairs: list[tuple[Tensor, Tensor]], depth: int) -> Teacher:
    teacher = Teacher(depth)
    if len(pairs) != len(teacher.convs):
        raise SDNError(
            f"{path} holds {len(pairs)} convolutions, VGG{depth} has {len(teacher.convs)}: choose "
            "another depth, or weights without batch norm"
        )
    for (name, conv), (weight, bias) in zip(teacher.convs.items(), pairs, strict=True):
        for target, value in zip(conv.parameters(), (weight, bias), strict=True):
            if value.shape != target.shape:
                raise SDNError(
                    f"{path}: {name} of VGG{depth} needs {tuple(target.shape)}, the file has "
                    f"{tuple(value.shape)}: choose another depth"
                )
            if not torch.isfinite(value).all():
                raise SDNError(f"{path}: {name} holds a number that is not finite")
            with torch.no_grad():
                target.copy_(value)
    return teacher


def _stated(path: Path) -> str | None:
    digits = path.stem.rpartition("-")[2].lower()
    return digits if len(digits) == 8 and not digits.strip("0123456789abcdef") else None
