from __future__ import annotations

import numpy as np
import pytest

from sdn_lib import judging
from sdn_lib.errors import SDNError


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_structure_is_perfect_only_for_the_same_picture():
    draw = np.random.default_rng(0)
    real = draw.random((2, 32, 32, 3))
    near, far = real + 0.02 * draw.normal(size=real.shape), draw.random(real.shape)
    scores = [judging.structure(x.clip(0, 1), real) for x in (near, far)]
    assert scores[0]["ssim"] > 0.9 > scores[1]["ssim"]
    assert scores[0]["psnr"] > 30 > scores[1]["psnr"]
    with pytest.raises(SDNError, match="differ in shape"):
        judging.structure(real, real[:1])


def test_a_power_spectrum_finds_a_wave_and_notices_blur(draw):
    across = np.arange(32) / 32
    wave = np.tile(np.sin(2 * np.pi * 5 * across), (2, 3, 32, 1))
    assert judging.power_spectrum(wave).argmax() == 5
    noise = draw.normal(size=(200, 3, 32, 32))
    flat = judging.power_spectrum(noise)
    assert len(flat) == 16 and flat.std() / flat.mean() < 0.1
    blurred = (noise + np.roll(noise, 1, 3) + np.roll(noise, 1, 2)) / 3
    assert (judging.power_spectrum(blurred)[10:] < 0.7 * flat[10:]).all()
    with pytest.raises(SDNError, match="size, size"):
        judging.power_spectrum(noise[..., :20])


def test_detail_counts_too_much_as_too_little():
    assert judging.detail([9, 9, 1, 1]) == 0
    assert judging.detail([1, 1, 10, 10]) == judging.detail([1, 1, 0.1, 0.1]) == 1


def test_fine_power_is_that_of_the_quickest_quarter():
    assert judging.fine_power([5, 5, 5, 5, 5, 5, 0.5, 1.5]) == 1


def test_stripes_stand_out_and_noise_does_not(draw):
    noise = draw.normal(size=(200, 3, 32, 32))
    assert judging.periodicity(noise) < 1.5
    across = np.sin(2 * np.pi * 11 * np.arange(32) / 32)
    striped = noise + 0.2 * across
    assert judging.periodicity(striped) > 4
    slow = noise + 0.2 * np.sin(2 * np.pi * 3 * np.arange(32) / 32)
    assert judging.periodicity(slow) < 1.5
    assert judging.periodicity(striped, noise) == pytest.approx(
        judging.periodicity(4 * striped, 4 * noise)
    )
    assert judging.periodicity(striped / 100, noise) < 1 < judging.periodicity(striped, noise)
    blank = judging.periodicity(np.zeros((2, 3, 32, 32)))
    assert blank == 0
