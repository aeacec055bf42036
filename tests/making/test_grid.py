"""Rows of the ablation run once each."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdn_lib import experiments
from sdn_lib.book import grid


def test_rows_and_seeds_that_are_named_twice_run_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[tuple] = []
    monkeypatch.setattr(experiments, "stored_row", lambda *_: None)
    monkeypatch.setattr(grid, "run_jobs", lambda task, these, *_: jobs.extend(these) or [])
    grid.ablate("smoke", ["high", "high"], [1, 0, 1], folder=tmp_path)
    assert [(values["row"], values["seed"]) for _, values in jobs] == [("high", 1), ("high", 0)]
