from __future__ import annotations

import numpy as np
import pytest
import torch

from sdn_lib import evaluation, gaps
from sdn_lib.errors import SDNError

VALUES = {"crown": ["red", "blue", "grey"], "facing": ["left", "right"]}


def test_evaluator_s_outputs():
    torch.manual_seed(0)
    model = evaluation.Evaluator(VALUES)
    images = torch.rand(5, 3, 64, 64)
    features, predicted = evaluation.judge(model, images, batch=2)
    assert features.shape == (5, model.num_features)
    assert {k: v.shape for k, v in predicted.items()} == {"crown": (5,), "facing": (5,)}
    again, _ = evaluation.judge(model, images)
    np.testing.assert_allclose(features, again, rtol=1e-4, atol=1e-5)


def test_evaluator_reads_uint8_as_it_reads_floats_and_clamps():
    torch.manual_seed(0)
    model = evaluation.Evaluator(VALUES)
    whole = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    a, _ = evaluation.judge(model, whole)
    b, _ = evaluation.judge(model, whole.float() / 255)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    wild = torch.randn(2, 3, 32, 32) * 3
    c, _ = evaluation.judge(model, wild)
    d, _ = evaluation.judge(model, wild.clamp(0, 1))
    np.testing.assert_allclose(c, d)


def test_attribute_accuracy_counts_only_what_the_caption_names():
    predicted = {"crown": np.array([0, 1, 2]), "facing": np.array([1, 1, 0])}
    attributes = np.array([[0, 1], [0, 0], [2, 0]])
    mentions = np.array([[True, True], [True, False], [False, True]])
    scores = evaluation.attribute_accuracy(predicted, attributes, mentions)
    assert scores == {"crown": 0.5, "facing": 1.0, "mean": 0.75}
    with pytest.raises(SDNError, match="nothing to judge"):
        evaluation.attribute_accuracy(predicted, attributes, np.zeros((3, 2), bool))


def test_chance_is_the_commonest_value():
    attributes = np.array([[0, 1], [0, 0], [2, 0], [0, 0]])
    scores = evaluation.chance_accuracy(attributes, np.ones((4, 2), bool), ["crown", "facing"])
    assert scores == {"crown": 0.75, "facing": 0.75, "mean": 0.75}


def test_frechet_distance_closed_form():
    draw = np.random.default_rng(0)
    real = draw.normal(size=(50_000, 3))
    other = draw.normal(size=(50_000, 3)) * 2 + np.array([1.0, 0, 0])
    # |mean difference|^2 + sum (1 - 2)^2
    assert evaluation.frechet_distance(real, other) == pytest.approx(1 + 3, rel=0.03)
    assert evaluation.frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_grows_with_corruption():
    draw = np.random.default_rng(0)
    real = draw.normal(size=(500, 8))
    values = [
        evaluation.frechet_distance(real, real[::-1] + s * draw.normal(size=real.shape))
        for s in (0.0, 0.3, 1.0, 3.0)
    ]
    assert values == sorted(values)
    with pytest.raises(SDNError, match="alike"):
        evaluation.frechet_distance(real, real[:, :4])
    with pytest.raises(SDNError, match="at least two"):
        evaluation.frechet_distance(real, real[:1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_refused_and_its_row_named(wrong):
    draw = np.random.default_rng(0)
    real, broken = draw.random((20, 32, 32, 3)), draw.random((20, 32, 32, 3))
    broken[7, 3] = wrong
    flat, bad = (x[:, 3, :4].reshape(20, -1) for x in (real, broken))
    labels = np.arange(20) % 2
    for measure in (
        lambda: evaluation.frechet_distance(flat, bad),
        lambda: evaluation.structure(broken, real),
        lambda: gaps.linear_cka(flat, bad),
        lambda: gaps.kernel_distance(flat, bad),
        lambda: gaps.probe_accuracy(flat, labels, bad, labels),
    ):
        with pytest.raises(SDNError, match="1 of 20 rows hold NaN or infinity, the first is row 7"):
            measure()


def test_accuracy_wants_a_column_for_each_attribute():
    predicted = {"crown": np.array([0, 1])}
    with pytest.raises(SDNError, match="a column for each"):
        evaluation.attribute_accuracy(predicted, np.zeros((2, 2), int), np.ones((2, 2), bool))
    with pytest.raises(SDNError, match="a column for each"):
        evaluation.attribute_accuracy(predicted, np.zeros((2, 1), int), np.ones((2, 2), bool))


def test_structure_is_perfect_only_for_the_same_picture():
    draw = np.random.default_rng(0)
    real = draw.random((2, 32, 32, 3))
    near, far = real + 0.02 * draw.normal(size=real.shape), draw.random(real.shape)
    scores = [evaluation.structure(x.clip(0, 1), real) for x in (near, far)]
    assert scores[0]["ssim"] > 0.9 > scores[1]["ssim"]
    assert scores[0]["psnr"] > 30 > scores[1]["psnr"]
    with pytest.raises(SDNError, match="differ in shape"):
        evaluation.structure(real, real[:1])


def test_protocol_carries_versions():
    facts = evaluation.protocol(images=3)
    assert facts["images"] == 3 and torch.__version__.startswith(facts["versions"]["torch"])
