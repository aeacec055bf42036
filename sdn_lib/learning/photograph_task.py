"""How a teacher of photographs is trained where no VGG that knows ImageNet is at hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib.data import prepared
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError
from sdn_lib.learning.loop import Task
from sdn_lib.learning.schedule import batch_indices
from sdn_lib.learning.tasks import images, under_noise
from sdn_lib.randomness import stream


class PhotographTask(Task):
    """Kinds of birds or flowers from photographs, and what another network sees in them.

    `trunk` maps images to features (batch, width). One linear head names the kind; another gives
    the features that `wanted` (n, d), of the n training photographs in their order, has of a
    network that knows ImageNet, each standardised: distillation in the word's first sense. 50
    photographs of a kind are few: each is mirrored half of the time, shifted by up to SHIFT pixels,
    and put under noise as in AttributeTask. Raises SDNError where `wanted` is of other photographs.
    Sources: Hinton et al. 2015; Romero et al. 2015, for features in place of answers.
    """

    SHIFT = 4

    def __init__(
        self,
        data: prepared.Prepared,
        trunk: nn.Module,
        width: int,
        wanted: np.ndarray,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.rows = data.indices("train")
        self.size = len(self.rows)
        if len(wanted) != self.size:
            raise SDNError(f"features of {len(wanted)} photographs, but {self.size} are learned")
        self.data, self.trunk, self.noise = data, trunk, noise
        kinds, self.labels = np.unique(data.class_ids[self.rows], return_inverse=True)
        scale = wanted.std(0) + 1e-3 * wanted.std()
        self.wanted = ((wanted - wanted.mean(0)) / scale).astype(np.float32)
        self.kind = nn.Linear(width, len(kinds))
        self.features = nn.Linear(width, wanted.shape[1])

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return images (batch, 3, h, w), kinds (batch,) and wanted features (batch, d)."""
        chosen = batch_indices(self.size, batch, step, seed)
        pictures = images(self.data, self.rows[chosen])
        draw = stream("shifts", seed, step)
        mirrored = draw.random(len(chosen)) < 0.5
        moves = draw.integers(0, 2 * self.SHIFT + 1, (len(chosen), 2))
        padded = F.pad(pictures, [self.SHIFT] * 4, mode="reflect")
        height, width = pictures.shape[2:]
        moved = [
            padded[k, :, y : y + height, x : x + width].flip(-1 if flip else ())
            for k, ((y, x), flip) in enumerate(zip(moves, mirrored, strict=True))
        ]
        shown = torch.stack(moved).contiguous(memory_format=torch.channels_last)
        return {
            "images": under_noise(shown, self.noise, step, seed),
            "kinds": torch.from_numpy(self.labels[chosen]),
            "wanted": torch.from_numpy(self.wanted[chosen]),
        }

    def forward(self, images: Tensor, kinds: Tensor, wanted: Tensor) -> LayerLosses:
        """Return the cross-entropy of the kind, and the mean squared error of the features."""
        features = self.trunk(images)
        return LayerLosses(
            kind=F.cross_entropy(self.kind(features).float(), kinds),
            features=F.mse_loss(self.features(features).float(), wanted),
        )
