"""Judging generated birds with a network that is not the teacher, and saying how it was done.

Attribute accuracy asks whether the picture shows what the caption names; the Fréchet distance
asks whether generated pictures are distributed like real ones. Both use an evaluator of another
architecture (a RegNet) trained with another seed than the teacher's.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sdn_lib import devices
from sdn_lib.errors import SDNError


class Evaluator(nn.Module):
    """A small RegNet with one linear head an attribute.

    `evaluator(images)` takes (batch, 3, height, width) RGB 0..1 and returns {attribute: logits};
    `features(images)` returns (batch, 256). Source: Radosavovic et al. 2020, torchvision's code.
    """

    def __init__(self, attributes: dict[str, Sequence[str]]) -> None:
        # Here, as it takes longer to import than all else but PyTorch.
        from torchvision.models.regnet import BlockParams, RegNet

        super().__init__()
        params = BlockParams.from_init_params(
            depth=9, w_0=24, w_a=24.0, w_m=2.2, group_width=8, se_ratio=0.25
        )
        self.trunk = RegNet(params, num_classes=1)
        width = self.trunk.fc.in_features
        self.trunk.fc = nn.Identity()
        self.heads = nn.ModuleDict({k: nn.Linear(width, len(v)) for k, v in attributes.items()})
        self.num_features = width

    def features(self, images: Tensor) -> Tensor:
        """Return pooled features (batch, num_features)."""
        return self.trunk(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return {attribute: logits (batch, values)}."""
        x = self.features(images)
        return {name: head(x) for name, head in self.heads.items()}


@torch.no_grad()
def judge(
    evaluator: Evaluator, images: Tensor, batch: int = 128
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return float32 features (n, num_features) and {attribute: predicted value index (n,)}.

    `images` (n, 3, height, width) float, clamped to 0..1 here, or uint8 0..255.
    """
    evaluator.eval()
    features, predicted = [], {name: [] for name in evaluator.heads}
    with devices.borrowed(evaluator) as device:
        for start in range(0, len(images), batch):
            x = images[start : start + batch].to(device)
            x = x.float() / 255 if x.dtype == torch.uint8 else x.float().clamp(0, 1)
            f = evaluator.features(x)
            features.append(f.cpu())
            for name, head in evaluator.heads.items():
                predicted[name].append(head(f).argmax(1).cpu())
    return (
        torch.cat(features).numpy(),
        {name: torch.cat(parts).numpy() for name, parts in predicted.items()},
    )


def attribute_accuracy(
    predicted: dict[str, np.ndarray], attributes: np.ndarray, mentions: np.ndarray
) -> dict[str, float]:
    """Return {attribute: accuracy where the caption mentions it} and 'mean' over attributes.

    `attributes` (n, A) value indices, `mentions` (n, A) bool, A in the order of `predicted`. An
    attribute that no caption mentions is left out. Raises SDNError where shapes do not fit or no
    caption mentions any.
    """
    if attributes.shape != mentions.shape or attributes.shape[1:] != (len(predicted),):
        raise SDNError(
            f"{len(predicted)} attributes are judged, but values are {attributes.shape} and "
            f"mentions {mentions.shape}: both need a column for each"
        )
    scores = {}
    for column, (name, guess) in enumerate(predicted.items()):
        named = np.asarray(mentions[:, column], dtype=bool)
        if named.any():
            scores[name] = float((guess[named] == attributes[named, column]).mean())
    if not scores:
        raise SDNError("no caption mentions any attribute: there is nothing to judge")
    scores["mean"] = float(np.mean(list(scores.values())))
    return scores


def chance_accuracy(
    attributes: np.ndarray, mentions: np.ndarray, names: Sequence[str]
) -> dict[str, float]:
    """Return what always answering the commonest value scores, as `attribute_accuracy` counts."""
    constant = {}
    for column, name in enumerate(names):
        named = np.asarray(mentions[:, column], dtype=bool)
        values = attributes[named, column] if named.any() else attributes[:, column]
        constant[name] = np.full(len(attributes), np.bincount(values).argmax())
    return attribute_accuracy(constant, attributes, mentions)


def check_finite(*arrays: np.ndarray) -> None:
    """Raise SDNError where an array holds NaN or infinity: a measure of it would be no number."""
    for array in arrays:
        rows = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))
        if len(rows):
            raise SDNError(
                f"{len(rows)} of {len(array)} rows hold NaN or infinity, the first is row "
                f"{rows[0]}: look at that picture, and at the network that made it"
            )


@devices.own_defaults()
def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the squared Fréchet distance of two Gaussians fitted to features (n, d).

    The formula of FID on features that are not Inception's, so never called FID. Computed by
    torchmetrics. Raises SDNError with fewer than two rows, widths that differ, or NaN.
    Source: Heusel et al. 2017.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise SDNError(f"features must be (n, d) alike, got {real.shape} and {generated.shape}")
    if min(len(real), len(generated)) < 2:
        raise SDNError("the Fréchet distance needs at least two samples on each side")
    check_finite(real, generated)
    metric = FrechetInceptionDistance(
        feature=Given(real.shape[1]), normalize=True, input_img_size=(1, 1, real.shape[1])
    ).set_dtype(torch.float64)
    for features, is_real in ((real, True), (generated, False)):
        metric.update(torch.as_tensor(features, dtype=torch.float64), real=is_real)
    return float(metric.compute())


class Given(nn.Module):
    """Hands features through, so that torchmetrics' FID works on any network's."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, num_features)."""
        return features.reshape(len(features), -1)


def structure(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Return mean SSIM and PSNR (dB) of generated images against the caption's own real image.

    Both (n, height, width, 3) float 0..1. A caption does not fix the pose, so these reward a
    blurred average: read them beside the Fréchet distance. PSNR is infinite where a picture equals
    its real one. Raises SDNError for shapes that differ and for NaN. Source: scikit-image.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    if generated.shape != real.shape:
        raise SDNError(f"images differ in shape: {generated.shape} and {real.shape}")
    check_finite(generated, real)
    pairs = list(zip(generated, real, strict=True))
    ssim = [structural_similarity(g, r, channel_axis=2, data_range=1.0) for g, r in pairs]
    psnr = [peak_signal_noise_ratio(r, g, data_range=1.0) for g, r in pairs]
    return {"ssim": float(np.mean(ssim)), "psnr": float(np.mean(psnr))}


def protocol(**facts) -> dict:
    """Return what must stand beside a number: the given facts and the versions that computed it."""
    packages = ("torch", "torchvision", "torchmetrics", "scikit-image", "numpy")
    return {**facts, "versions": {name: importlib.metadata.version(name) for name in packages}}
