"""The two gaps, measured at every layer.

The heterogeneous gap lies between captions and pictures: one minus the debiased linear CKA of
caption embeddings and pooled activations. The homogeneous gap lies between generated and real
pictures: the Fréchet distance of pooled activations, in units of real against real, and beside it
the kernel distance, which no sample size biases. `interval` says how sure a measure is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    if constant(x) or constant(y):
        raise SDNError("a view is constant: CKA is undefined there")
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    k, m = x @ x.T, y @ y.T
    own = _unbiased_hsic(k, k) * _unbiased_hsic(m, m)
    if own <= 0:
        raise SDNError("a view is constant: CKA is undefined there")
    return float(_unbiased_hsic(k, m) / np.sqrt(own))


def constant(x: np.ndarray) -> bool:
    """Say whether the rows of x (n, d) are one and the same, up to float32's rounding."""
    return bool(np.ptp(x, axis=0).max() <= 1e-5 * np.abs(x).max())


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


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy of two sets of rows, (n, d) and (m, d).

    With the cubic kernel (x . y / d + 1)^3, after both are standardised by the real rows. About 0
    (slightly negative values occur) for two samples of one distribution; below some fifty real rows
    it is too large, as so few tell their own spread badly. Raises SDNError below two rows or for
    unequal widths. Source: Binkowski et al. 2018, Kernel Inception Distance.
    """
    if real.shape[1:] != generated.shape[1:] or min(len(real), len(generated)) < 2:
        raise SDNError(
            f"the kernel distance needs two or more rows of one width, got {real.shape} and "
            f"{generated.shape}"
        )
    mean, scale = real.mean(0), real.std(0) + 1e-6
    x, y = ((rows.astype(np.float64) - mean) / scale for rows in (real, generated))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def apart(a: np.ndarray) -> float:
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return float(apart(x) + apart(y) - 2 * kernel(x, y).mean())


def interval(
    measure: Callable[..., float],
    *samples: np.ndarray,
    paired: bool = False,
    level: float = 0.95,
    draws: int = 100,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return (value, low, high) of a measure of samples: where it lies with confidence `level`.

    From random halves of the rows, the same rows of all samples if `paired`: a half without
    repetition strays from the whole as much as the whole does from the truth. A bootstrap would
    repeat rows, and repeated rows look alike to CKA and to the kernel distance. For measures that
    the sample size does not bias. Source: Shao and Wu 1989, the delete-d jackknife.
    """
    if paired and len({len(rows) for rows in samples}) != 1:
        raise SDNError(f"paired samples differ in length: {[len(rows) for rows in samples]}")
    value, draw, strays = measure(*samples), np.random.default_rng(seed), []
    for _ in range(draws):
        order = draw.permutation(len(samples[0]))
        halves = []
        for rows in samples:
            order = order if paired else draw.permutation(len(rows))
            halves.append(rows[order[: len(rows) // 2]])
        strays.append(measure(*halves) - value)
    low, high = np.quantile(strays, [(1 - level) / 2, (1 + level) / 2])
    return value, value - float(high), value - float(low)


def power_spectrum(pictures: np.ndarray) -> np.ndarray:
    """Return the mean power of pictures (n, 3, size, size) by waves across the picture.

    Element k is the mean squared modulus of the grey picture's Fourier coefficients on the ring of
    radius k, from 0 to below size / 2. Raises SDNError for pictures that are not square.
    """
    if pictures.ndim != 4 or pictures.shape[2] != pictures.shape[3]:
        raise SDNError(f"a power spectrum takes pictures (n, 3, size, size), got {pictures.shape}")
    size = pictures.shape[2]
    waves = np.fft.fftfreq(size, 1 / size)
    ring = np.hypot(*np.meshgrid(waves, waves)).round().astype(int).ravel()
    energy = (np.abs(np.fft.fft2(pictures.mean(1))) ** 2).mean(0).ravel()
    return (np.bincount(ring, energy) / np.bincount(ring))[: size // 2]


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
