from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.image.inception import InceptionScore

from sdn_lib.errors import SDNError
from sdn_lib.judging import scores


class Logits(torch.nn.Module):
    """Hands logits through, as an Inception that was asked beforehand."""

    num_features = 7

    def forward(self, x):
        return x


def test_inception_score_is_torchmetrics_s():
    logits = np.random.default_rng(0).normal(size=(200, 7)).astype(np.float32) * 2
    mean, _ = scores.inception_score(logits, splits=1)
    theirs = InceptionScore(feature=Logits(), splits=1)
    theirs.update(torch.from_numpy(logits))
    assert mean == pytest.approx(float(theirs.compute()[0]), rel=1e-4)
    ten, deviation = scores.inception_score(logits, splits=10)
    assert deviation > 0 and ten != mean
    with pytest.raises(SDNError, match="3 pictures cannot be split into 10"):
        scores.inception_score(logits[:3])


def test_the_nearest_view_is_another_of_its_kind_or_not():
    views = np.array([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
    assert scores.own_kind_nearest(views + 5, np.array([0, 0, 1, 1])) == 1
    assert scores.own_kind_nearest(views + 5, np.array([0, 1, 1, 0])) == 0
    assert scores.own_kind_nearest(views, np.array([0, 0, 1, 2])) == 0.5
    with pytest.raises(SDNError, match="two or more"):
        scores.own_kind_nearest(views[:1], np.array([0]))
