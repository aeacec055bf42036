from __future__ import annotations

import numpy as np
import pytest
import torch

from sdn_lib import gaps
from sdn_lib.errors import SDNError
from sdn_lib.teacher import Teacher


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_cka_is_one_up_to_rotation_scale_and_shift(draw):
    x = draw.normal(size=(80, 6))
    rotation = np.linalg.qr(draw.normal(size=(6, 6)))[0]
    assert gaps.linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)


@pytest.mark.parametrize("count", [50, 400])
def test_cka_of_independent_views_has_no_bias(draw, count):
    values = [
        gaps.linear_cka(draw.normal(size=(count, 40)), draw.normal(size=(count, 60)))
        for _ in range(20)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(20)


def test_heterogeneous_gap_grows_as_captions_are_shuffled(draw):
    x = draw.normal(size=(200, 8))
    text = x @ draw.normal(size=(8, 12))
    values = []
    for share in (0, 50, 100, 200):
        shuffled = text.copy()
        shuffled[:share] = text[draw.permutation(share)]
        values.append(gaps.heterogeneous_gap(shuffled, {"pool1": x})["pool1"])
    assert values == sorted(values) and values[-1] > 0.9


def test_homogeneous_gap_is_about_one_for_real_and_grows_with_corruption(draw):
    real = {"pool1": draw.normal(size=(600, 10))}
    fresh = {"pool1": draw.normal(size=(300, 10))}
    assert gaps.homogeneous_gap(real, fresh)["pool1"] == pytest.approx(1, abs=0.6)
    values = [
        gaps.homogeneous_gap(real, {"pool1": fresh["pool1"] * scale})["pool1"]
        for scale in (1.0, 0.7, 0.4, 0.1)
    ]
    assert values == sorted(values) and values[-1] > 5


def test_pooled_activations_average_cells():
    torch.manual_seed(0)
    teacher, images = Teacher(11, 1 / 16).freeze(), torch.rand(5, 3, 64, 64)
    pooled = gaps.pooled_activations(teacher, images, cells=2, batch=2)
    assert pooled["image"].shape == (5, 12) and pooled["pool5"].shape == (5, 32 * 4)
    np.testing.assert_allclose(
        pooled["image"][3, 0], images[3, 0, :32, :32].mean().item(), rtol=1e-5
    )


@pytest.mark.parametrize(("rows", "words"), [(3, "4 or more"), (9, "got 9, 10")])
def test_bad_input_is_named(draw, rows, words):
    with pytest.raises(SDNError, match=words):
        gaps.linear_cka(draw.normal(size=(rows, 2)), draw.normal(size=(10 if rows > 3 else 3, 2)))
    with pytest.raises(SDNError, match="constant"):
        gaps.linear_cka(np.ones((9, 2)), draw.normal(size=(9, 2)))


def test_probe_reads_what_is_there_and_nothing_else(draw):
    labels = draw.integers(0, 4, 600)
    there = np.eye(4)[labels] @ draw.normal(size=(4, 10)) + 0.1 * draw.normal(size=(600, 10))
    noise = draw.normal(size=(600, 10))
    halves = [slice(0, 300), slice(300, 600)]
    scores = [
        gaps.probe_accuracy(x[halves[0]], labels[halves[0]], x[halves[1]], labels[halves[1]])
        for x in (there, noise)
    ]
    assert scores[0] > 0.95 and scores[1] < 0.35
    with pytest.raises(SDNError, match="299 labels"):
        gaps.probe_accuracy(there[:300], labels[:299], there, labels)


def test_kernel_distance_by_hand(draw):
    # Standardised rows of one column: real -1, 1; generated 2, 0 in the real rows' units.
    real, made = np.array([[-1.0], [1.0]]), np.array([[2.0], [0.0]])
    k = lambda a, b: (a * b + 1) ** 3  # noqa: E731
    wanted = k(-1, 1) + k(2, 0) - 2 * (k(-1, 2) + k(-1, 0) + k(1, 2) + k(1, 0)) / 4
    assert gaps.kernel_distance(real, made) == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(SDNError, match="rows of one width"):
        gaps.kernel_distance(real, np.zeros((2, 3)))


@pytest.mark.parametrize("count", [20, 200])
def test_kernel_distance_of_one_distribution_has_no_bias(draw, count):
    values = [
        gaps.kernel_distance(draw.normal(size=(400, 8)), draw.normal(size=(count, 8)))
        for _ in range(30)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(30)


def test_kernel_distance_grows_with_corruption(draw):
    real, fresh = draw.normal(size=(400, 8)), draw.normal(size=(400, 8))
    for corrupt in (lambda s: fresh * (1 - s), lambda s: fresh + 2 * s):
        values = [gaps.kernel_distance(real, corrupt(s)) for s in (0, 0.3, 0.6, 0.9)]
        assert values == sorted(values) and values[-1] > 0.1


def test_an_interval_covers_the_truth_about_as_often_as_it_says(draw):
    def covered(measure, truth, *samples, **options):
        value, low, high = gaps.interval(measure, *samples, draws=60, **options)
        assert low <= value <= high
        return low <= truth <= high

    mean = [covered(np.mean, 3.0, draw.normal(3, 1, 80)) for _ in range(200)]
    assert 0.87 < np.mean(mean) < 0.99
    kernel = [
        covered(gaps.kernel_distance, 0.0, draw.normal(size=(60, 4)), draw.normal(size=(60, 4)))
        for _ in range(60)
    ]
    assert np.mean(kernel) > 0.8


def test_paired_samples_stay_paired(draw):
    x = draw.normal(size=(60, 5))
    value, low, high = gaps.interval(gaps.linear_cka, x, 2 * x, paired=True)
    assert (value, low, high) == pytest.approx((1, 1, 1))
    apart = gaps.interval(gaps.linear_cka, x[:, :1], x[:, 1:], draws=20)
    assert apart[1] < apart[2]
    with pytest.raises(SDNError, match="differ in length"):
        gaps.interval(gaps.linear_cka, x, x[:50], paired=True)


def test_a_power_spectrum_finds_a_wave_and_notices_blur(draw):
    across = np.arange(32) / 32
    wave = np.tile(np.sin(2 * np.pi * 5 * across), (2, 3, 32, 1))
    assert gaps.power_spectrum(wave).argmax() == 5
    noise = draw.normal(size=(200, 3, 32, 32))
    flat = gaps.power_spectrum(noise)
    assert len(flat) == 16 and flat.std() / flat.mean() < 0.1
    blurred = (noise + np.roll(noise, 1, 3) + np.roll(noise, 1, 2)) / 3
    assert (gaps.power_spectrum(blurred)[10:] < 0.7 * flat[10:]).all()
    with pytest.raises(SDNError, match="size, size"):
        gaps.power_spectrum(noise[..., :20])
