"""A teacher of photographs learns their kinds and another network's view of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_photographs import EACH, SIZE, prepare
from torch import nn

from sdn_lib import learning
from sdn_lib.errors import SDNError
from sdn_lib.learning import text_task
from sdn_lib.profiles import TrainConfig
from sdn_lib.text import CharCNNRNN

TRAIN = 4 * EACH


class Trunk(nn.Module):
    def forward(self, images):
        return images.flatten(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("photographs") / "small")


def task(data, noise=0.0):
    wanted = np.random.default_rng(0).normal(3, 5, (TRAIN, 7))
    return learning.PhotographTask(data, Trunk(), 3 * SIZE**2, wanted, noise)


def test_a_batch_follows_from_the_step_and_the_seed_alone(data):
    first, again, later = (task(data, 0.2).sample(step, 5, 6) for step in (3, 3, 4))
    for name in first:
        torch.testing.assert_close(first[name], again[name], rtol=0, atol=0)
    assert not torch.equal(first["images"], later["images"])
    assert first["images"].shape == (6, 3, SIZE, SIZE) and first["wanted"].shape == (6, 7)


def test_each_picture_is_a_shifted_and_perhaps_mirrored_photograph_of_its_kind(data):
    made = task(data)
    reach, mirrored = made.SHIFT, []
    for step in range(4):
        batch = made.sample(step, 0, 6)
        for picture, kind in zip(batch["images"], batch["kinds"], strict=True):
            middle = (picture * 255).round().byte()[:, 8:24, 8:24]
            found = []
            for row in np.flatnonzero(data.class_ids == kind.item() + 1):
                whole = torch.from_numpy(np.array(data.images[row])).permute(2, 0, 1)
                for flip in (False, True):
                    seen = middle.flip(-1) if flip else middle
                    for y in range(8 - reach, 9 + reach):
                        for x in range(8 - reach, 9 + reach):
                            if torch.equal(whole[:, y : y + 16, x : x + 16], seen):
                                found.append(flip)
            assert len(found) == 1
            mirrored += found
    assert 0 < sum(mirrored) < len(mirrored)


def test_wanted_features_are_standardised_and_go_with_their_photographs(data):
    made = task(data)
    np.testing.assert_allclose(made.wanted.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(made.wanted.std(0), 1, atol=2e-3)
    batch = made.sample(0, 0, TRAIN)
    chosen = learning.batch_indices(TRAIN, TRAIN, 0, 0)
    torch.testing.assert_close(batch["wanted"], torch.from_numpy(made.wanted[chosen]))
    assert batch["kinds"].tolist() == (data.class_ids[made.rows][chosen] - 1).tolist()


def test_it_learns_both(data):
    colours = np.random.default_rng(1).integers(0, 255, (7, 1, 1, 3))
    coloured = np.broadcast_to(colours[data.class_ids], data.images.shape).astype(np.uint8)
    torch.manual_seed(0)
    made = task(dataclasses.replace(data, images=coloured))
    made.wanted[:] = made.labels[:, None]
    log = learning.fit(made, TrainConfig(60, batch=6, log_every=1))
    first, last = (
        {name: np.mean([e["losses"][name] for e in part]) for name in ("kind", "features")}
        for part in (log[:6], log[-6:])
    )
    assert last["kind"] < 0.8 * first["kind"] and last["features"] < 0.9 * first["features"]


def test_a_reader_sees_each_kind_once_at_most(data):
    encoder = CharCNNRNN("icml", 8)
    reading = learning.TextTask(data, encoder, torch.randn(TRAIN, 5))
    batch = reading.sample(0, 0, 64)
    assert len(batch["characters"]) == len(batch["features"]) == 4
    own = [int((reading.seen == f).all(1).nonzero()[0, 0]) // EACH for f in batch["features"]]
    assert sorted(own) == [0, 1, 2, 3]
    one = ["train" if kind == 1 else "test" for kind in data.class_ids]
    with pytest.raises(SDNError, match="all of one species"):
        learning.TextTask(dataclasses.replace(data, splits=one), encoder, torch.randn(EACH, 5))


def test_a_reader_names_the_common_words_of_photographs_captions(data):
    lines = ["a red bird", "a Red bird, with a long bill", "the bird is blue", "bird"]
    captions = [[lines[row % 4]] for row in range(len(data.captions))]
    reading = learning.TextTask(
        dataclasses.replace(data, captions=captions), CharCNNRNN("icml", 8), torch.randn(TRAIN, 5)
    )
    assert "red" in reading.words and "long" in reading.words
    batch = reading.sample(0, 0, 4)
    assert batch["words"].shape == (4, len(reading.words))
    assert set(reading(**batch)) == {"joint_embedding", "naming"}
    losses = reading(batch["features"], batch["characters"], words=torch.zeros_like(batch["words"]))
    assert torch.isfinite(losses["naming"])


def test_words_are_counted_once_a_caption_and_in_what_is_read():
    lines = ["blue blue bird", "a bird", "a bird with a crest", "x" * 200 + " blue"]
    words = text_task.common_words(lines, 0.5)
    assert words == {"a": 0, "bird": 1}
    held = text_task.words_held(["A bird", "birds", "a " * 100 + "bird"], words)
    assert held.tolist() == [[1, 1], [0, 0], [1, 0]]


def test_features_of_other_photographs_are_refused(data):
    with pytest.raises(SDNError, match=f"features of 3 photographs, but {TRAIN}"):
        learning.PhotographTask(data, Trunk(), 3 * SIZE**2, np.ones((3, 2)))
