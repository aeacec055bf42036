"""Rows of the grid change what they say and nothing else, at equal cost."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from sdn_lib import ablation, profiles, runs, vgg
from sdn_lib.ablation import ROWS, Row
from sdn_lib.errors import SDNError


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    patch = pytest.MonkeyPatch()
    patch.setattr(profiles, "ROOT", folder)
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def p(home):
    return profiles.load("smoke", output_dir=str(home / "runs"))


def task_of(row, mode, p, weights=None):
    teacher, student = ablation.teacher_of(row, p, 0), ablation.student_of(row, p, 0)
    table = runs.embeddings(p)
    return ablation.AblationTask(
        row, mode, runs.dataset(p), student, teacher, table, weights or {}
    )


def losses_of(row, mode, p, weights=None):
    task = task_of(row, mode, p, weights)
    return task(**task.sample(0, 0, 4))


@pytest.mark.parametrize("name", ROWS)
def test_every_row_costs_the_budget(name, p):
    row = ROWS[name]
    assert sum(share for _, share in row.plan) == 1
    big = dataclasses.replace(p, baseline=profiles.PROFILES["cpu"].baseline)
    total = ablation.budget(big)
    spent = sum(round(share * total / ablation.PASSES[mode]) * ablation.PASSES[mode]
                for mode, share in row.plan)
    assert spent == pytest.approx(total, rel=0.01)


def test_levels_keep_the_picture_and_nothing_else(p):
    level = vgg.level_of(p.network.depth)
    for name in ("high", "mid_low", "full"):
        for mode in ("stage_one", "stage_two"):
            found = losses_of(ROWS[name], mode, p)
            wanted = {n for n in level if n == "image" or level[n] in ROWS[name].levels}
            assert set(found) == wanted
    assert set(losses_of(ROWS["pixels"], "pixels", p)) == {"image"}


def test_both_is_the_sum_of_both(p):
    one, two, both = (losses_of(ROWS["both"], m, p) for m in ("stage_one", "stage_two", "both"))
    torch.testing.assert_close(both.total, one.total + two.total, rtol=1e-4, atol=1e-4)


def test_controls_share_the_weights_they_should(p):
    kinds = ("trained", "shuffled", "random")
    trained, shuffled, blank = (ablation.teacher_of(Row("", teacher=k), p, 0) for k in kinds)
    for name, conv in trained.convs.items():
        ours, theirs = conv.weight.flatten(), shuffled.convs[name].weight.flatten()
        torch.testing.assert_close(ours.sort().values, theirs.sort().values)
        assert not torch.equal(ours, theirs)
        assert not torch.equal(conv.weight, blank.convs[name].weight)
    with pytest.raises(SDNError, match="unknown teacher 'tired'"):
        ablation.teacher_of(Row("", teacher="tired"), p, 0)


def test_the_plain_student_is_as_large_as_the_mirrored_one(p):
    for profile in (p, profiles.load("cpu")):
        mirrored, plain = (
            sum(w.numel() for w in ablation.student_of(ROWS[n], profile, 0).parameters())
            for n in ("two", "plain")
        )
        assert plain == pytest.approx(mirrored, rel=0.1 if profile is p else 0.02)
    text = torch.randn(3, p.network.text_dim)
    made = ablation.student_of(ROWS["plain"], p, 0)(text)
    assert list(made) == ["image"] and made["image"].shape == (3, 3, 32, 32)


def test_normalised_terms_begin_at_the_same_size(p):
    task = task_of(ROWS["normalised"], "stage_two", p)
    task.weights = ablation._equal(task, 0, 8)
    values = torch.stack(list(task(**task.sample(0, 0, 8)).values()))
    assert (values.max() / values.min()).item() == pytest.approx(1, rel=0.05)


def test_one_caption_a_picture_is_its_first(p):
    task = task_of(ROWS["one_caption"], "pixels", p)
    table = torch.from_numpy(task.embeddings).float()
    first = {tuple(v[:4].tolist()) for v in table[:, 0]}
    drawn = task.sample(3, 0, 16)["text"]
    assert all(tuple(v[:4].tolist()) in first for v in drawn)


def test_a_row_is_kept_resumed_and_refused_when_settings_change(p, home):
    folder, said = home / "rows", []
    found = ablation.ablate(p, ["full", "plain"], [0], folder, said.append)
    assert len(said) == 2 and list(found) == ["full", "plain"]
    facts = found["full"][0]
    assert set(facts["steps"]) == {"stage_one", "stage_two"}
    assert set(found["plain"][0]["steps"]) == {"stage_two"}
    for gap in ("heterogeneous", "homogeneous"):
        assert set(facts[gap]) == {"image", "pool1", "pool2", "pool3", "pool4", "pool5"}
        assert all(low <= value <= high for value, low, high in facts[gap].values())
    assert 0 <= facts["attributes"]["mean"] <= 1
    assert (folder / "full-0.png").exists()
    before = (folder / "full-0.json").read_bytes()
    again = ablation.run("full", 0, p, folder)
    assert again == json.loads(before) and (folder / "full-0.json").read_bytes() == before
    cheaper = dataclasses.replace(p, baseline=dataclasses.replace(p.baseline, steps=64))
    with pytest.raises(SDNError, match="full-0.json was made with another budget"):
        ablation.run("full", 0, cheaper, folder)
    with pytest.raises(SDNError, match="unknown row 'ful': did you mean 'full'"):
        ablation.run("ful", 0, p, folder)
