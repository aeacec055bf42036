"""A second device for PyTorch, for tests: mixing it with the CPU is an error, as on a GPU.

Its memory is ordinary memory, its operators are the CPU's, and like Apple's GPUs it knows no
float64. What a GPU has and it has not: speed, streams, and a limit of its own to memory.

`build` compiles it. A folder made by `plug_in` on the PYTHONPATH makes `import torch` register it,
as PyTorch does with the devices of other makers.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import types
import uuid
from pathlib import Path

import torch

NAME = "second"
SOURCE = Path(__file__).with_suffix(".cpp")
LIBRARY = "SDN_SECOND_DEVICE"


def compiler() -> str | None:
    """Return the C++ compiler, None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("c++")


def build(folder: Path) -> Path:
    """Compile the device into `folder`, unless this version of it is there; return the library."""
    root = Path(torch.__file__).parent
    key = hashlib.sha256(SOURCE.read_bytes() + torch.__version__.encode()).hexdigest()[:12]
    library = folder / f"second-{key}.so"
    if library.exists():
        return library
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{library.name}.{uuid.uuid4().hex[:8]}"
    command = [compiler(), "-shared", "-fPIC", "-std=c++20", "-O0", "-w"]
    command += [str(SOURCE), "-o", str(partial)]
    for part in ("include", "include/torch/csrc/api/include"):
        command += ["-isystem", str(root / part)]
    command += [f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    partial.replace(library)
    return library


def register(library: Path | None = None) -> None:
    """Make the device known as `torch.device("second")`; PyTorch calls this at its import."""
    ctypes.CDLL(str(library or os.environ[LIBRARY])).register_second_device()
    torch.utils.rename_privateuse1_backend(NAME)
    module = types.ModuleType(f"torch.{NAME}")
    module.__dict__.update(
        is_available=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: 0,
        _is_in_bad_fork=lambda: False,
        manual_seed_all=lambda seed: None,
        get_rng_state=lambda device=None: torch.empty(0, dtype=torch.uint8),
        set_rng_state=lambda state, device=None: None,
        is_bf16_supported=lambda: torch.ops.mkldnn._is_mkldnn_bf16_supported(),
        get_amp_supported_dtype=lambda: [torch.bfloat16, torch.float16],
        synchronize=lambda *_: None,
    )
    torch._register_device_module(NAME, module)
    autocast = torch.library.Library("aten", "IMPL", "AutocastPrivateUse1")
    for name in ("linear", "addmm", "matmul", "mm", "conv1d", "conv2d"):
        autocast.impl(name, _in_bfloat16(getattr(torch.ops.aten, name).default))
    module.autocast = autocast  # it lasts as long as the module


def _in_bfloat16(operator):
    """Return an operator that casts its float32 tensors as autocast does."""

    def call(*arguments, **options):
        off = torch._C._ExcludeDispatchKeyGuard(
            torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
        )
        with off:
            return operator(*(_cast(value) for value in arguments), **options)

    return call


def _cast(value):
    is_float = isinstance(value, torch.Tensor) and value.dtype == torch.float32
    return value.to(torch.get_autocast_dtype(NAME)) if is_float else value


def plug_in(folder: Path, library: Path) -> dict[str, str]:
    """Return the environment in which every new Python process has the device."""
    info = folder / "second_device-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: second_device\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[torch.backends]\n{NAME} = second_device:register\n"
    )
    shutil.copy(__file__, folder)
    shutil.copy(SOURCE, folder)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {LIBRARY: str(library), "PYTHONPATH": os.pathsep.join(paths)}
