from __future__ import annotations

import itertools

import numpy as np
import pytest

from sdn_lib import files, learning, profiles, runs
from sdn_lib.randomness import NUMBERED, Numbered, stream


def first(draw):
    return draw.integers(2**63, size=4).tolist()


def test_no_two_purposes_seeds_or_numbers_share_a_stream():
    numbers = [(), (0,), (1,), (1, 0), (1, 0, 0), (0, 1), (7,)]
    labels = [*NUMBERED, "batches 1", "x"]
    drawn = {
        (label, seed, *rest): first(stream(label, seed, *rest))
        for label, seed, rest in itertools.product(labels, (0, 1, 2**40), numbers)
    }
    assert len({tuple(values) for values in drawn.values()}) == len(drawn)


def test_numbers_alone_do_not_tell_streams_apart():
    assert first(np.random.default_rng([3, 1])) == first(np.random.default_rng([3, 1, 0]))


def test_a_numbered_seed_gives_the_streams_of_the_stored_results():
    for label, suffix in NUMBERED.items():
        wanted = np.random.default_rng([3, 5, *suffix])
        assert first(stream(label, Numbered(3), 5)) == first(wanted)


def test_later_purposes_have_labels_with_a_numbered_seed_too():
    assert first(stream("noise", Numbered(3), 5)) == first(stream("noise", 3, 5))


def test_the_order_of_batches_is_its_own_stream():
    labelled = learning.batch_indices(100, 10, 0, 0)
    assert labelled.tolist() != np.random.default_rng([0, 0]).permutation(100)[:10].tolist()
    numbered = learning.batch_indices(100, 10, 0, Numbered(0))
    assert numbered.tolist() == np.random.default_rng([0, 0]).permutation(100)[:10].tolist()


@pytest.mark.parametrize("name", runs.NAMES)
def test_new_trainings_are_labelled_and_those_that_ship_have_the_streams_of_their_profile(name):
    assert getattr(profiles.PROFILES["smoke"], name).streams == "labelled"
    config = files.read_json(profiles.ROOT / "results" / "cpu" / name / "config.json", "restore it")
    shipped = config["settings"]["training"][name].get("streams", "numbered")
    assert getattr(profiles.PROFILES["cpu"], name).streams == shipped
