"""The two gaps, measured at every layer.

The heterogeneous gap lies between captions and pictures: one minus the debiased linear CKA of
caption embeddings and pooled activations. The homogeneous gap lies between generated and real
pictures: the Fréchet distance of pooled activations, in units of real against real.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sdn_lib.errors import SDNError
from sdn_lib.evaluation import frechet_distance


@torch.no_grad()
def pooled_activations(
    network: torch.nn.Module, inputs: Tensor, cells: int = 2, batch: int = 128
) -> dict[str, np.ndarray]:
    """Return {layer: float32 (n, channels x cells^2)}: each activation averaged to cells x cells.

    `network` is a teacher fed images (n, 3, h, w) or a student fed text (n, text_dim).
    """
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(inputs), batch):
        for name, x in network(inputs[start : start + batch]).items():
            pooled = F.adaptive_avg_pool2d(x.float(), cells).flatten(1)
            parts.setdefault(name, []).append(pooled.cpu())
    return {name: torch.cat(p).numpy() for name, p in parts.items()}


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Return the debiased linear CKA of two views (n, d1) and (n, d2) of the same n things.

    1 for the same geometry up to rotation and scale, about 0 for independent views at any n
    (slightly negative values occur). Raises SDNError below four rows, unequal rows, or a constant
    view. Source: Kornblith et al. 2019, with the unbiased HSIC of Song et al. 2012.
    """
    if len(x) != len(y) or len(x) < 4:
        raise SDNError(f"CKA needs two views of the same 4 or more things, got {len(x)}, {len(y)}")
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    k, m = x @ x.T, y @ y.T
    own = _unbiased_hsic(k, k) * _unbiased_hsic(m, m)
    if own <= 0:
        raise SDNError("a view is constant: CKA is undefined there")
    return float(_unbiased_hsic(k, m) / np.sqrt(own))


def _unbiased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    row_k, row_m = k.sum(1), m.sum(1)
    value = (k * m).sum() + row_k.sum() * row_m.sum() / ((n - 1) * (n - 2))
    return (value - 2 * (row_k @ row_m) / (n - 2)) / (n * (n - 3))


def heterogeneous_gap(
    texts: np.ndarray, activations: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return {layer: 1 - CKA(texts, activations there)}: 0 is the captions' own geometry.

    `texts` (n, text_dim), each activation (n, d), row i of both about the same picture.
    """
    return {name: 1 - linear_cka(texts, a) for name, a in activations.items()}


def homogeneous_gap(
    real: Mapping[str, np.ndarray],
    generated: Mapping[str, np.ndarray],
    components: int = 32,
) -> dict[str, float]:
    """Return {layer: Fréchet distance of generated from real, over that of real from real}.

    Both map layers to (n, d). The real rows are split into even and odd ones; the distance of
    generated rows to the even half is divided by that of the odd half, so 1 means 'as near as
    other real pictures'. To compare layers of different width at a few hundred samples, all are
    first projected on the `components` leading principal axes of the real half.
    """
    gaps = {}
    for name, rows in real.items():
        reference, other = rows[::2], rows[1::2]
        made = generated[name]
        count = min(len(other), len(made))
        centre = reference.mean(0)
        axes = np.linalg.svd(reference - centre, full_matrices=False)[2][:components]
        a, b, c = ((x - centre) @ axes.T for x in (reference, other[:count], made[:count]))
        gaps[name] = frechet_distance(a, c) / frechet_distance(a, b)
    return gaps


def probe_accuracy(
    seen: np.ndarray,
    labels: np.ndarray,
    unseen: np.ndarray,
    unseen_labels: np.ndarray,
    ridge: float = 1.0,
) -> float:
    """Return how well a linear probe fitted on (seen, labels) names the labels of `unseen`.

    Ridge regression on one-hot labels after standardising; `seen` (n, d), `unseen` (m, d), labels
    integers from 0. What is not linearly there scores as chance does. Raises SDNError when a shape
    does not fit. Source: Alain and Bengio 2016 for the idea of probes.
    """
    if seen.shape[1:] != unseen.shape[1:] or len(seen) != len(labels):
        raise SDNError(
            f"the probe got features {seen.shape} with {len(labels)} labels and {unseen.shape}"
        )
    mean, scale = seen.mean(0), seen.std(0) + 1e-6
    x, z = (seen - mean) / scale, (unseen - mean) / scale
    targets = np.eye(int(max(labels.max(), unseen_labels.max())) + 1)[labels]
    gram = x.T @ x + ridge * len(x) / 100 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (targets - targets.mean(0)))
    guess = (z @ weights + targets.mean(0)).argmax(1)
    return float((guess == unseen_labels).mean())
