"""Rows are trained once, kept, and refused where their settings change."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from tiny_book import ROOT

from sdn_lib import experiments, profiles
from sdn_lib.book import grid
from sdn_lib.distillation import STEP_COST
from sdn_lib.errors import SDNError
from sdn_lib.experiments import results


def test_the_stored_rows_fall_back_to_the_books(home, p, monkeypatch):
    folder = home / "stored" / "ablation" / "cpu"
    monkeypatch.setattr(profiles, "ROOT", home / "none")
    with pytest.raises(SDNError, match="holds no rows: run `sdn ablate --profile smoke`"):
        results.stored_rows(p)
    monkeypatch.setattr(results, "rows_folder", lambda p: folder.with_name(p.name))
    folder.mkdir(parents=True)
    for seed in (0, 1):
        made = {"settings": {"row": {}, "seed": seed}}
        (folder / f"high_mid-{seed}.json").write_text(json.dumps(made))
    found = results.stored_rows(p)
    assert list(found) == ["high_mid"]
    assert [f["settings"]["seed"] for f in found["high_mid"]] == [0, 1]
    for damage in ({}, {"settings": []}, {"settings": {"seed": 2}}):
        (folder / "high_mid-2.json").write_text(json.dumps(damage))
        with pytest.raises(SDNError, match="high_mid-2.json does not say which row.*delete it"):
            results.stored_rows(p)


def test_a_row_spends_its_budget(p, home):
    larger = dataclasses.replace(p, baseline=dataclasses.replace(p.baseline, steps=960))
    for name in ("full", "plain"):
        facts = experiments.train_row(name, 0, larger, home / "budget")
        spent = sum(STEP_COST[mode] * count for mode, count in facts["steps"].items())
        assert spent == facts["settings"]["budget"] == 240


def test_a_row_is_kept_resumed_and_refused_when_settings_change(p, home):
    folder = home / "rows"
    found = {name: experiments.train_row(name, 0, p, folder) for name in ("full", "plain")}
    facts = found["full"]
    assert set(facts["steps"]) == {"stage_one", "stage_two"}
    assert set(found["plain"]["steps"]) == {"stage_two"}
    for gap in ("heterogeneous", "homogeneous"):
        assert set(facts[gap]) == {"image", "pool1", "pool2", "pool3", "pool4", "pool5"}
        assert all(low <= value <= high for value, low, high in facts[gap].values())
    assert facts["accuracy"][0] == pytest.approx(facts["attributes"]["mean"])
    assert len(facts["spectrum"]) == p.data.size // 2
    assert (folder / "full-0.png").exists()
    before = (folder / "full-0.json").read_bytes()
    again = experiments.train_row("full", 0, p, folder)
    assert again == json.loads(before) and (folder / "full-0.json").read_bytes() == before
    cheaper = dataclasses.replace(p, baseline=dataclasses.replace(p.baseline, steps=64))
    with pytest.raises(SDNError, match="full-0.json was made with another budget"):
        experiments.train_row("full", 0, cheaper, folder)
    heavier = dataclasses.replace(p.stage_one, image_weight=7.0)
    with pytest.raises(SDNError, match="another training .*image_weight is 5.0, wanted 7.0"):
        experiments.train_row("full", 0, dataclasses.replace(p, stage_one=heavier), folder)
    smaller = dataclasses.replace(p.network, fc_width=32)
    with pytest.raises(SDNError, match="another network .*fc_width is 64, wanted 32"):
        experiments.train_row("full", 0, dataclasses.replace(p, network=smaller), folder)
    asked = dataclasses.replace(p.evaluation, seeds=(5,))
    with pytest.raises(SDNError, match="another exam .*seed is 0, wanted 5"):
        experiments.train_row("full", 0, dataclasses.replace(p, evaluation=asked), folder)
    with pytest.raises(SDNError, match="unknown row 'ful': did you mean 'full'"):
        experiments.train_row("ful", 0, p, folder)
    for damage in (b"{", b"\xff{}"):
        (folder / "full-0.json").write_bytes(damage)
        with pytest.raises(SDNError, match="full-0.json cannot be read .*: delete it and run"):
            experiments.train_row("full", 0, p, folder)


def test_the_grid_runs_in_notebooks_and_resumes(p, home):
    folder, said = home / "grid", []

    def again(*rows):
        grid.ablate(
            "smoke", rows, folder=folder, output_dir=p.output_dir, root=home, report=said.append
        )

    shutil.copytree(ROOT / "book" / "rows", home / "book" / "rows")
    again("brief", "pixels")
    assert len(said) == 2 and "accuracy" in said[0]
    assert {f.name for f in folder.glob("*.json")} == {"brief-0.json", "pixels-0.json"}
    assert (home / "_build" / "smoke" / "rows" / "brief-0.ipynb").exists()
    again("brief", "pixels")
    assert len(said) == 2
    with pytest.raises(SDNError, match="unknown row 'ful'"):
        again("ful")
