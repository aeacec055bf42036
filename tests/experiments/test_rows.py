"""Rows of the grid change what they say and nothing else, at equal cost."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from sdn_lib import profiles, runs, vgg
from sdn_lib.errors import SDNError
from sdn_lib.experiments import controls, losses, results, rows
from sdn_lib.experiments.rows import ROWS, Row


def task_of(row, mode, p, weights=None):
    teacher, student = controls.teacher_of(row, p, 0), controls.student_of(row, p, 0)
    table = runs.embeddings(p)
    loss = losses.loss_of(row, mode, p.network.depth, weights)
    return losses.RowTask(row, runs.dataset(p), student, teacher, None, loss, table)


def losses_of(row, mode, p, weights=None):
    task = task_of(row, mode, p, weights)
    return task(**task.sample(0, 0, 4))


@pytest.mark.parametrize("name", ROWS)
def test_every_row_costs_the_budget(name, p):
    row = ROWS[name]
    assert sum(share for _, share in row.plan) == 1
    big = dataclasses.replace(p, baseline=profiles.PROFILES["cpu"].baseline)
    total = results.row_settings(name, 0, big)["budget"]
    assert total == pytest.approx(rows.budget(big) * row.cost, abs=1)


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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": "tired"}, "no teacher 'tired'"),
        ({"levels": ("hihg",)}, "no level 'hihg': did you mean 'high'"),
        ({"plan": (("both", 1),), "normalised": True}, "has no mode 'both'"),
        ({"plan": (("stage_tow", 1),)}, "no mode 'stage_tow': did you mean 'stage_two'"),
        ({"distance": "l3"}, "no distance 'l3'"),
    ],
)
def test_a_row_that_cannot_be_is_refused(changes, said):
    with pytest.raises(SDNError, match=said):
        Row("", **changes)


def test_normalised_terms_begin_at_the_same_size(p):
    task = task_of(ROWS["normalised"], "stage_two", p)
    weights = losses.equal_weights(task, 0, 8)
    task.loss = losses.loss_of(ROWS["normalised"], "stage_two", p.network.depth, weights)
    values = torch.stack(list(task(**task.sample(0, 0, 8)).values()))
    assert (values.max() / values.min()).item() == pytest.approx(1, rel=0.05)


def test_one_caption_a_picture_is_its_first(p):
    task = task_of(ROWS["one_caption"], "pixels", p)
    table = torch.from_numpy(task.embeddings).float()
    first = {tuple(v[:4].tolist()) for v in table[:, 0]}
    drawn = task.sample(3, 0, 16)["text"]
    assert all(tuple(v[:4].tolist()) in first for v in drawn)


def test_captions_embedded_as_they_come_are_those_of_the_table(p):
    row, data = ROWS["full"], runs.dataset(p)
    teacher, student = controls.teacher_of(row, p, 0), controls.student_of(row, p, 0)
    given = [(runs.embeddings(p), None), (None, runs.get("text", p).model)]
    tasks = [
        losses.RowTask(row, data, student, teacher, encoder, None, table)
        for table, encoder in given
    ]
    a, b = (task.sample(3, 1, 8) for task in tasks)
    b["text"] = tasks[1].embed(b.pop("characters"))
    assert set(a) == set(b) == {"images", "text"}
    torch.testing.assert_close(a["text"], b["text"], rtol=2e-3, atol=1e-4)
