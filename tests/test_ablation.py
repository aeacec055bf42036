"""Rows of the grid change what they say and nothing else, at equal cost."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from scipy import stats
from tiny_book import ROOT

from sdn_lib import ablation, experiments, judging, profiles, runs, vgg
from sdn_lib.ablation import ROWS, Claim, Row
from sdn_lib.book import grid
from sdn_lib.errors import SDNError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def task_of(row, mode, p, weights=None):
    teacher, student = ablation.teacher_of(row, p, 0), ablation.student_of(row, p, 0)
    table = runs.embeddings(p)
    loss = ablation.loss_of(row, mode, p.network.depth, weights)
    return ablation.AblationTask(row, runs.dataset(p), student, teacher, loss, table)


def losses_of(row, mode, p, weights=None):
    task = task_of(row, mode, p, weights)
    return task(**task.sample(0, 0, 4))


@pytest.mark.parametrize("name", ROWS)
def test_every_row_costs_the_budget(name, p):
    row = ROWS[name]
    assert sum(share for _, share in row.plan) == 1
    big = dataclasses.replace(p, baseline=profiles.PROFILES["cpu"].baseline)
    total = ablation.settings_of(name, 0, big)["budget"]
    assert total == pytest.approx(ablation.budget(big) * row.cost, abs=1)
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
        ours, theirs = ours / ours.norm(), theirs / theirs.norm()
        torch.testing.assert_close(ours.sort().values, theirs.sort().values)
        assert not torch.equal(ours, theirs)
        assert not torch.equal(conv.weight, blank.convs[name].weight)
    data = runs.dataset(p)
    pictures = runs.images(data, data.indices("train")[:128])
    wanted = {name: ablation._contrast(x) for name, x in trained(pictures).items()}
    for teacher in (shuffled, blank):
        for name in teacher.convs:
            found = ablation._contrast(teacher(pictures)[name])
            torch.testing.assert_close(found, wanted[name], rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"teacher": "tired"}, "no teacher 'tired'"),
        ({"levels": ("hihg",)}, "no level 'hihg': did you mean 'high'"),
        ({"plan": (("stage_tow", 1),)}, "no mode 'stage_tow': did you mean 'stage_two'"),
        ({"distance": "l3"}, "no distance 'l3'"),
    ],
)
def test_a_row_that_cannot_be_is_refused(changes, said):
    with pytest.raises(SDNError, match=said):
        Row("", **changes)


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
    weights = ablation.equal_weights(task, 0, 8)
    task.loss = ablation.loss_of(ROWS["normalised"], "stage_two", p.network.depth, weights)
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
    teacher, student = ablation.teacher_of(row, p, 0), ablation.student_of(row, p, 0)
    given = [(runs.embeddings(p), None), (None, runs.get("text", p).model)]
    tasks = [
        ablation.AblationTask(row, data, student, teacher, None, table, encoder)
        for table, encoder in given
    ]
    a, b = (task.sample(3, 1, 8) for task in tasks)
    b["text"] = tasks[1].embed(b.pop("characters"))
    assert set(a) == set(b) == {"images", "text"}
    torch.testing.assert_close(a["text"], b["text"], rtol=2e-3, atol=1e-4)


def results(**scores):
    """Return stored results of rows: an accuracy for each seed from 0."""
    return {
        name: [{"settings": {"seed": seed}, "attributes": {"mean": value}}
               for seed, value in enumerate(values)]
        for name, values in scores.items()
    }  # fmt: skip


def test_rows_are_compared_seed_by_seed():
    found = results(full=[0.5, 0.7, 0.9], low=[0.4, 0.6, 0.8], high=[0.9])
    mean, low, high = ablation.compare(found, "full", "low", "accuracy")
    assert (mean, low, high) == pytest.approx((0.1, 0.1, 0.1))
    assert ablation.compare(found, "low", "full", "accuracy")[0] == pytest.approx(-0.1)
    assert ablation.compare(found, "high", "low", "accuracy")[1] == -np.inf
    with pytest.raises(SDNError, match="no run of row 'mid' is stored"):
        ablation.compare(found, "full", "mid", "accuracy")
    with pytest.raises(SDNError, match="unknown measure 'acuracy'"):
        ablation.compare(found, "full", "low", "acuracy")
    found["low"] = found["low"][1:]
    with pytest.raises(SDNError, match="share no seed"):
        ablation.compare(found, "high", "low", "accuracy")
    with pytest.raises(SDNError, match="two runs of one seed: \\[0, 0\\]"):
        ablation.compare(found | {"high": found["high"] * 2}, "high", "full", "accuracy")


@pytest.mark.parametrize(
    ("rival", "said"),
    [([0.4, 0.5, 0.6], "supported"), ([0.6, 0.7, 0.8], "not supported"),
     ([0.1, 0.6, 0.9], "undecided here"), ([0.5, 0.6, 0.7], "undecided here")],
)  # fmt: skip
def test_a_verdict_follows_its_comparisons(rival, said):
    found = results(full=[0.5, 0.6, 0.7], low=rival)
    assert ablation.verdict(found, Claim("", (("full", "low", "accuracy"),))) == said
    both = Claim("", (("full", "low", "accuracy"), ("low", "full", "accuracy")))
    assert ablation.verdict(found, both) == said if "undecided" in said else "mixed"


def test_some_for_and_some_against_is_mixed_and_one_against_is_not_supported():
    found = results(full=[0.5, 0.6, 0.7], low=[0.4, 0.5, 0.6], mid=[0.6, 0.7, 0.8],
                    high=[0.1, 0.6, 0.9])  # fmt: skip
    test = {name: ("full", name, "accuracy") for name in found}
    claims = {
        "mixed": Claim("", (test["low"], test["mid"], test["high"])),
        "not supported": Claim("", (test["mid"], test["high"])),
        "undecided here": Claim("", (test["low"], test["high"])),
        "supported": Claim("", (test["low"],)),
    }
    assert ablation.verdicts(found, claims) == {name: name for name in claims}
    assert set(claims) == set(ablation.VERDICTS)


def test_p_values_are_holms_of_paired_t_tests(rng):
    scores = {name: rng.normal(loc, 1, 6).tolist() for name, loc in
              {"full": 2, "low": 0, "mid": 1, "high": 2}.items()}  # fmt: skip
    tests = [("full", name, "accuracy") for name in ("low", "mid", "high")]
    alone = [stats.ttest_rel(scores["full"], scores[t[1]]).pvalue for t in tests]
    found = ablation.p_values(results(**scores), [*tests, tests[0]])
    assert list(found) == tests
    assert ablation.p_values(results(**scores), tests[:1])[tests[0]] == pytest.approx(alone[0])
    wanted, largest = {}, 0.0
    for times, k in zip((3, 2, 1), np.argsort(alone), strict=True):
        largest = max(largest, min(1, times * alone[k]))
        wanted[tests[k]] = largest
    assert found == pytest.approx(wanted)
    once = results(full=[0.9], low=[0.1])
    assert ablation.p_values(once, tests[:1]) == {tests[0]: 1}


def test_one_clear_comparison_among_many_unclear_ones_is_not_enough_unless_very_clear():
    # Alone, p is 0.02: enough for one comparison and too little for four.
    full, low = [1.0, 1.1, 1.2], [0.9, 0.93, 1.02]
    found = results(full=full, low=low, mid=[1.0, 1.2, 1.1], high=[1.1, 1.0, 1.2],
                    one=[1.2, 1.1, 1.0])  # fmt: skip
    tests = tuple(("low", name, "accuracy") for name in ("full", "mid", "high", "one"))
    assert ablation.compare(found, *tests[0])[2] < 0
    assert ablation.verdict(found, Claim("", tests[:1])) == "not supported"
    assert ablation.verdict(found, Claim("", tests)) == "undecided here"


@pytest.mark.parametrize("seeds", [3, 5])
def test_where_nothing_differs_the_verdicts_seldom_say_otherwise(rng, seeds):
    grids = [ablation.chance_grid(seeds, rng) for _ in range(600)]
    said = [set(ablation.verdicts(grid).values()) != {"undecided here"} for grid in grids]
    assert np.mean(said) < 0.07
    tests = [test for claim in ablation.CLAIMS.values() for test in claim.tests]
    alone = [any(ablation.compare(grid, *t)[2] < 0 for t in tests) for grid in grids[:100]]
    assert np.mean(alone) > 0.3


def test_a_claim_of_the_book_is_judged_with_all_of_them(rng):
    grid, claim = ablation.chance_grid(3, rng), ablation.CLAIMS["mid"]
    for row, rival, measure in claim.tests:
        assert measure == "frechet"
        for ours, theirs, ahead in zip(grid[row], grid[rival], (1.0, 1.2, 1.4), strict=True):
            theirs["frechet"] = ours["frechet"] + ahead
    assert ablation.verdict(grid, Claim("of its own", claim.tests)) == "supported"
    assert ablation.verdict(grid, claim) == ablation.verdicts(grid)["mid"] == "undecided here"


def test_claims_name_rows_and_measures_that_exist():
    for claim in ablation.CLAIMS.values():
        for row, rival, measure in claim.tests:
            assert {row, rival} <= set(ROWS) and measure in ablation.MEASURES


def test_the_stored_rows_fall_back_to_the_books(home, p, monkeypatch):
    folder = home / "stored" / "ablation" / "cpu"
    monkeypatch.setattr(profiles, "ROOT", home / "none")
    with pytest.raises(SDNError, match="holds no rows: run `sdn ablate --profile smoke`"):
        ablation.stored(p)
    monkeypatch.setattr(ablation, "folder_of", lambda p: folder.with_name(p.name))
    folder.mkdir(parents=True)
    for seed in (0, 1):
        (folder / f"high_mid-{seed}.json").write_text(json.dumps({"seed": seed}))
    found = ablation.stored(p)
    assert [f["seed"] for f in found["high_mid"]] == [0, 1] and list(found) == ["high_mid"]


def test_the_mark_of_the_real_pictures_is_perfect(p):
    asked = experiments.draw_exam(p)
    assert len(asked.species) == len(asked.captions) > len(set(asked.species))
    judges = (runs.get(n, p).model for n in ("evaluator", "teacher"))
    found = experiments.mark(asked.real, asked, *judges, draws=2)
    assert found["frechet"] == pytest.approx(0, abs=1e-3)
    assert found["spectrum"] == pytest.approx(np.ones(p.data.size // 2))
    assert judging.detail(found["spectrum"]) == pytest.approx(0)


def test_a_row_is_kept_resumed_and_refused_when_settings_change(p, home):
    folder = home / "rows"
    found = {name: ablation.run(name, 0, p, folder) for name in ("full", "plain")}
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
    again = ablation.run("full", 0, p, folder)
    assert again == json.loads(before) and (folder / "full-0.json").read_bytes() == before
    cheaper = dataclasses.replace(p, baseline=dataclasses.replace(p.baseline, steps=64))
    with pytest.raises(SDNError, match="full-0.json was made with another budget"):
        ablation.run("full", 0, cheaper, folder)
    heavier = dataclasses.replace(p.stage_one, image_weight=7.0)
    with pytest.raises(SDNError, match="another training .*image_weight is 5.0, wanted 7.0"):
        ablation.run("full", 0, dataclasses.replace(p, stage_one=heavier), folder)
    smaller = dataclasses.replace(p.network, fc_width=32)
    with pytest.raises(SDNError, match="another network .*fc_width is 64, wanted 32"):
        ablation.run("full", 0, dataclasses.replace(p, network=smaller), folder)
    with pytest.raises(SDNError, match="unknown row 'ful': did you mean 'full'"):
        ablation.run("ful", 0, p, folder)
    (folder / "full-0.json").write_text("{")
    with pytest.raises(SDNError, match="full-0.json is no JSON"):
        ablation.run("full", 0, p, folder)


def test_the_grid_runs_in_notebooks_and_resumes(p, home, capsys):
    folder, said = home / "grid", []

    def again(*rows):
        grid.ablate("smoke", rows, folder=folder, output_dir=p.output_dir, root=home,
                         report=said.append)

    shutil.copytree(ROOT / "book" / "rows", home / "book" / "rows")
    again("brief", "pixels")
    assert len(said) == 2 and "accuracy" in said[0]
    assert {f.name for f in folder.glob("*.json")} == {"brief-0.json", "pixels-0.json"}
    assert (home / "_build" / "smoke" / "rows" / "brief-0.ipynb").exists()
    again("brief", "pixels")
    assert len(said) == 2
    with pytest.raises(SDNError, match="unknown row 'ful'"):
        again("ful")
