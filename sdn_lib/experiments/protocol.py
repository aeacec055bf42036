"""What must stand beside a number: how it was measured, on what, and with which versions."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from sdn_lib import devices, machine, profiles


def code() -> dict[str, Any]:
    """Return the commit of the code that runs, and if it was changed: ask before you measure."""
    return machine.git_state(profiles.ROOT)


def protocol(began: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the facts, `began` (see `code`), and the hardware, device and versions beside them."""
    packages = ("torch", "torchvision", "torchmetrics", "scikit-image", "numpy")
    return {
        **facts,
        "hardware": machine.hardware(),
        "device": devices.describe(devices.best()),
        **began,
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
