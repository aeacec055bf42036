"""Captions to embeddings: the char-CNN-RNN of Reed et al. (2016), and the loss that trains it."""

from __future__ import annotations

import re
import sys
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import devices, files
from sdn_lib.errors import SDNError, near

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
"""The 70 symbols of the original; '-' stands twice and the later place wins."""

LENGTH = 201
"""Characters read of a caption; the rest is cut off, as in the original."""

# Capitals stand beside small letters: str.lower() makes two characters of some, which would shift
# the rest.
_INDEX = {form: k for k, symbol in enumerate(ALPHABET) for form in (symbol, symbol.upper())}
_UNKNOWN = len(ALPHABET)  # this row of the one-hot table is all zeros

_PLAIN = {
    **dict.fromkeys("‘’‚‛′", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **{"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ß": "ss", "ı": "i", "×": "x"},
}
"""What to write in place of characters that Unicode does not take apart by itself."""

_LINE_END = re.compile("\r\n|\r|\n")
_MARKS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
}  # fmt: skip
"""Byte order marks and what they say, the longer first, as the shorter begin them."""

_FEW = 32  # captions of one call that warnings quote; more of them are a data set


class CharCNNRNN(nn.Module):
    """Three convolutions over characters, a recurrent layer, the mean over time, and a projection.

    `variant` is 'cvpr' (256 wide, third pooling, ReLU RNN over 8 steps) or 'icml' (512 wide, GRU
    over 18 steps). Source: Reed et al., 'Learning Deep Representations of Fine-Grained Visual
    Descriptions', CVPR 2016, and 'Generative Adversarial Text to Image Synthesis', ICML 2016.
    """

    VARIANTS = ("cvpr", "icml")

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
    def encode(self, captions: Sequence[str], batch: int = 256) -> Tensor:
        """Return float32 embeddings (n, text_dim) of n captions, on the CPU.

        Warns, once a call, of captions of which not everything can be read. Raises SDNError for an
        empty caption, naming its place.
        """
        training = self.training
        self.eval()
        with devices.borrowed(self) as device:
            parts = [
                self(to_indices(captions[start : start + batch]).to(device)).float().cpu()
                for start in range(0, len(captions), batch)
            ]
        self.train(training)
        warn(captions)
        return torch.cat(parts) if parts else torch.empty(0, self.text_dim)

    @torch.no_grad()
    def calibrate(self, captions: Sequence[str], ridge: float = 1e-3) -> None:
        """Centre and whiten the embeddings of `captions`, to unit mean variance, in place.

        A direction of variance v is divided by the root of v + `ridge` x the total variance, so
        that colours, which vary little, speak as loudly as families. It is one affine map and goes
        into the projection: the architecture stays the original's.
        """
        embeddings = self.encode(captions).double()
        centred = embeddings - embeddings.mean(0)
        variances, axes = torch.linalg.eigh(centred.T @ centred / len(centred))
        variances = variances.clamp_min(0)
        whiten = axes / (variances + ridge * variances.sum()).sqrt() @ axes.T
        whiten /= (centred @ whiten).var(0).mean().sqrt()
        # On the CPU, as Apple's GPUs know no float64.
        weight, bias = self.project.weight.cpu().double(), self.project.bias.cpu().double()
        bias = (bias - embeddings.mean(0)) @ whiten
        self.project.weight.copy_(whiten @ weight)
        self.project.bias.copy_(bias)


def to_indices(captions: Sequence[str]) -> Tensor:
    """Return the alphabet indices, int64 (n, 201), of captions; capitals are as small letters.

    Padding and characters outside the alphabet get an index whose one-hot row is all zeros, as in
    the original. Raises SDNError for an empty caption, naming its place, and for a string in place
    of a list.
    """
    if isinstance(captions, str):
        raise SDNError(f"{quoted(captions)} is one caption, not a list: put it in [ ]")
    indices = torch.full((len(captions), LENGTH), _UNKNOWN)
    for row, caption in enumerate(captions):
        if not isinstance(caption, str) or not caption.strip():
            raise SDNError(f"caption {row} is empty ({caption!r}): write at least one word")
        symbols = [_INDEX.get(symbol, _UNKNOWN) for symbol in _composed(caption)[:LENGTH]]
        indices[row, : len(symbols)] = torch.tensor(symbols)
    return indices


def _composed(caption: str) -> str:
    """Return a caption with a letter and its accent as one character, however it was typed."""
    return unicodedata.normalize("NFC", caption)


class CaptionWarning(UserWarning):
    """A caption of which not everything can be read."""


def remarks(caption: str) -> list[str]:
    """Return what of a caption cannot be read, a sentence each; none for one that is read whole.

    No letter at all, characters that the alphabet lacks, and what lies beyond 201 characters.
    """
    found = []
    whole = _composed(caption).rstrip()
    read = whole[:LENGTH]
    unknown = list(dict.fromkeys(symbol for symbol in read if symbol not in _INDEX))
    if not re.search("[a-zA-Z]", read):
        found.append(
            "not one letter can be read, so the picture does not depend on it: write it in English"
        )
    elif unknown:
        named = ", ".join(map(_named, unknown[:5]))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        found.append(f"characters that cannot be read are left blank: {named}{more}")
    if len(whole) > LENGTH:
        found.append(
            f"only the first {LENGTH} of its {len(whole):,} characters are read, "
            f"to {'...' + read[-24:]!r}: put what matters first"
        )
    return found


def _named(symbol: str) -> str:
    plain = _PLAIN.get(symbol.lower()) or "".join(
        " " if part.isspace() else part
        for part in unicodedata.normalize("NFKD", symbol)
        if not unicodedata.combining(part)
    )
    seen = symbol.isprintable() and not unicodedata.combining(symbol)
    shown = repr(symbol) if seen else ascii(symbol)
    if not plain or any(part not in _INDEX for part in plain):
        return shown
    return f"{shown} (write {'a space' if plain == ' ' else plain})"


def warn(captions: Sequence[str]) -> None:
    """Warn, once a call, of captions of which not everything can be read.

    A few captions are quoted. Of many, a data set's, nothing is: the warning is then the same for
    every part of them, and Python shows it once.
    """
    found = {caption: said for caption in captions if (said := remarks(caption))}
    if not found:
        return
    if len(captions) <= _FEW:
        text = "; ".join(f"caption {quoted(c)}: {', and '.join(s)}" for c, s in found.items())
    else:
        text = (
            "among the captions are some of which not everything can be read: "
            "sdn_lib.text.remarks(caption) says what"
        )
    # It is said of the caller's own line, so that a cell that is run again warns again.
    level, frame = 1, sys._getframe()
    while frame.f_back and re.match("(sdn_lib|torch)[.]", frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, CaptionWarning, stacklevel=level)


def quoted(caption: str, longest: int = 40) -> str:
    """Return a caption in quotation marks, its end left out where it is longer than that."""
    return repr(caption if len(caption) <= longest else f"{caption[: longest - 3]}...")


def read_captions(path: str | Path) -> list[str]:
    """Return the captions of a text file, one a line, tabs as spaces.

    The file is UTF-8, or UTF-16 or 32 with its byte order mark; lines end as on Linux, Windows or
    an old Mac; empty lines may follow the last caption. Raises SDNError that names the file, and
    the line where there is one, for a file that cannot be read, is neither, or holds no caption or
    an empty line between captions.
    """
    path = Path(path)
    if path.is_dir():
        raise SDNError(f"{path} is a folder: name a text file with one caption a line")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SDNError(f"{path} is missing: name a text file with one caption a line") from None
    except OSError as error:
        raise SDNError(files.explain(error, path)) from None
    lines = []
    for number, line in enumerate(_LINE_END.split(_decoded(raw, path).rstrip()), start=1):
        lines.append(line.removeprefix("\ufeff").replace("\t", " ").strip())
        if not lines[-1]:
            raise SDNError(f"{path}, line {number}, is empty: write one caption a line")
        if "\0" in line:
            raise SDNError(f"{path}, line {number}, is no text: save the file as UTF-8")
    return lines


def _decoded(raw: bytes, path: Path) -> str:
    coding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(coding)
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode(coding, errors="ignore")
        line = len(_LINE_END.findall(before)) + 1
        raise SDNError(
            f"{path}, line {line}, is not {coding.upper()} (byte {raw[error.start]:#04x}): "
            "save the file as UTF-8"
        ) from None


def joint_embedding_loss(images: Tensor, texts: Tensor) -> Tensor:
    """Return the structured joint embedding loss of B matching pairs from B different classes.

    `images` and `texts` are (B, dim); with s_ij = <image_i, text_j>, the mean over i and j != i of
    max(0, 1 + s_ij - s_ii) plus the same with image and text exchanged, divided as the original
    does by B^2. Raises SDNError when the shapes differ. Source: Reed et al., CVPR 2016, eq. 3-4.
    """
    if images.shape != texts.shape or images.ndim != 2:
        raise SDNError(
            f"images {tuple(images.shape)} and texts {tuple(texts.shape)} must both be (B, dim)"
        )
    scores = images.float() @ texts.float().T
    matching = scores.diagonal()
    off_diagonal = 1 - torch.eye(len(scores), device=scores.device)
    by_image = F.relu(1 + scores - matching[:, None]) * off_diagonal
    by_text = F.relu(1 + scores - matching[None, :]) * off_diagonal
    return (by_image.sum() + by_text.sum()) / len(scores) ** 2
