"""What is trained: a network that sees attributes, and a student under a loss."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import devices
from sdn_lib.data import prepared
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError
from sdn_lib.learning.loop import Task
from sdn_lib.learning.schedule import batch_indices
from sdn_lib.randomness import stream
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher
from sdn_lib.text import CharCNNRNN, to_indices


class AttributeTask(Task):
    """Attributes and species from pictures: how teacher and evaluator learn to see.

    `trunk` maps images to features (batch, width); one linear head an attribute, one for species.
    With `noise` each image gets Gaussian noise, of a standard deviation drawn from 0 to that: what
    the trunk then sees in a picture is robust, and its gradients are ones that people recognise.
    Source: Santurkar et al. 2019, for gradients; noise in place of their adversary.
    """

    def __init__(
        self,
        data: prepared.Prepared,
        trunk: nn.Module,
        width: int,
        species: bool = True,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.rows = data.indices("train")
        self.size = len(self.rows)
        self.data, self.trunk, self.noise = data, trunk, noise
        self.names = list(data.tables["attributes"])
        counts = {name: len(data.tables["attributes"][name]) for name in self.names}
        classes, labels = np.unique(data.class_ids[self.rows], return_inverse=True)
        self.labels = labels
        self.heads = nn.ModuleDict({n: nn.Linear(width, c) for n, c in counts.items()})
        self.species = nn.Linear(width, len(classes)) if species else None

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return images (batch, 3, h, w), attributes (batch, A) and species (batch,)."""
        chosen = batch_indices(self.size, batch, step, seed)
        rows = self.rows[chosen]
        return {
            "images": under_noise(images(self.data, rows), self.noise, step, seed),
            "attributes": torch.from_numpy(self.data.arrays["attributes"][rows].astype(np.int64)),
            "species": torch.from_numpy(self.labels[chosen]),
        }

    def forward(self, images: Tensor, attributes: Tensor, species: Tensor) -> LayerLosses:
        """Return cross-entropies: one an attribute, and the species' where it is learned."""
        features = self.trunk(images)
        losses = LayerLosses()
        for column, name in enumerate(self.names):
            logits = self.heads[name](features).float()
            losses[name] = F.cross_entropy(logits, attributes[:, column])
        if self.species is not None:
            losses["species"] = F.cross_entropy(self.species(features).float(), species)
        return losses


def under_noise(images: Tensor, most: float, step: int, seed: int) -> Tensor:
    """Return images (n, 3, h, w) under Gaussian noise, each of its own deviation from 0 to `most`.

    Drawn from the step and the seed alone.
    """
    if not most:
        return images
    draw = stream("noise", seed, step)
    sd = draw.uniform(0, most, (len(images), 1, 1, 1)).astype(np.float32)
    noise = draw.standard_normal(images.shape, dtype=np.float32)
    return images + torch.from_numpy(sd * noise)


class TeacherFeatures(nn.Module):
    """The top of a teacher as features: pool5, averaged to 2x2 cells and flattened."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher
        self.width = teacher.table[-1].channels * 4

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, 4 x channels of pool5)."""
        (_, top), = deque(self.teacher.walk(images), maxlen=1)
        return devices.average_cells(top, 2).flatten(1)


class DistillationTask(Task):
    """A student under a loss (student, teacher, text, images) -> LayerLosses: a stage, mostly.

    `embeddings` (images, captions, text_dim) saves the encoder's pass in a long training; without
    them each batch is encoded as it comes. An epoch is every picture with one random caption, or
    with `pairs` every picture with every caption, as the authors have it. With `together` above 1 a
    batch holds that many captions of each of its pictures, which the teacher looks at once.
    """

    def __init__(
        self,
        data: prepared.Prepared,
        student: Student,
        teacher: Teacher | None,
        encoder: CharCNNRNN,
        loss: Callable[..., LayerLosses],
        embeddings: np.ndarray | None = None,
        pairs: bool = False,
        together: int = 1,
    ) -> None:
        super().__init__()
        self.rows = data.indices("train")
        self.data, self.loss = data, loss
        self.captions = len(data.captions[self.rows[0]])
        if together < 1 or self.captions % together:
            raise SDNError(
                f"captions_together is {together}: take a divisor of {self.captions}, the captions "
                "of a picture"
            )
        self.groups = self.captions // together if pairs else 1
        self.size = len(self.rows) * self.groups
        self.embeddings, self.together, self.divisible = embeddings, together, together == 1
        self.student, self.teacher_and_encoder = student, (teacher, encoder)
        self.frozen = tuple(n for n in (teacher, encoder) if isinstance(n, nn.Module))

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return images (batch / together, 3, h, w), and characters or text of batch captions.

        The captions of an image stand in a row. SDNError where they do not share a batch evenly.
        """
        k = self.together
        if batch % k:
            raise SDNError(f"batch {batch} is no multiple of captions_together, {k}")
        places = batch_indices(self.size, batch // k, step, seed)
        if self.groups > 1:
            places, group = np.divmod(places, self.groups)
            chosen = (group[:, None] * k + np.arange(k)).ravel()
        elif k > 1:
            draw = stream("captions", seed, step)
            chosen = np.concatenate([draw.permutation(self.captions)[:k] for _ in places])
        else:
            chosen = stream("captions", seed, step).integers(self.captions, size=batch)
        seen = self.rows[places]
        rows = np.repeat(seen, k)
        sample = {"images": images(self.data, seen)}
        if self.embeddings is not None:
            sample["text"] = torch.from_numpy(self.embeddings[rows, chosen]).float()
        else:
            lines = [self.data.captions[row][c] for row, c in zip(rows, chosen, strict=True)]
            sample["characters"] = to_indices(lines)
        return sample

    def forward(
        self, images: Tensor, text: Tensor | None = None, characters: Tensor | None = None
    ) -> LayerLosses:
        """Return the losses by layer."""
        teacher, _ = self.teacher_and_encoder
        if characters is not None:
            text = self.embed(characters)
        return self.loss(self.student, teacher, text, images)

    @torch.no_grad()
    def embed(self, characters: Tensor) -> Tensor:
        """Return embeddings (batch, text_dim) of characters (batch, 201)."""
        return self.teacher_and_encoder[1](characters)


def images(data: prepared.Prepared, rows: np.ndarray) -> Tensor:
    """Return images of the given rows, float32 (n, 3, height, width) RGB 0..1, channels last."""
    chunk = torch.from_numpy(np.ascontiguousarray(data.images[rows]))
    return chunk.permute(0, 3, 1, 2).float().div_(255)
