from __future__ import annotations

import numpy as np
import pytest
import torch

from sdn_lib import judging
from sdn_lib.errors import SDNError

VALUES = {"crown": ["red", "blue", "grey"], "facing": ["left", "right"]}


@pytest.mark.parametrize("kind", ["regnet", "densenet"])
def test_evaluator_s_outputs(kind):
    torch.manual_seed(0)
    model = judging.Evaluator(VALUES, kind)
    images = torch.rand(5, 3, 64, 64)
    features, predicted = judging.predict(model, images, batch=2)
    assert features.shape == (5, model.num_features)
    assert {k: v.shape for k, v in predicted.items()} == {"crown": (5,), "facing": (5,)}
    again, _ = judging.predict(model, images)
    np.testing.assert_allclose(features, again, rtol=1e-4, atol=1e-5)


def test_an_unknown_architecture_is_refused():
    with pytest.raises(SDNError, match="unknown evaluator 'densnet': did you mean 'densenet'"):
        judging.Evaluator(VALUES, "densnet")


def test_evaluator_reads_uint8_as_it_reads_floats_and_clamps():
    torch.manual_seed(0)
    model = judging.Evaluator(VALUES)
    whole = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    a, _ = judging.predict(model, whole)
    b, _ = judging.predict(model, whole.float() / 255)
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    wild = torch.randn(2, 3, 32, 32) * 3
    c, _ = judging.predict(model, wild)
    d, _ = judging.predict(model, wild.clamp(0, 1))
    np.testing.assert_allclose(c, d)


def test_attribute_accuracy_counts_only_what_the_caption_names():
    predicted = {"crown": np.array([0, 1, 2]), "facing": np.array([1, 1, 0])}
    attributes = np.array([[0, 1], [0, 0], [2, 0]])
    mentions = np.array([[True, True], [True, False], [False, True]])
    scores = judging.attribute_accuracy(predicted, attributes, mentions)
    assert scores == {"crown": 0.5, "facing": 1.0, "mean": 0.75}
    with pytest.raises(SDNError, match="nothing to judge"):
        judging.attribute_accuracy(predicted, attributes, np.zeros((3, 2), bool))


def test_chance_is_the_commonest_value():
    attributes = np.array([[0, 1], [0, 0], [2, 0], [0, 0]])
    scores = judging.chance_accuracy(attributes, np.ones((4, 2), bool), ["crown", "facing"])
    assert scores == {"crown": 0.75, "facing": 0.75, "mean": 0.75}


def test_accuracy_wants_a_column_for_each_attribute():
    predicted = {"crown": np.array([0, 1])}
    with pytest.raises(SDNError, match="a column for each"):
        judging.attribute_accuracy(predicted, np.zeros((2, 2), int), np.ones((2, 2), bool))
    with pytest.raises(SDNError, match="a column for each"):
        judging.attribute_accuracy(predicted, np.zeros((2, 1), int), np.ones((2, 2), bool))


def test_named_accuracy_is_the_evaluators():
    rng = np.random.default_rng(0)
    guess = {name: rng.integers(3, size=40) for name in "ab"}
    attributes, mentions = rng.integers(3, size=(40, 2)), rng.random((40, 2)) < 0.5
    right = np.stack(list(guess.values()), axis=1) == attributes
    wanted = judging.attribute_accuracy(guess, attributes, mentions)["mean"]
    assert judging.named_accuracy(right, mentions) == pytest.approx(wanted)
