"""What is measured of pictures themselves, without a network: structure and power spectrum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdn_lib.errors import SDNError
from sdn_lib.judging.distances import check_finite


def structure(generated: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Return mean SSIM and PSNR (dB) of generated images against the caption's own real image.

    Both (n, height, width, 3) float 0..1. A caption does not fix the pose, so these reward a
    blurred average: read them beside the Fréchet distance. PSNR is infinite where a picture equals
    its real one. Raises SDNError for shapes that differ and for NaN. Source: scikit-image.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    if generated.shape != real.shape:
        raise SDNError(f"images differ in shape: {generated.shape} and {real.shape}")
    check_finite(generated, real)
    pairs = list(zip(generated, real, strict=True))
    ssim = [structural_similarity(g, r, channel_axis=2, data_range=1.0) for g, r in pairs]
    psnr = [peak_signal_noise_ratio(r, g, data_range=1.0) for g, r in pairs]
    return {"ssim": float(np.mean(ssim)), "psnr": float(np.mean(psnr))}


def sharpness(pictures: np.ndarray) -> float:
    """Return the mean absolute difference of neighbouring values of pictures (n, 3, h, w), 0..1.

    Across and down, added. A crude ruler: noise has plenty of it, and so have stripes.
    """
    return float(sum(np.abs(np.diff(pictures, axis=axis)).mean() for axis in (2, 3)))


def power_spectrum(pictures: np.ndarray) -> np.ndarray:
    """Return the mean power of pictures (n, 3, size, size) by waves across the picture.

    Element k is the mean squared modulus of the grey picture's Fourier coefficients on the ring of
    radius k, from 0 to below size / 2. Raises SDNError for pictures that are not square.
    """
    _, _, mean = _waves(pictures)
    return mean[: pictures.shape[2] // 2]


def fine_power(spectrum: Sequence[float]) -> float:
    """Return the mean power of the finest quarter of the waves, over that of real pictures.

    `spectrum` is power over that of real pictures, by waves. Fine stripes raise it above 1, blur
    takes it towards 0.
    """
    return float(np.mean(np.asarray(spectrum)[-(len(spectrum) // 4) :]))


def periodicity(pictures: np.ndarray, real: np.ndarray | None = None) -> float:
    """Return how far one wave stands out in pictures (n, 3, size, size): the worst fine one.

    The power of a wave of the finer half, in its direction, over the mean of all directions:
    what fine stripes of one spacing and direction raise. With `real` pictures of the same size it
    is the mean in these, so that pictures without fine power do not score by their traces. Raises
    SDNError for pictures that are not square.
    """
    energy, ring, mean = _waves(pictures)
    if real is not None:
        mean = _waves(real)[2]
    half = pictures.shape[2] // 2
    fine = (ring >= half // 2) & (ring < half)
    return float((energy[fine] / np.maximum(mean[ring[fine]], np.finfo(float).tiny)).max())


def _waves(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each wave's power and its ring, both (size * size,), and the mean power by rings."""
    if pictures.ndim != 4 or pictures.shape[2] != pictures.shape[3]:
        raise SDNError(f"a power spectrum takes pictures (n, 3, size, size), got {pictures.shape}")
    size = pictures.shape[2]
    waves = np.fft.fftfreq(size, 1 / size)
    ring = np.hypot(*np.meshgrid(waves, waves)).round().astype(int).ravel()
    energy = (np.abs(np.fft.fft2(pictures.mean(1))) ** 2).mean(0).ravel()
    return energy, ring, np.bincount(ring, energy) / np.bincount(ring)


def detail(spectrum: Sequence[float]) -> float:
    """Return how far the power of the finer half of the waves is from that of real pictures.

    The mean absolute difference of decimal logarithms: 0 is as much at every wave, 1 is ten times
    too much or too little. `spectrum` is power over that of real pictures, by waves.
    """
    half = np.asarray(spectrum)[len(spectrum) // 2 :]
    return float(np.abs(np.log10(half)).mean())
