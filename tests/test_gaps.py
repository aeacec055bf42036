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


def crowd(draw, kinds, each):
    """Return rows (kinds x each, d) in order of species: the species' own row, give or take."""
    return np.repeat(kinds, each, 0) + draw.normal(size=(len(kinds) * each, kinds.shape[1]))


@pytest.mark.parametrize(("species", "each"), [(170, 3), (40, 10), (8, 8)])
def test_a_perfect_generator_is_as_near_as_real_pictures_in_order_of_species(draw, species, each):
    groups, ratios = np.repeat(np.arange(species), each), []
    for seed in range(5):
        kinds = 2 * draw.normal(size=(species, 20))
        real, made = {"pool1": crowd(draw, kinds, each)}, {"pool1": crowd(draw, kinds, each)}
        ratios.append(
            [
                gaps.homogeneous_gap(real, made, seed=seed)["pool1"],
                gaps.homogeneous_gap(real, made, groups=groups, seed=seed)["pool1"],
            ]
        )
    assert np.mean(ratios, 0) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("grouped", [True, False])
def test_a_generator_that_is_off_is_further_in_order_of_species(draw, grouped):
    kinds = 2 * draw.normal(size=(170, 20))
    real, made = crowd(draw, kinds, 3), crowd(draw, kinds, 3)
    groups = np.repeat(np.arange(170), 3) if grouped else None
    for off in (made + 1, 0.6 * made, np.repeat(made[:30], 17, 0)):
        assert gaps.homogeneous_gap({"a": real}, {"a": off}, groups=groups)["a"] > 1.3


def test_other_species_are_as_near_as_other_species_are(draw):
    groups, ratios = np.repeat(np.arange(100), 5), []
    for seed in range(5):
        real, others = (crowd(draw, 2 * draw.normal(size=(100, 20)), 5) for _ in "ab")
        for made in (others, draw.permutation(others)[:200]):
            gap = gaps.homogeneous_gap({"a": real}, {"a": made}, groups=groups, seed=seed)
            ratios.append(gap["a"])
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_rows_in_some_order_are_as_near_as_the_same_rows_in_another(draw):
    real, made = draw.normal(size=(400, 10)), draw.normal(size=(300, 10))
    ordered = made[np.argsort(made[:, 0])]
    assert gaps.homogeneous_gap({"a": real}, {"a": ordered})["a"] == pytest.approx(1, abs=0.3)


def test_a_gap_that_cannot_be_measured_is_refused(draw):
    x = draw.normal(size=(8, 3))
    for real, made, options, said in (
        ({"a": x}, {"b": x}, {}, "layer 'a' is missing"),
        ({"a": x}, {"a": x[:, :2]}, {}, "another width"),
        ({"a": np.ones((8, 3))}, {"a": x}, {}, "same for all real pictures"),
        ({"a": x[:3]}, {"a": x}, {}, "4 real and 2 generated"),
        ({"a": x, "b": x[:5]}, {"a": x, "b": x}, {}, "differ in their numbers"),
        ({"a": x}, {"a": x}, {"groups": np.arange(7)}, "groups for"),
        ({"a": x}, {"a": x}, {"groups": np.zeros(8)}, "fewer than two groups"),
    ):
        with pytest.raises(SDNError, match=said):
            gaps.homogeneous_gap(real, made, **options)


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
    with pytest.raises(SDNError, match="with 1"):
        gaps.probe_accuracy(there[:300], labels[:300], there, labels[:1])


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


def coverage(draw, species, each, grouped, rounds=300):
    """Return how often the interval of a mean of clustered rows holds the truth."""
    hits = []
    for seed in range(rounds):
        rows = crowd(draw, draw.normal(size=(species, 1)), each)
        groups = np.repeat(np.arange(species), each) if grouped else None
        _, low, high = gaps.interval(np.mean, rows, groups=groups, draws=60, seed=seed)
        hits.append(low <= 0 <= high)
    return np.mean(hits)


@pytest.mark.parametrize(("species", "each"), [(100, 3), (20, 5), (8, 8)])
def test_rows_that_share_a_species_count_as_one_and_cover_as_often_as_said(draw, species, each):
    assert coverage(draw, species, each, grouped=True) == pytest.approx(0.95, abs=0.035)
    assert coverage(draw, species, each, grouped=False) < 0.9


def test_geometry_of_rows_that_share_a_species_is_covered_too(draw):
    mix, hits = draw.normal(size=(6, 8)), {True: [], False: []}

    def views(species, each):
        kinds = draw.normal(size=(species, 6))
        x = np.repeat(kinds, each, 0) + 0.5 * draw.normal(size=(species * each, 6))
        return x, np.repeat(kinds @ mix, each, 0) + 2 * draw.normal(size=(species * each, 8))

    truth = gaps.linear_cka(*views(3000, 1))
    groups = np.repeat(np.arange(40), 5)
    for seed in range(60):
        x, y = views(40, 5)
        for grouped, found in hits.items():
            _, low, high = gaps.interval(
                gaps.linear_cka, x, y, paired=True, groups=groups if grouped else None, draws=50,
                seed=seed,
            )  # fmt: skip
            found.append(low <= truth <= high)
    assert np.mean(hits[True]) > 0.87 > np.mean(hits[False])


def test_samples_that_share_species_keep_the_same_halves(draw):
    first, second = np.repeat(np.arange(30), 3), np.repeat(np.arange(30), 2)
    seen = []

    def measure(a, b):
        seen.append((set(a), set(b)))
        return float(len(a))

    gaps.interval(measure, first, second, groups=(first, second), draws=5)
    assert all(a == b and len(a) == 15 for a, b in seen[1:]) and len(seen[0][0]) == 30
    gaps.interval(measure, first, second + 100, groups=(first, second + 100), draws=5)
    assert all(len(a) == len(b) == 15 for a, b in seen[-5:])
    assert any({x + 100 for x in a} != b for a, b in seen[-5:])


def test_an_interval_that_would_say_nothing_is_refused(draw):
    x = draw.normal(size=(12, 2))
    for options, said in (
        ({"groups": np.zeros(12)}, "fewer than two groups"),
        ({"groups": np.arange(11)}, "groups for"),
        ({"groups": (np.arange(12), np.arange(12))}, "do not fit"),
        ({"level": 1.0}, "level between 0 and 1"),
        ({"level": 95}, "level between 0 and 1"),
        ({"draws": 0}, "a draw"),
    ):
        with pytest.raises(SDNError, match=said):
            gaps.interval(np.mean, x, **options)
    with pytest.raises(SDNError, match="two or more rows"):
        gaps.interval(np.mean, x[:1])
    with pytest.raises(SDNError, match="no number"):
        gaps.interval(lambda a: np.nan, x)


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
