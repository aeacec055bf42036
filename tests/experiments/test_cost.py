"""What a training costs is counted as the method is written."""

from __future__ import annotations

import pytest

from sdn_lib import profiles
from sdn_lib.experiments import cost

TINY = {"depth": 13, "width": 1 / 16, "size": 32, "fc_width": 16}
PAPER = {"depth": 19, "width": 1.0, "size": 224, "fc_width": 4096}


def test_the_work_of_stages_is_as_their_steps_are_charged():
    work = {s: cost.multiply_adds(s, **PAPER, batch=12) for s in ("pixels", "stage_one")}
    work["stage_two"] = cost.multiply_adds("stage_two", **PAPER, batch=12)
    # The teacher's convolutions, 19.5e9 a picture, once in stage one and three times in stage two.
    once = work["stage_one"] - work["pixels"]
    assert once == pytest.approx(12 * 19.5e9, rel=0.01)
    assert work["stage_two"] - work["pixels"] == pytest.approx(3 * once)
    shared = cost.multiply_adds("stage_one", **PAPER, batch=12, together=4)
    assert shared - work["pixels"] == pytest.approx(once / 4)


def test_the_work_of_a_new_stage_follows_from_its_step_s_cost(monkeypatch):
    monkeypatch.setitem(cost.distillation.STEP_COST, "new", 6)
    for together in (1, 3):
        how = {**TINY, "batch": 6, "together": together}
        assert cost.multiply_adds("new", **how) == cost.multiply_adds("stage_two", **how)


def test_memory_is_weights_and_what_grows_with_the_batch():
    at = {n: cost.memory("stage_two", **TINY, batch=n) for n in (2, 4, 8)}
    assert at[8] - at[4] == pytest.approx(2 * (at[4] - at[2]), rel=0.01) and at[4] > at[2]
    assert cost.memory("stage_one", **TINY, batch=8) < at[8]
    networks = cost._networks(**TINY)
    held = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert 2 * at[4] - at[8] == pytest.approx(12 * held[0] + 4 * held[1], abs=100), "once each"
    learned = 143_789_123
    weights = 12 * learned + 4 * 20_024_384
    assert cost.memory("stage_one", **PAPER, batch=12) > weights


def test_hours_are_steps_times_work_over_the_rate():
    p = profiles.load("birds")
    n = p.network
    step = cost.multiply_adds("stage_one", n.depth, n.width, 224, n.fc_width, p.stage_one.batch)
    seconds = p.stage_one.steps * step / (cost.SHARE * cost.RATES["fp32"])
    assert cost.hours(p, "stage_one") == pytest.approx(seconds / 3600)
    assert cost.hours(p, "stage_two") > cost.hours(p, "stage_one")
    quick = profiles.load("birds", stage_one__precision="bf16")
    assert cost.hours(quick, "stage_one") == pytest.approx(cost.hours(p, "stage_one") / 2)
