from __future__ import annotations

import numpy as np
import pytest
import torch
from clusters import crowd

from sdn_lib import judging
from sdn_lib.errors import SDNError
from sdn_lib.teacher import Teacher


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_cka_is_one_up_to_rotation_scale_and_shift(draw):
    x = draw.normal(size=(80, 6))
    rotation = np.linalg.qr(draw.normal(size=(6, 6)))[0]
    assert judging.linear_cka(x, 3 * x @ rotation + 5) == pytest.approx(1)


@pytest.mark.parametrize("count", [50, 400])
def test_cka_of_independent_views_has_no_bias(draw, count):
    values = [
        judging.linear_cka(draw.normal(size=(count, 40)), draw.normal(size=(count, 60)))
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
        values.append(judging.heterogeneous_gap(shuffled, {"pool1": x})["pool1"])
    assert values == sorted(values) and values[-1] > 0.9


def test_homogeneous_gap_is_about_one_for_real_and_grows_with_corruption(draw):
    real = {"pool1": draw.normal(size=(600, 10))}
    fresh = {"pool1": draw.normal(size=(300, 10))}
    ratios = [
        judging.homogeneous_gap(
            {"pool1": draw.normal(size=(600, 10))}, {"pool1": draw.normal(size=(300, 10))}, seed=k
        )["pool1"]
        for k in range(20)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)
    values = [
        judging.homogeneous_gap(real, {"pool1": fresh["pool1"] * scale})["pool1"]
        for scale in (1.0, 0.7, 0.4, 0.1)
    ]
    assert values == sorted(values) and values[-1] > 5


@pytest.mark.parametrize(("species", "each"), [(170, 3), (40, 10), (8, 8)])
def test_a_perfect_generator_is_as_near_as_real_pictures_in_order_of_species(draw, species, each):
    groups, ratios = np.repeat(np.arange(species), each), []
    for seed in range(5):
        kinds = 2 * draw.normal(size=(species, 20))
        real, made = {"pool1": crowd(draw, kinds, each)}, {"pool1": crowd(draw, kinds, each)}
        ratios.append(
            [
                judging.homogeneous_gap(real, made, seed=seed)["pool1"],
                judging.homogeneous_gap(real, made, groups=groups, seed=seed)["pool1"],
            ]
        )
    assert np.mean(ratios, 0) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("grouped", [True, False])
def test_a_generator_that_is_off_is_further_in_order_of_species(draw, grouped):
    kinds = 2 * draw.normal(size=(170, 20))
    real, made = crowd(draw, kinds, 3), crowd(draw, kinds, 3)
    groups = np.repeat(np.arange(170), 3) if grouped else None
    for off in (made + 1, 0.6 * made, np.repeat(made[:30], 17, 0)):
        assert judging.homogeneous_gap({"a": real}, {"a": off}, groups=groups)["a"] > 1.3


def test_other_species_are_as_near_as_other_species_are(draw):
    groups, ratios = np.repeat(np.arange(100), 5), []
    for seed in range(5):
        real, others = (crowd(draw, 2 * draw.normal(size=(100, 20)), 5) for _ in "ab")
        for made in (others, draw.permutation(others)[:200]):
            gap = judging.homogeneous_gap({"a": real}, {"a": made}, groups=groups, seed=seed)
            ratios.append(gap["a"])
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_rows_in_some_order_are_as_near_as_the_same_rows_in_another(draw):
    real, made = draw.normal(size=(400, 10)), draw.normal(size=(300, 10))
    ordered = made[np.argsort(made[:, 0])]
    assert judging.homogeneous_gap({"a": real}, {"a": ordered})["a"] == pytest.approx(1, abs=0.3)


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
            judging.homogeneous_gap(real, made, **options)


def test_pooled_activations_average_cells():
    torch.manual_seed(0)
    teacher, images = Teacher(11, 1 / 16).freeze(), torch.rand(5, 3, 64, 64)
    pooled = judging.pooled_activations(teacher, images, cells=2, batch=2)
    assert pooled["image"].shape == (5, 12) and pooled["pool5"].shape == (5, 32 * 4)
    np.testing.assert_allclose(
        pooled["image"][3, 0], images[3, 0, :32, :32].mean().item(), rtol=1e-5
    )


@pytest.mark.parametrize(("rows", "words"), [(3, "4 or more"), (9, "got 9, 10")])
def test_bad_input_is_named(draw, rows, words):
    with pytest.raises(SDNError, match=words):
        other = draw.normal(size=(10 if rows > 3 else 3, 2))
        judging.linear_cka(draw.normal(size=(rows, 2)), other)
    with pytest.raises(SDNError, match="constant"):
        judging.linear_cka(np.ones((9, 2)), draw.normal(size=(9, 2)))
