"""Where networks live and where heavy work runs: one rule.

A network lives where its caller put it. Training, embedding, painting, judging and measuring borrow
it for the accelerator, where there is one, and leave it where it was. Inputs go to the network;
what is drawn or counted comes back to the CPU.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import processes
from sdn_lib.errors import SDNError, first_line

VARIABLE = "SDN_DEVICE"


def best() -> torch.device:
    """Return the device of heavy work: what SDN_DEVICE names, else the accelerator, else the CPU.

    Of several processes on a machine each has an accelerator of its own. Raises SDNError for a
    device that is not here or that cannot compute, and for more processes than accelerators.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        found = torch.accelerator.current_accelerator(check_available=True)
        device = found or torch.device("cpu")
    else:
        device = _named(name)
    if device.type != "cpu" and device.index is None and processes.count() > 1:
        place, here = processes.local_rank(), torch.accelerator.device_count()
        if place >= here:
            raise SDNError(
                f"process {place + 1} of this machine has no {device.type} device left of {here}: "
                f"start one process a device, or set {VARIABLE}=cpu"
            )
        device = torch.device(device.type, place)
        torch.accelerator.set_device_index(place)
    _check(device)
    return device


def _named(text: str) -> torch.device:
    found = torch.accelerator.current_accelerator(check_available=True)
    known = ["cpu"] + ([found.type] if found else [])
    remedy = f"set it to one of {', '.join(known)}, or unset it"
    try:
        device = torch.device(text)
    except RuntimeError:
        raise SDNError(f"{VARIABLE}={text} names no device: {remedy}") from None
    count = torch.accelerator.device_count() if found else 0
    if device.type not in known or (device.type != "cpu" and (device.index or 0) >= count):
        raise SDNError(f"{VARIABLE}={text} is not on this machine: {remedy}")
    return device


@functools.cache
def _check(device: torch.device) -> None:
    """Raise SDNError unless the device adds two numbers: a build of PyTorch may not fit it."""
    try:
        torch.ones(2, device=device).add(1).cpu()
    except (RuntimeError, AssertionError) as error:
        raise SDNError(
            f"{device} is here but cannot compute ({first_line(error)}): set {VARIABLE}=cpu, or "
            "install the build of PyTorch that fits it"
        ) from None


def of(network: nn.Module) -> torch.device:
    """Return where a network lives; the CPU for one without weights."""
    for tensor in (*network.parameters(), *network.buffers()):
        return tensor.device
    return torch.device("cpu")


@contextmanager
def moved(device: torch.device, *networks: nn.Module) -> Iterator[None]:
    """Hold networks on `device` for a while, then put each back where it was."""
    homes = [of(network) for network in networks]
    try:
        for network in networks:
            network.to(device)
        yield
    finally:
        for network, home in zip(networks, homes, strict=True):
            network.to(home)


@contextmanager
def borrowed(*networks: nn.Module) -> Iterator[torch.device]:
    """Yield the device on which to use networks: the accelerator, for those on the CPU.

    They are put back afterwards. Networks that their caller put on an accelerator stay there.
    """
    device = next((d for d in map(of, networks) if d.type != "cpu"), None) or best()
    with moved(device, *networks):
        yield device


@contextmanager
def own_defaults() -> Iterator[None]:
    """Make new tensors as PyTorch does by itself, float32 on the CPU, whatever a user has set.

    Else torch.set_default_dtype would change what a profile trains, and torch.set_default_device
    would put its data where its networks are not.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        device = torch.get_default_device()
        # Where nothing is to be changed this would only cost time, at every operator.
        with nullcontext() if device.type == "cpu" else torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(before)


def average_cells(x: Tensor, cells: int) -> Tensor:
    """Return activations (n, channels, h, w) averaged to (n, channels, cells, cells).

    MPS does so only where a side is a multiple of the other; elsewhere the CPU does it.
    """
    uneven = any(max(side, cells) % min(side, cells) for side in x.shape[-2:])
    if x.device.type == "mps" and uneven:
        return F.adaptive_avg_pool2d(x.cpu(), cells).to(x.device)
    return F.adaptive_avg_pool2d(x, cells)


@functools.cache
def has_bf16(device: torch.device) -> bool:
    """Say whether a device computes in bf16 itself; others imitate it, several times slower."""
    if device.type == "cpu":
        # On x86, oneDNN says yes to AVX-512 alone, with which it imitates bf16.
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        checks = [getattr(torch.cpu, name, None) for name in names]
        if platform.machine().lower() not in ("x86_64", "amd64"):
            checks = [getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)]
        return any(check is not None and bool(check()) for check in checks)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    known = getattr(torch.get_device_module(device), "is_bf16_supported", None)
    return bool(known and known())


def describe(device: torch.device) -> str:
    """Return a device's name for a record: 'cpu', or 'cuda (NVIDIA ...)'."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type
