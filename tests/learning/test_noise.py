"""Pictures under noise, from which a robust teacher learns."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sdn_lib import runs


def task_of(p, noise):
    changed = dataclasses.replace(p, teacher=dataclasses.replace(p.teacher, noise=noise))
    return runs.make_task("teacher", changed)[0]


def test_noise_has_a_deviation_from_none_to_the_largest(p):
    clean, noisy = (task_of(p, noise).sample(3, 1, 64) for noise in (0.0, 0.2))
    assert torch.equal(clean["attributes"], noisy["attributes"])
    found = (noisy["images"] - clean["images"]).flatten(1).std(1)
    assert found.max() < 0.21 and found.min() < 0.03
    assert found.mean().item() == pytest.approx(0.1, abs=0.03)


def test_noise_depends_on_seed_and_step_alone(p):
    task = task_of(p, 0.2)
    again, later = task.sample(3, 1, 8)["images"], task.sample(4, 1, 8)["images"]
    assert torch.equal(task.sample(3, 1, 8)["images"], again)
    assert not torch.equal(again, later)
