"""How the book's text encoder learns to read: the joint embedding, hard batches, naming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import devices
from sdn_lib.captions import LENGTH, words
from sdn_lib.data import prepared
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError
from sdn_lib.learning.loop import Task
from sdn_lib.learning.tasks import images
from sdn_lib.randomness import stream
from sdn_lib.text import CharCNNRNN, joint_embedding_loss, to_indices


@torch.no_grad()
def view(data: prepared.Prepared, features: nn.Module) -> Tensor:
    """Return what `features` makes of the training pictures, float32 (n, d) on the CPU."""
    parts = [part for part in np.array_split(data.indices("train"), 64) if len(part)]
    with devices.borrowed(features) as device:
        shown = [features(images(data, part).to(device)).cpu() for part in parts]
    return torch.cat(shown).float()


class TextTask(Task):
    """The joint embedding of captions and what a frozen network sees in their pictures.

    `seen` (n, d) is that of the n training pictures in their order, see `view`. Each batch holds
    `batch` different species, or all where there are fewer, one picture and one caption of each.
    Where the attributes are known, most batches are hard: birds that share values of up to half of
    them, as many as leave enough species, so that the others have to be read. Beside it a linear
    head an attribute then learns to name from the embedding what the caption tells, as the teacher
    learned to name what the picture shows. Where they are not known, the words themselves are
    named: which of the data's common ones the caption holds. `naming` off leaves the joint
    embedding alone, as in the original. Raises SDNError for pictures of a single species, which
    need no telling apart.
    """

    HARD = 0.75
    COMMON = 1 / 500
    """The part of the training captions in which a word must be to be named."""
    divisible = False

    def __init__(
        self, data: prepared.Prepared, encoder: CharCNNRNN, seen: Tensor, naming: bool = True
    ) -> None:
        super().__init__()
        self.rows = data.indices("train")
        self.data, self.encoder = data, encoder
        self.seen = (seen - seen.mean(0)) / (seen.std(0) + 1e-3)
        self.project = nn.Linear(seen.shape[1], encoder.text_dim)
        nn.init.normal_(self.project.weight, std=0.3 / seen.shape[1] ** 0.5)
        known = data.tables.get("attributes", {})
        self.heads = nn.ModuleDict(
            {n: nn.Linear(encoder.text_dim, len(values)) for n, values in known.items() if naming}
        )
        self.species = data.class_ids[self.rows]
        self.attributes = np.asarray(data.arrays["attributes"])[self.rows] if known else None
        self.words: dict[str, int] = {}
        if naming and not known:
            lines = [line for row in self.rows for line in data.captions[row]]
            self.words = common_words(lines, self.COMMON)
        if self.words:
            self.name_words = nn.Linear(encoder.text_dim, len(self.words))
        self.size = len(np.unique(self.species))
        if self.size < 2:
            raise SDNError("the training pictures are all of one species: add another")

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return features (batch, width) and characters (batch, 201).

        Where attributes are known, also values (batch, attributes): the index of the value that the
        caption names, -1 where it names none; where they are not, words (batch, words), 1 where the
        caption holds the word.
        """
        batch = min(batch, self.size)
        draw = stream("text", seed, step)
        pool = draw.permutation(len(self.rows))
        if self.attributes is not None and draw.random() < self.HARD:
            like = self.attributes[pool[0]]
            for column in draw.permutation(len(like))[: len(like) // 2]:
                fewer = pool[self.attributes[pool, column] == like[column]]
                if len(np.unique(self.species[fewer])) >= batch:
                    pool = fewer
        first = np.unique(self.species[pool], return_index=True)[1]
        chosen = pool[draw.permutation(first)[:batch]]
        rows = self.rows[chosen]
        captions, drawn = self.data.draw_captions(rows, draw)
        sample = {"features": self.seen[chosen], "characters": to_indices(captions)}
        if self.attributes is not None and self.heads:
            mentions = self.data.arrays["mentions"][rows, drawn]
            values = np.where(mentions, self.attributes[chosen].astype(np.int64), -1)
            sample["values"] = torch.from_numpy(values)
        elif self.words:
            sample["words"] = words_held(captions, self.words)
        return sample

    def forward(
        self,
        features: Tensor,
        characters: Tensor,
        values: Tensor | None = None,
        words: Tensor | None = None,
    ) -> LayerLosses:
        """Return the joint embedding loss, and the cross-entropy of naming a value or a word."""
        embeddings = self.encoder(characters)
        losses = LayerLosses(
            joint_embedding=joint_embedding_loss(self.project(features), embeddings)
        )
        if words is not None:
            logits = self.name_words(embeddings).float()
            wrong = F.binary_cross_entropy_with_logits(logits, words, reduction="sum")
            losses["naming"] = wrong / words.sum().clamp_min(1)
        if values is None:
            return losses
        named = [
            F.cross_entropy(
                head(embeddings).float(), values[:, k], ignore_index=-1, reduction="sum"
            )
            for k, head in enumerate(self.heads.values())
        ]
        losses["naming"] = torch.stack(named).sum() / (values >= 0).sum().clamp_min(1)
        return losses


def common_words(captions: Sequence[str], part: float) -> dict[str, int]:
    """Return {word: its place} of the words in at least that part of the captions, sorted."""
    counts = Counter(word for caption in captions for word in words(caption[:LENGTH]))
    common = sorted(word for word, count in counts.items() if count >= part * len(captions))
    return {word: place for place, word in enumerate(common)}


def words_held(captions: Sequence[str], place: dict[str, int]) -> Tensor:
    """Return float32 (captions, words), 1 where what is read of a caption holds a word."""
    held = torch.zeros(len(captions), len(place))
    for row, caption in enumerate(captions):
        held[row, [place[word] for word in words(caption[:LENGTH]) if word in place]] = 1
    return held
