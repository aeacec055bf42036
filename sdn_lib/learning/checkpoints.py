"""Safetensors in and out: weights with their config, and the exact state of a running training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sdn_lib import files
from sdn_lib.errors import SDNError


class CheckpointError(SDNError):
    """A checkpoint that is missing, damaged or of another architecture; names file and key."""


def save(path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able `meta` to one safetensors file, atomically."""
    # clone: safetensors refuses tensors that share memory
    plain = {k: t.detach().cpu().contiguous().clone() for k, t in tensors.items()}
    with files.writing(path) as partial:
        try:
            save_file(plain, partial, metadata={"meta": json.dumps(meta)})
        except SafetensorError as error:
            raise CheckpointError(
                f"{path} cannot be written ({error}): is the disk full? The same command goes on "
                "from the last state"
            ) from None


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return (tensors, meta) of a file that `save` wrote; CheckpointError when it is unreadable."""
    with _opened(path) as (file, meta):
        return {key: file.get_tensor(key) for key in file.keys()}, meta


def read_meta(path: str | Path) -> dict[str, Any]:
    """Return the meta of a file that `save` wrote, without its tensors."""
    with _opened(path) as (_, meta):
        return meta


def cached(
    path: str | Path, name: str, key: Mapping[str, Any], make: Callable[[], Tensor]
) -> Tensor:
    """Return the tensor `name` of a file whose meta is `key`; `make` makes it where it is not.

    One process at a time makes it. A file with another key, or a damaged one, is made again.
    """

    def kept() -> Tensor | None:
        try:
            tensors, meta = read(path)
        except CheckpointError:
            return None
        return tensors[name] if meta == key else None

    found = kept()
    if found is None:
        with files.alone(path):
            found = kept()
            if found is None:
                save(path, {name: make()}, key)
                found = read(path)[0][name]
    return found


@contextmanager
def _opened(path: str | Path):
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: train it first, or check the folder's name")
    try:
        with safe_open(path, framework="pt") as file:
            yield file, json.loads((file.metadata() or {}).get("meta", "{}"))
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut short ({error}): delete it and train again, or restore it"
        ) from None


def save_weights(path: str | Path, module: nn.Module, meta: Mapping[str, Any]) -> None:
    """Write a module's weights in float16 (what ships), with `meta` about their making."""
    tensors = {
        key: value.half() if value.is_floating_point() else value
        for key, value in module.state_dict().items()
    }
    save(path, tensors, meta)


def load_weights(path: str | Path, module: nn.Module) -> dict[str, Any]:
    """Load weights into `module`, in its own precision, and return the meta.

    Raises CheckpointError that names the first key that is missing, surplus or of another shape;
    the module is untouched then.
    """
    tensors, meta = read(path)
    fits(path, {k: tuple(t.shape) for k, t in tensors.items()}, module)
    module.load_state_dict(tensors)
    return meta


def fits(path: str | Path, found: Mapping[str, tuple[int, ...]], module: nn.Module) -> None:
    """Raise CheckpointError unless `found` {key: shape} is exactly the module's state."""
    state = module.state_dict()
    for key, value in state.items():
        if key not in found:
            raise CheckpointError(
                f"{path} has no {key!r}, which {type(module).__name__} needs: it is a checkpoint "
                "of another architecture; use the config saved beside it"
            )
        if found[key] != tuple(value.shape):
            raise CheckpointError(
                f"{path}: {key!r} has shape {found[key]}, {type(module).__name__} needs "
                f"{tuple(value.shape)}: use the config saved beside it"
            )
    for key in found:
        if key not in state:
            raise CheckpointError(
                f"{path} holds {key!r}, which {type(module).__name__} does not have: it is a "
                "checkpoint of another architecture; use the config saved beside it"
            )


def save_state(
    path: str | Path, module: nn.Module, optimiser: torch.optim.Optimizer, meta: Mapping[str, Any]
) -> None:
    """Write what an exact resume needs: weights and optimiser state in full precision, `meta`."""
    tensors = {f"module.{key}": value for key, value in module.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimiser.{index}.{key}"] = torch.as_tensor(value)
    save(path, tensors, meta)


def load_state(
    path: str | Path, module: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """Restore what `save_state` wrote and return its meta. Raises CheckpointError as above."""
    tensors, meta = read(path)
    weights = {
        k.removeprefix("module."): t for k, t in tensors.items() if k.startswith("module.")
    }
    fits(path, {k: tuple(t.shape) for k, t in weights.items()}, module)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".")
            parameter = parameters[int(index)]
            if value.shape == parameter.shape:
                # Fused Adam walks through memory: its state needs the parameter's strides.
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            states.setdefault(int(index), {})[name] = value
    module.load_state_dict(weights)
    optimiser.load_state_dict(
        {"state": states, "param_groups": optimiser.state_dict()["param_groups"]}
    )
    return meta
