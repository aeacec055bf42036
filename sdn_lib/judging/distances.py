"""Distances between pictures or features that a network made of them: generated against real."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sdn_lib import devices
from sdn_lib.errors import SDNError


def check_finite(*arrays: np.ndarray) -> None:
    """Raise SDNError where an array holds NaN or infinity: a measure of it would be no number."""
    for array in arrays:
        rows = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(1))
        if len(rows):
            raise SDNError(
                f"{len(rows)} of {len(array)} rows hold NaN or infinity, the first is row "
                f"{rows[0]}: look at that picture, and at the network that made it"
            )


@devices.own_defaults()
def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the squared Fréchet distance of two Gaussians fitted to features (n, d).

    The formula of FID on features that are not Inception's, so never called FID. Computed by
    torchmetrics. Raises SDNError with fewer than two rows, widths that differ, or NaN.
    Source: Heusel et al. 2017.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise SDNError(f"features must be (n, d) alike, got {real.shape} and {generated.shape}")
    if min(len(real), len(generated)) < 2:
        raise SDNError("the Fréchet distance needs at least two samples on each side")
    check_finite(real, generated)
    metric = FrechetInceptionDistance(
        feature=Passthrough(real.shape[1]), normalize=True, input_img_size=(1, 1, real.shape[1])
    ).set_dtype(torch.float64)
    for features, is_real in ((real, True), (generated, False)):
        metric.update(torch.as_tensor(features, dtype=torch.float64), real=is_real)
    return max(0.0, float(metric.compute()))  # of equal features, rounding leaves a little below 0


class Passthrough(nn.Module):
    """Hands features through, so that torchmetrics' FID and KID work on any network's."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, num_features)."""
        return features.reshape(len(features), -1)


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy of two sets of rows, (n, d) and (m, d).

    With the cubic kernel (x . y / d + 1)^3, after both are standardised by the real rows. About 0
    (slightly negative values occur) for two samples of one distribution; below some fifty real rows
    it is too large, as so few tell their own spread badly. A feature that hardly varies over the
    real rows and does over the others outweighs all the rest then: of such features take the
    `discrepancy` of their `cubic_kernel`, which is the original. Raises SDNError below two rows,
    for unequal widths and for NaN. Source: Binkowski et al. 2018, Kernel Inception Distance.
    """
    if real.shape[1:] != generated.shape[1:] or min(len(real), len(generated)) < 2:
        raise SDNError(
            f"the kernel distance needs two or more rows of one width, got {real.shape} and "
            f"{generated.shape}"
        )
    check_finite(real, generated)
    mean, scale = real.mean(0), real.std(0) + 1e-6
    x, y = ((rows.astype(np.float64) - mean) / scale for rows in (real, generated))
    return discrepancy(cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y))


def cubic_kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return (x . y / d + 1)^3 of rows (n, d) and (m, d), float64 (n, m)."""
    return (np.asarray(x, np.float64) @ np.asarray(y, np.float64).T / x.shape[1] + 1) ** 3


def discrepancy(real: np.ndarray, generated: np.ndarray, across: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy by three matrices of a kernel.

    Of the real rows with one another (n, n), of the generated ones (m, m), and of both (n, m).
    """

    def within(k: np.ndarray) -> float:
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return float(within(real) + within(generated) - 2 * across.mean())
