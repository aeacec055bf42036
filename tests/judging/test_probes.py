from __future__ import annotations

import numpy as np
import pytest

from sdn_lib import judging
from sdn_lib.errors import SDNError


@pytest.fixture
def draw():
    return np.random.default_rng(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_probe_reads_what_is_there_and_nothing_else(draw):
    labels = draw.integers(0, 4, 600)
    there = np.eye(4)[labels] @ draw.normal(size=(4, 10)) + 0.1 * draw.normal(size=(600, 10))
    noise = draw.normal(size=(600, 10))
    halves = [slice(0, 300), slice(300, 600)]
    scores = [
        judging.probe_accuracy(x[halves[0]], labels[halves[0]], x[halves[1]], labels[halves[1]])
        for x in (there, noise)
    ]
    assert scores[0] > 0.95 and scores[1] < 0.35
    with pytest.raises(SDNError, match="299 labels"):
        judging.probe_accuracy(there[:300], labels[:299], there, labels)
    with pytest.raises(SDNError, match="with 1"):
        judging.probe_accuracy(there[:300], labels[:300], there, labels[:1])


def test_a_probe_tells_apart_what_differs_and_nothing_else(rng):
    real, other = rng.normal(size=(2, 400, 8))
    assert judging.classifier_two_sample_test(real, other) == pytest.approx(0.5, abs=0.1)
    assert judging.classifier_two_sample_test(real, other + 3) > 0.99


def test_a_probe_is_asked_about_species_it_has_not_seen(rng):
    # Each species has a mark of its own that generated pictures lack: nothing for other species.
    species = np.repeat(np.arange(100), 4)
    base = np.repeat(rng.normal(size=(100, 60)), 4, 0)
    real, made = (base + np.repeat(rng.normal(size=(100, 60)), 4, 0) for _ in "ab")
    assert judging.classifier_two_sample_test(real, made) > 0.6
    assert judging.classifier_two_sample_test(real, made, species) == pytest.approx(0.5, abs=0.06)
    assert judging.classifier_two_sample_test(real, made + 3, species) > 0.95
    for bad in (np.zeros(400), species[:9]):
        with pytest.raises(SDNError, match="cannot be split for a probe"):
            judging.classifier_two_sample_test(real, made, bad)
