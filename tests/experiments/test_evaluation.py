"""The students' scores, and what is published of them: the smoke profile in a folder of its own."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from sdn_lib import cli, experiments, files, profiles, runs
from sdn_lib.errors import SDNError
from sdn_lib.experiments import evaluation, publishing, showcase, trainings


def test_evaluation_reports_scores_spread_and_protocol(p):
    report = experiments.evaluate(p)
    assert list(report["runs"]) == ["real", "chance", *runs.STUDENTS]
    for name in runs.STUDENTS:
        s = report["runs"][name]["accuracy"]
        assert s["mean"] == pytest.approx(np.mean(s["values"])) and len(s["values"]) == 3
        assert (s["low"], s["high"]) == (min(s["values"]), max(s["values"]))
        for metric in ("frechet", "second_frechet", "fine_power", "periodicity"):
            assert report["runs"][name][metric]["mean"] > 0
        assert 0 <= report["runs"][name]["second_accuracy"]["mean"] <= 1
    assert report["runs"]["real"]["periodicity"]["mean"] >= 1
    assert report["protocol"]["images"] == 64 and len(report["protocol"]["data"]) == 64
    json.dumps(report)
    table = experiments.to_table(report)
    assert "stage_two" in table and "64 captions" in table


def test_a_stored_evaluation_is_used_for_the_very_weights_only(p, home, monkeypatch):
    report, asked = experiments.evaluate(p), []
    measured = {"new": True}
    monkeypatch.setattr(evaluation, "evaluate", lambda profile: asked.append(profile) or measured)
    path = home / "results" / "smoke" / "evaluation.json"
    assert evaluation.evaluation_of(p) == {"new": True}
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, report)
    assert evaluation.evaluation_of(p) == json.loads(path.read_text())
    assert len(asked) == 1
    report["protocol"]["weights"]["stage_two"] = "another"
    files.write_json(path, report)
    assert evaluation.evaluation_of(p) == {"new": True}
    path.unlink()


def test_further_trainings_differ_in_their_seeds_alone(p, home):
    with pytest.raises(SDNError, match="two trainings or more, not 1"):
        trainings.evaluate_trainings(p, 1)
    report = trainings.evaluate_trainings(p, 2)
    json.dumps(report)
    own = experiments.evaluate(p)
    for name in runs.STUDENTS:
        first, second = (training[name] for training in report["trainings"])
        assert second["seed"] == first["seed"] + trainings.APART
        assert first["weights"] == own["protocol"]["weights"][name] != second["weights"]
        for metric in ("accuracy", "frechet", "ssim"):
            found = report["runs"][name][metric]
            assert found["values"][0] == pytest.approx(own["runs"][name][metric]["mean"])
            assert found["values"][0] != found["values"][1]
            assert found["mean"] == pytest.approx(np.mean(found["values"]))
    again = trainings.repeated(p, 1)
    for name in trainings.SHARED:
        weights = [runs.get(name, each).folder / "weights.safetensors" for each in (p, again)]
        assert weights[0].read_bytes() == weights[1].read_bytes() and weights[0] != weights[1]
        assert runs.get(name, again).how == "loaded"
    assert runs.get("stage_one", p).log[0] != runs.get("stage_one", again).log[0]
    assert "stage_two" in experiments.to_table(report)


def test_an_attribute_that_some_seed_does_not_ask_for_is_averaged_over_the_others():
    asked = ({"crest": 1.0, "mean": 1.0}, {"wing": 0.5, "mean": 0.5}, {"crest": 0.0, "mean": 0.0})
    found = evaluation.summary([{"attributes": of} for of in asked])
    assert found["attributes"] == {"crest": 0.5, "mean": 0.5, "wing": 0.5}
    assert found["accuracy"]["values"] == [1.0, 0.5, 0.0]


def test_stored_trainings_are_the_profiles_or_those_that_ship(p, home):
    with pytest.raises(SDNError, match=r"cpu/trainings\.json .*No such file.*--trainings"):
        trainings.stored_trainings(p)
    for name in ("cpu", "smoke"):
        files.write_json(home / "results" / name / "trainings.json", {"of": name})
        assert trainings.stored_trainings(p) == {"of": name}
        assert trainings.stored_trainings(profiles.PROFILES["cpu"]) == {"of": "cpu"}


def test_painted_birds_are_published_whole(p, home, capsys):
    folder = home / "results" / p.name
    with pytest.raises(SDNError, match=r"captions\.txt is missing"):
        publishing.publish(p)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "captions.txt").write_text("a red owl\na small blue duck on the water\n")
    assert publishing.publish(p) == folder
    report, captions, painted = showcase.stored(p)
    assert report == experiments.stored_evaluation(p) and set(report["runs"]) >= set(runs.STUDENTS)
    assert {"hardware", "versions", "commit", "dirty"} <= set(report["protocol"])
    assert captions == ["a red owl", "a small blue duck on the water"]
    assert {name: pictures.shape for name, pictures in painted.items()} == dict.fromkeys(
        runs.STUDENTS, (2, p.data.size, p.data.size, 3)
    )
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in runs.NAMES:
        assert {f"{name}/{part}" for part in runs.store.FILES} <= kept
        assert (f"{name}/time_lapse.png" in kept) is (name in runs.STUDENTS)
        config = json.loads((folder / name / "config.json").read_text())
        assert config["name"] == name
    before = {name: (folder / name).stat().st_mtime_ns for name in kept}
    (home / "mine.json").write_text(p.to_json())
    assert cli.main(["publish", "--profile", str(home / "mine.json")]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    with Image.open(folder / "unseen_species.png") as picture:
        assert picture.size == (1000, 800)
    after = {name: (folder / name).stat().st_mtime_ns for name in kept}
    changed = {name for name in kept if before[name] != after[name]}
    assert changed >= {"evaluation.json"}


def test_a_student_of_painted_birds_is_published_alone(p, home):
    mine = dataclasses.replace(p, name="mine")
    folder = home / "results" / "mine"
    folder.mkdir(parents=True)
    (folder / "captions.txt").write_text("a red owl\n")
    publishing.publish(mine, networks=False, names=("stage_two",))
    report, captions, painted = showcase.stored(mine)
    assert captions == ["a red owl"] and set(painted) == {"stage_two"}
    assert set(report["runs"]) == {"real", "chance", "stage_two"}
    assert report["runs"]["stage_two"] == experiments.evaluate(mine)["runs"]["stage_two"]
    assert set(report["trainings"]) == {"teacher", "text", "stage_two"}
    anywhere = dataclasses.replace(mine, output_dir=None)
    assert profiles.load(folder / "profile.json") == anywhere
    files_of = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert files_of == {
        "captions.txt", "evaluation.json", "painted-stage_two.png", "profile.json"
    }  # fmt: skip
    publishing.publish(mine, names=("stage_two",))
    assert showcase.painting(mine) == ["text", "stage_two"]
    assert (folder / "teacher" / "weights.safetensors").exists()
    elsewhere = dataclasses.replace(mine, output_dir=str(home / "nothing"))
    for name in runs.EVALUATORS:
        shutil.copytree(p.runs / name, elsewhere.runs / name)
    publishing.publish(elsewhere, networks=False, names=("stage_two",))
    assert showcase.painting(mine) == ["text", "stage_two"], "the only ones there are"
    publishing.publish(mine, networks=False, names=("stage_one",))
    assert {path.name for path in folder.iterdir()} == {
        "captions.txt", "evaluation.json", "painted-stage_one.png", "profile.json"
    }  # fmt: skip
