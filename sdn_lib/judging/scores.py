"""Scores of pictures painted from photographs' captions, of what networks make of them.

============ ============================== ================================================
score        needs                          source
============ ============================== ================================================
SSIM, PSNR   nothing                        scikit-image, see `pictures`
R-precision  nothing                        after Xu et al. 2018, this book's text encoder
IS, FID, KID Inception's weights            Salimans 2016, Heusel 2017, Binkowski 2018
LPIPS        AlexNet's weights, downloaded  Zhang et al. 2018, torchmetrics
Fréchet      two packages                   Heusel's formula in an EfficientNet, no FID
============ ============================== ================================================

The networks are in `networks`.
"""

from __future__ import annotations

import numpy as np
import torch

from sdn_lib.errors import SDNError
from sdn_lib.judging.distances import Passthrough

ENOUGH = {"is": 5000, "fid": 10000, "kid": 1000, "frechet_efficientnet": 10000}
"""Pictures below which a score says more about their number than about their quality."""


def inception_score(logits: np.ndarray, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """Return mean and population standard deviation over `splits` of the Inception score.

    `logits` (n, classes) of n pictures, shuffled first; splits differ by a picture at most. Raises
    SDNError for fewer pictures than splits. Source: Salimans et al. 2016, as the authors have it.
    """
    if len(logits) < splits:
        raise SDNError(f"{len(logits)} pictures cannot be split into {splits}")
    shuffled = logits[np.random.default_rng(seed).permutation(len(logits))].astype(np.float64)
    log_p = shuffled - np.logaddexp.reduce(shuffled, axis=1, keepdims=True)
    values = []
    for part in np.array_split(log_p, splits):
        log_mean = np.logaddexp.reduce(part, axis=0) - np.log(len(part))
        values.append(np.exp((np.exp(part) * (part - log_mean)).sum(1).mean()))
    return float(np.mean(values)), float(np.std(values))


def kernel_inception_distance(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> float:
    """Return the KID of Inception's features, (n, d) and (m, d): the mean over 100 random subsets.

    Of 1,000 pictures, or as many as there are. Source: Binkowski et al. 2018, by torchmetrics.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    metric = KernelInceptionDistance(
        feature=Passthrough(real.shape[1]),
        subset_size=min(1000, len(real), len(generated)),
        normalize=True,
    )
    torch.manual_seed(seed)
    for features, is_real in ((real, True), (generated, False)):
        metric.update(torch.from_numpy(features), real=is_real)
    return float(metric.compute()[0])


def own_caption_nearest(
    pictures: np.ndarray,
    captions: np.ndarray,
    classes: np.ndarray,
    draw: np.random.Generator,
    among: int = 100,
) -> np.ndarray:
    """Return for each picture, bool (n,), whether its own caption is the nearest of `among`.

    `pictures` and `captions` (n, d) in one space, row i of both about the same caption; nearness is
    the cosine; the others are drawn from other `classes` (n,). Raises SDNError with too few of
    those.
    """
    pictures, captions = (
        x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-9) for x in (pictures, captions)
    )
    right = np.zeros(len(pictures), dtype=bool)
    for i, picture in enumerate(pictures):
        others = np.flatnonzero(classes != classes[i])
        if len(others) < among - 1:
            raise SDNError(f"{len(others)} captions of other classes are fewer than {among - 1}")
        others = draw.choice(others, among - 1, replace=False)
        right[i] = picture @ captions[i] > (captions[others] @ picture).max()
    return right


def own_kind_nearest(views: np.ndarray, kinds: np.ndarray) -> float:
    """Return the share of views (n, d) whose nearest other one is of their own kind (n,).

    Nearness is the cosine, less the mean of all views. Raises SDNError for fewer than two.
    """
    if len(views) < 2:
        raise SDNError(f"a nearest other view needs two or more, got {len(views)}")
    views = views - views.mean(0)
    views = views / (np.linalg.norm(views, axis=1, keepdims=True) + 1e-9)
    alike = views @ views.T
    np.fill_diagonal(alike, -np.inf)
    return float((kinds[alike.argmax(1)] == kinds).mean())
