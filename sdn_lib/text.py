"""Captions to embeddings: the char-CNN-RNN of Reed et al. (2016), and the loss that trains it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import devices, fast
from sdn_lib.captions import ALPHABET, INDEX, LENGTH, composed, quoted, warn
from sdn_lib.errors import SDNError, near

_UNKNOWN = len(ALPHABET)  # this row of the one-hot table is all zeros


class CharCNNRNN(nn.Module):
    """Three convolutions over characters, a recurrent layer, the mean over time, and a projection.

    `variant` is 'cvpr' (256 wide, third pooling, ReLU RNN over 8 steps) or 'icml' (512 wide, GRU
    over 18 steps). Source: Reed et al., 'Learning Deep Representations of Fine-Grained Visual
    Descriptions', CVPR 2016, and 'Generative Adversarial Text to Image Synthesis', ICML 2016.
    """

    VARIANTS = ("cvpr", "icml")

    recurrent: nn.RNN | nn.GRU
    one_hot: Tensor

    def __init__(self, variant: str = "cvpr", text_dim: int = 1024) -> None:
        super().__init__()
        if variant not in self.VARIANTS:
            raise SDNError(f"unknown text variant {variant!r}: {near(variant, self.VARIANTS)}")
        self.variant, self.text_dim = variant, text_dim
        width = 256 if variant == "cvpr" else 512
        stages = [
            nn.Conv1d(len(ALPHABET), 384, 4), nn.Threshold(1e-6, 0), nn.MaxPool1d(3, 3),
            nn.Conv1d(384, 512, 4), nn.Threshold(1e-6, 0), nn.MaxPool1d(3, 3),
            nn.Conv1d(512, width, 4), nn.Threshold(1e-6, 0),
        ]  # fmt: skip
        if variant == "cvpr":
            stages.append(nn.MaxPool1d(3, 2))
            self.recurrent = nn.RNN(width, width, nonlinearity="relu", batch_first=True)
        else:
            self.recurrent = nn.GRU(width, width, batch_first=True)
        self.convolutions = nn.Sequential(*stages)
        self.project = nn.Linear(width, text_dim)
        table = torch.cat([torch.eye(len(ALPHABET)), torch.zeros(1, len(ALPHABET))])
        self.register_buffer("one_hot", table, persistent=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.08, 0.08)

    def forward(self, characters: Tensor) -> Tensor:
        """Return embeddings (batch, text_dim) of `to_indices`' characters (batch, 201)."""
        x = self.convolutions(self.one_hot[characters].transpose(1, 2))
        x, _ = self.recurrent(x.transpose(1, 2))
        return self.project(x.mean(1))

    @torch.no_grad()
    def encode(self, captions: Sequence[str], batch: int = 2048, plain: bool = False) -> Tensor:
        """Return float32 embeddings (n, text_dim) of n captions, on the CPU.

        `plain` computes them bit for bit as training does, at a third of the speed. Warns, once a
        call, of captions of which not everything can be read. Raises SDNError for an empty caption,
        naming its place.
        """
        training = self.training
        self.eval()
        read = self if plain else partial(fast.embed, self)
        try:
            with devices.own_defaults(), devices.borrowed(self) as device:
                parts = [
                    read(to_indices(captions[at : at + batch], at).to(device)).float().cpu()
                    for at in range(0, len(captions), batch)
                ]
        finally:
            self.train(training)
        warn(captions)
        return torch.cat(parts) if parts else torch.empty(0, self.text_dim)

    @torch.no_grad()
    def calibrate(self, captions: Sequence[str]) -> None:
        """Centre and whiten the embeddings of `captions`, to unit mean variance, in place.

        A direction of variance v is divided by the root of v + a thousandth of the total variance,
        so that colours, which vary little, speak as loudly as families. It is one affine map and
        goes into the projection: the architecture stays the original's.
        """
        embeddings = self.encode(captions, batch=256, plain=True).double()
        centred = embeddings - embeddings.mean(0)
        variances, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
        variances = variances.clamp_min(0)
        whiten = axes / (variances + 1e-3 * variances.sum()).sqrt() @ axes.T
        whiten /= (centred @ whiten).var(0).mean().sqrt()
        # On the CPU, as Apple's GPUs know no float64.
        weight, bias = self.project.weight.cpu().double(), self.project.bias.cpu().double()
        bias = (bias - embeddings.mean(0)) @ whiten
        self.project.weight.copy_(whiten @ weight)
        self.project.bias.copy_(bias)


def to_indices(captions: Sequence[str], first: int = 0) -> Tensor:
    """Return the alphabet indices, int64 (n, 201), of captions; capitals are as small letters.

    Padding and characters outside the alphabet get an index whose one-hot row is all zeros, as in
    the original. `first` is the place of the first of them in the caller's list. Raises SDNError
    for an empty caption, naming its place, and for a string in place of a list.
    """
    if isinstance(captions, str):
        raise SDNError(f"{quoted(captions)} is one caption, not a list: put it in [ ]")
    indices = torch.full((len(captions), LENGTH), _UNKNOWN)
    for row, caption in enumerate(captions):
        if not isinstance(caption, str) or not caption.strip():
            raise SDNError(f"caption {first + row} is empty ({caption!r}): write at least one word")
        symbols = [INDEX.get(symbol, _UNKNOWN) for symbol in composed(caption)[:LENGTH]]
        indices[row, : len(symbols)] = torch.tensor(symbols)
    return indices


def joint_embedding_loss(images: Tensor, texts: Tensor) -> Tensor:
    """Return the structured joint embedding loss of B matching pairs from B different classes.

    `images` and `texts` are (B, dim); with s_ij = <image_i, text_j>, the sum over i and j != i of
    max(0, 1 + s_ij - s_ii), plus the same with image and text exchanged, all divided by B^2, as the
    original does. In float32, under autocast too: a margin of 1 is little where scores are large.
    Raises SDNError when the shapes differ. Source: Reed et al., CVPR 2016, eq. 3-4.
    """
    if images.shape != texts.shape or images.ndim != 2:
        raise SDNError(
            f"images {tuple(images.shape)} and texts {tuple(texts.shape)} must both be (B, dim)"
        )
    with fast.without_autocast(images.device.type):
        scores = images.float() @ texts.float().T
    matching = scores.diagonal()
    off_diagonal = 1 - torch.eye(len(scores), device=scores.device)
    by_image = F.relu(1 + scores - matching[:, None]) * off_diagonal
    by_text = F.relu(1 + scores - matching[None, :]) * off_diagonal
    return (by_image.sum() + by_text.sum()) / len(scores) ** 2
