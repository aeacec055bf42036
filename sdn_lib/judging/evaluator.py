"""The evaluators: networks of other kinds than the teacher that read attributes off pictures.

A small RegNet and, to check what it says, a small DenseNet, each trained with a seed of its own.
Attribute accuracy asks whether a picture shows what its caption names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sdn_lib import devices
from sdn_lib.errors import SDNError, near


def _regnet() -> tuple[nn.Module, int]:
    # Here, as it takes longer to import than all else but PyTorch.
    from torchvision.models.regnet import BlockParams, RegNet

    params = BlockParams.from_init_params(
        depth=9, w_0=24, w_a=24.0, w_m=2.2, group_width=8, se_ratio=0.25
    )
    trunk = RegNet(params, num_classes=1)
    width = trunk.fc.in_features
    trunk.fc = nn.Identity()
    return trunk, width


def _densenet() -> tuple[nn.Module, int]:
    from torchvision.models.densenet import DenseNet

    trunk = DenseNet(growth_rate=24, block_config=(4, 4, 4), num_init_features=48, num_classes=1)
    width = trunk.classifier.in_features
    trunk.classifier = nn.Identity()
    return trunk, width


TRUNKS = {"regnet": _regnet, "densenet": _densenet}


class Evaluator(nn.Module):
    """A small RegNet, or the DenseNet that checks on it, with one linear head an attribute.

    `evaluator(images)` takes (batch, 3, height, width) RGB 0..1 and returns {attribute: logits};
    `features(images)` returns (batch, num_features). Raises SDNError for another `kind` than
    'regnet' and 'densenet'. Source: Radosavovic et al. 2020, Huang et al. 2017, torchvision's code.
    """

    def __init__(self, attributes: Mapping[str, Sequence[str]], kind: str = "regnet") -> None:
        super().__init__()
        if kind not in TRUNKS:
            raise SDNError(f"unknown evaluator {kind!r}: {near(kind, TRUNKS)}")
        self.trunk, self.num_features = TRUNKS[kind]()
        heads = {k: nn.Linear(self.num_features, len(v)) for k, v in attributes.items()}
        self.heads = nn.ModuleDict(heads)

    def features(self, images: Tensor) -> Tensor:
        """Return pooled features (batch, num_features)."""
        return self.trunk(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return {attribute: logits (batch, values)}."""
        x = self.features(images)
        return {name: head(x) for name, head in self.heads.items()}


@torch.no_grad()
def predict(
    evaluator: Evaluator, images: Tensor, batch: int = 128
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return float32 features (n, num_features) and {attribute: predicted value index (n,)}.

    `images` (n, 3, height, width) float, clamped to 0..1 here, or uint8 0..255.
    """
    evaluator.eval()
    features: list[Tensor] = []
    predicted: dict[str, list[Tensor]] = {name: [] for name in evaluator.heads}
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


def named_accuracy(right: np.ndarray, mentions: np.ndarray) -> float:
    """Return the mean over attributes of the share that is right where the caption names it.

    Both (n, A) bool, as in `attribute_accuracy`; an attribute never named is left out.
    """
    named = mentions.sum(0)
    return float(((right & mentions).sum(0)[named > 0] / named[named > 0]).mean())
