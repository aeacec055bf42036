"""The benchmark for a GPU, as far as a machine without one can run it."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import pytest
import torch

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
    assert losses["fast"][0] != losses["fast"][2]


def test_throughput_stops_where_memory_does(bench, monkeypatch):
    training, gpu = bench

    def measured(cases, steps, warm_up):
        seconds = {"plain": 3.0, "fast": 0.5}
        fits = {case: case.kind == "fast" or case.batch < 4 for case in cases}
        return {c: (seconds[c.kind] if fits[c] else math.inf, 10**9) for c in cases}

    monkeypatch.setattr(gpu, "measure", measured)
    rows = gpu.throughput("stage_two", 1e12, (2, 4), ("plain", "fast"), 1, **TINY)
    fit = [(2, "plain"), (2, "fast"), (4, "fast")]
    assert [(row["batch"], row["variant"]) for row in rows] == fit
    assert [row["images a second"] for row in rows] == pytest.approx([2 / 3, 4, 8])
    assert rows[1]["times plain"] == pytest.approx(6) and rows[2]["times plain"] == ""
    work = training.multiply_adds(training.Case("fast", "stage_two", **TINY, batch=2))
    assert rows[1]["of the bf16 rate"] == pytest.approx(work / 0.5 / 1e12)


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
