"""What must stand beside a number: how it was measured, on what, and with which versions."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from sdn_lib import devices, machine, profiles


def protocol(**facts: Any) -> dict[str, Any]:
    """Return the given facts, and the hardware, device, commit and versions that go with them."""
    packages = ("torch", "torchvision", "torchmetrics", "scikit-image", "numpy")
    return {
        **facts,
        "hardware": machine.hardware(),
        "device": devices.describe(devices.best()),
        **machine.git_state(profiles.ROOT),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
