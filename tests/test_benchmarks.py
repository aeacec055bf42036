"""The benchmark for a GPU, as far as a machine without one can run it."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path

import pytest
import torch

from sdn_lib.book.speed import speed_page
from sdn_lib.profiles import ROOT

TINY = {"depth": 11, "width": 1 / 16, "size": 32, "fc_width": 16}


@pytest.fixture(scope="module")
def bench():
    """The modules bench_training and bench_gpu."""
    folder = str(Path(__file__).resolve().parent.parent / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("bench_training"), importlib.import_module("bench_gpu")
    sys.path.remove(folder)


@pytest.mark.parametrize("stage", ["stage_one", "stage_two"])
def test_a_compiled_step_is_one_graph_and_learns_the_same(bench, stage, monkeypatch):
    training, _ = bench
    # Without a compiler for the machine: what is checked is that nothing falls out of the graph.
    monkeypatch.setitem(training.COMPILED, "compiled", {"backend": "aot_eager", "fullgraph": True})
    losses = {}
    for kind in ("fast", "compiled"):
        step = training.stepper(training.Case(kind, stage, **TINY, batch=2))
        losses[kind] = [step() for _ in range(3)]
    assert losses["compiled"] == pytest.approx(losses["fast"], rel=0.01)
    assert all(own[0] != own[2] for own in losses.values())


def test_throughput_leaves_out_what_fails_or_does_not_fit(bench, monkeypatch, capsys):
    training, gpu = bench

    def measured(cases, steps, warm_up):
        (case,) = cases
        if case.kind == "compiled":
            raise RuntimeError("no compiler")
        seconds = {"plain": 3.0, "fast": 0.5}[case.kind]
        fits = case.kind == "fast" or case.batch < 4
        return {case: (seconds if fits else math.inf, 10**9)}

    monkeypatch.setattr(gpu, "measure", measured)
    kinds = ("plain", "fast", "compiled")
    rows = [row for n in (2, 4) for row in gpu.throughput("stage_two", 1e12, n, kinds, 1, **TINY)]
    fit = [(2, "plain"), (2, "fast"), (4, "fast")]
    assert [(row["batch"], row["variant"]) for row in rows] == fit
    assert [row["images a second"] for row in rows] == pytest.approx([2 / 3, 4, 8])
    assert rows[1]["times plain"] == pytest.approx(6) and rows[2]["times plain"] == ""
    work = training.multiply_adds(training.Case("fast", "stage_two", **TINY, batch=2))
    assert rows[1]["of the bf16 rate"] == pytest.approx(work / 0.5 / 1e12)
    said = capsys.readouterr().out
    assert "no compiler" in said and "plain, stage_two, batch 4: too large" in said


def test_a_case_that_fails_is_named_and_not_waited_for(bench):
    training, _ = bench
    with pytest.raises(RuntimeError, match="Case.kind='fast', stage='stage_six'.* failed"):
        training.measure([training.Case("fast", "stage_six", **{**TINY, "depth": 12})], steps=1)


def test_the_benchmark_keeps_each_batch_and_the_page_shows_it(bench, monkeypatch, tmp_path):
    training, gpu = bench
    kept = []

    def measured(cases, steps, warm_up):
        if cases[0].batch == 24 and cases[0].stage == "stage_two":
            kept.append(json.loads((tmp_path / "gpu.json").read_text())["tables"])
        return {case: (1 / case.batch, 10**9) for case in cases}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "measure", measured)
    monkeypatch.setattr(gpu, "rates", lambda: {"bf16": 1e12, "fp32": 1e11, "copy": 1e10})
    monkeypatch.setattr(gpu, "loaded", lambda size, batch: 2.0 * batch)
    monkeypatch.setattr(gpu, "where_time_goes", lambda case: [{"kernel": "`k<a|b>`", "share": 1.0}])
    monkeypatch.setattr(gpu.record, "ROOT", tmp_path)
    monkeypatch.setattr(gpu.record, "FOLDER", tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["bench_gpu.py", "--batches", "12", "24", "--kinds", "plain", "fast"]
    )
    gpu.main()
    assert len(kept[0]["Training on a GPU"]) == 6, "both stages of 12, stage one of 24"
    page = speed_page(ROOT / "book" / "speed.md", tmp_path)
    assert "## GPU" in page and "Stage two, fast, batch 24: where the time goes" in page
    assert "| `k<a/b>` | 1 |" in page and "No GPU was at hand" not in page


def test_profile_shares_and_loading(bench):
    training, gpu = bench
    rows = gpu.where_time_goes(training.Case("fast", "stage_one", **TINY, batch=2), steps=1, most=5)
    shares = [row["share"] for row in rows]
    assert len(rows) == 5 and shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1
    assert gpu.loaded(32, 16, images=200) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so_and_keeps_nothing(bench, monkeypatch, capsys):
    _, gpu = bench
    monkeypatch.setattr(gpu.record, "save", lambda *_: pytest.fail("saved"))
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py"])
    gpu.main()
    assert "no GPU" in capsys.readouterr().out


def stored(name, title, **where):
    """The rows of a stored table, by variant."""
    facts = json.loads((ROOT / "results" / "benchmarks" / f"{name}.json").read_text())
    found = (row for row in facts["tables"][title] if where.items() <= row.items())
    return {row["variant"]: row for row in found}


@pytest.mark.parametrize("stage", ["stage_one", "stage_two"])
def test_what_is_said_of_the_stored_curves_holds(stage):
    rows = stored("curves", "Loss after 300 steps, mean of seeds", stage=stage)
    assert rows["fast"]["captions a step"] == rows["4 captions an image"]["captions a step"]
    more = rows["larger batch, 4 captions an image"]
    assert rows["fast"]["pictures a step"] == more["pictures a step"]
    for loss, spread in (("last 50 steps", "spread of seeds"), ("unseen pictures", "spread")):
        seeds = max(rows[name][spread] for name in ("plain", "fast"))
        assert abs(rows["fast"][loss] - rows["plain"][loss]) < seeds, "no further than seeds"
    loss, spread = "unseen pictures", rows["fast"]["spread"]
    assert rows["4 captions an image"][loss] > rows["fast"][loss] + spread, "fewer pictures: harm"
    assert more[loss] < rows["fast"][loss] + spread, "as many pictures, more captions: none"
    wide = rows["larger batch"]
    as_good = more[loss] < wide[loss] + wide["spread"]
    assert as_good == (stage == "stage_one"), "captions replace pictures in stage one alone"


def test_the_readme_says_what_was_measured():
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    stages = [
        stored("training", "A training step", stage=stage, size="paper")["fast"]
        for stage in ("stage_one", "stage_two")
    ]
    time, memory = ([row[key] for row in stages] for key in ("of plain", "peak of plain"))
    assert (
        f"takes {time[0]:.2f} of a plain PyTorch port's time in stage one and {time[1]:.2f} in "
        f"stage two, at {memory[0]:.2f} and {memory[1]:.2f} of its memory"
    ) in text
    gpu = [
        stored("gpu", "Training on a GPU", stage=stage, batch=12)["fast"]["times plain"]
        for stage in ("stage_one", "stage_two")
    ]
    assert f"process {gpu[0]:.2f} and {gpu[1]:.2f} times as many pictures a second" in text
