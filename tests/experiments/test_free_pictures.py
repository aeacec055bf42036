"""Pictures that are moved down a loss, on a small teacher."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sdn_lib import distillation, profiles
from sdn_lib.experiments import free_pictures
from sdn_lib.teacher import Teacher


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return Teacher(11, 1 / 16).requires_grad_(False)


@pytest.fixture(scope="module")
def flocks():
    return torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_flock_of_one_costs_what_stage_two_costs(teacher, flocks):
    pictures, real = flocks[:, 0], flocks[:, 1]
    wanted = free_pictures.looks(teacher, real[:, None])
    got = free_pictures.flock_loss(teacher, pictures, wanted, 3.0)
    expected = distillation.perceptual(teacher, pictures, real, weights={"image": 3.0})
    assert list(got) == list(expected)
    torch.testing.assert_close(got.total, expected.total)


def test_the_loss_is_the_mean_over_the_flock(teacher, flocks):
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    whole = free_pictures.flock_loss(teacher, pictures, free_pictures.looks(teacher, flocks))
    each = [
        free_pictures.flock_loss(teacher, pictures, free_pictures.looks(teacher, part)).total
        for part in flocks.split(1, dim=1)
    ]
    torch.testing.assert_close(whole.total, torch.stack(each).mean())


def test_a_picture_goes_to_the_only_one_that_fits(teacher, flocks):
    start, wanted = torch.full((2, 3, 32, 32), 0.5), free_pictures.looks(teacher, flocks[:, :1])
    found = free_pictures.descend(teacher, start, wanted, 40, 20.0)
    before, after = (
        (x - flocks[:, 0]).abs().mean() for x in (start, found)
    )
    assert found.min() >= 0 and found.max() <= 1 and after < 0.2 * before
    assert not found.requires_grad


def test_each_picture_has_a_flock_of_its_own(teacher, flocks):
    start, wanted = flocks[:, 2], free_pictures.looks(teacher, flocks[:, :2])
    both = free_pictures.descend(teacher, start, wanted, 3)
    first = {name: layer[:1] for name, layer in wanted.items()}
    alone = free_pictures.descend(teacher, start[:1], first, 3)
    torch.testing.assert_close(both[:1], alone, rtol=0, atol=1e-3)  # Adam's epsilon


def test_a_flock_is_of_one_kind_and_the_largest_come_first(monkeypatch):
    kinds = np.repeat(np.arange(9), [9, 1, 2, 5, 3, 4, 6, 7, 8])  # the first are for training
    data = SimpleNamespace(class_ids=kinds, indices=lambda split: np.flatnonzero(kinds > 0))
    monkeypatch.setattr(free_pictures.runs, "dataset", lambda profile: data)
    of = free_pictures.flocks(profiles.load("birds64"))
    assert [set(kinds[rows]) for rows in of] == [{8}, {7}, {6}, {3}, {5}, {4}]
    for rows in of:
        assert sorted(rows) == np.flatnonzero(kinds == kinds[rows[0]]).tolist()
    kinds[kinds > 1] = 1
    kinds[-1] = 2
    assert [len(rows) for rows in free_pictures.flocks(profiles.load("birds64"))] == [35]
