"""What a row's student learns from: a mode's losses, by the row's levels, distance and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdn_lib import distillation, vgg
from sdn_lib.distillation import LayerLosses
from sdn_lib.experiments.rows import Row
from sdn_lib.learning.tasks import DistillationTask


class RowTask(DistillationTask):
    """A student under one mode of a row: its captions, embedded as in a table of all of them."""

    def __init__(self, row: Row, data, student, teacher, encoder, loss, embeddings) -> None:
        super().__init__(data, student, teacher, encoder, loss, embeddings)
        self.captions = row.captions or self.captions

    @torch.no_grad()
    def embed(self, characters: Tensor) -> Tensor:
        """Return embeddings (n, text_dim) in full precision and rounded, as a table of them is."""
        with torch.autocast(characters.device.type, enabled=False):
            return super().embed(characters).half().float()


def loss_of(
    row: Row, mode: str, depth: int, weights: Mapping[str, float] | None = None
) -> Callable[..., LayerLosses]:
    """Return what a row's student learns from in a mode: a stage with the row's options."""
    if mode == "pixels":
        return distillation.stage(mode)
    level = vgg.level_of(depth)
    kept = [name for name in level if name == "image" or level[name] in row.levels]
    options: dict[str, Any] = {"layers": kept, "weights": weights, "distance": row.distance}
    return distillation.stage(mode, **options)


@torch.no_grad()
def equal_weights(task: RowTask, seed: int, batch: int) -> dict[str, float]:
    """Return weights that make every term of an unweighted loss begin as large as their mean."""
    losses = task(**task.sample(0, seed, batch))
    values = {name: float(loss) for name, loss in losses.items()}
    mean = float(np.mean(list(values.values())))
    return {name: mean / value for name, value in values.items() if value > 0}
