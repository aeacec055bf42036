"""Controls are what they are said to be."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sdn_lib import profiles, runs
from sdn_lib.experiments import controls, results
from sdn_lib.experiments.rows import ROWS, Row


def test_controls_share_the_weights_they_should(p):
    kinds = ("trained", "shuffled", "random")
    trained, shuffled, blank = (controls.teacher_of(Row("", teacher=k), p, 0) for k in kinds)
    for name, conv in trained.convs.items():
        ours, theirs = conv.weight.flatten(), shuffled.convs[name].weight.flatten()
        ours, theirs = ours / ours.norm(), theirs / theirs.norm()
        torch.testing.assert_close(ours.sort().values, theirs.sort().values)
        assert not torch.equal(ours, theirs)
        assert not torch.equal(conv.weight, blank.convs[name].weight)
    data = runs.dataset(p)
    pictures = runs.images(data, data.indices("train")[:128])
    wanted = {name: controls._contrast(x) for name, x in trained(pictures).items()}
    for teacher in (shuffled, blank):
        for name in teacher.convs:
            found = controls._contrast(teacher(pictures)[name])
            torch.testing.assert_close(found, wanted[name], rtol=1e-4, atol=0)


def test_a_retrained_teacher_learned_with_the_rows_pooling(p, tmp_path):
    own = dataclasses.replace(p, output_dir=str(tmp_path))
    runs.keep({"teacher": runs.get("teacher", p)}, tmp_path)
    swapped, learned = (controls.teacher_of(ROWS[n], own, 0) for n in ("max", "max_learned"))
    assert swapped.pooling == learned.pooling == "max"
    given = runs.get("teacher", p).model
    folder = tmp_path / "pooling" / "max" / "teacher"
    trained = runs.load("teacher", controls.pooled(own, "max"), folder).model
    for name, conv in learned.convs.items():
        assert torch.equal(conv.weight, trained.convs[name].weight)
        assert torch.equal(swapped.convs[name].weight, given.convs[name].weight)
        assert not torch.equal(conv.weight, swapped.convs[name].weight)
    settings = {n: results.row_settings(n, 0, own) for n in ("max", "max_learned")}
    assert settings["max_learned"]["retrained"]["network"]["teacher"]["pooling"] == "max"
    assert "retrained" not in settings["max"]


def test_the_plain_student_is_as_large_as_the_mirrored_one(p):
    for profile in (p, profiles.load("cpu")):
        mirrored, plain = (
            sum(w.numel() for w in controls.student_of(ROWS[n], profile, 0).parameters())
            for n in ("two", "plain")
        )
        assert plain == pytest.approx(mirrored, rel=0.1 if profile is p else 0.02)
    text = torch.randn(3, p.network.text_dim)
    made = controls.student_of(ROWS["plain"], p, 0)(text)
    assert list(made) == ["image"] and made["image"].shape == (3, 3, 32, 32)
    for size in (32, 64, 96, 160, 224):
        plain = controls.PlainStudent(16, 16, size, 60_000)
        assert plain(torch.randn(2, 16))["image"].shape == (2, 3, size, size)
