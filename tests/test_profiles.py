from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdn_lib import config, profiles, runs, student, teacher, text, vgg
from sdn_lib.errors import SDNError
from sdn_lib.profiles import DataConfig, EvaluationConfig, NetworkConfig, Profile, TrainConfig


@pytest.mark.parametrize("name", list(profiles.PROFILES))
def test_json_both_ways(name):
    profile = profiles.load(name)
    assert profiles.from_json(profile.to_json()) == profile


def test_overrides_and_none():
    assert profiles.load("cpu", name="mine").name == "mine"
    profile = profiles.load("cpu", seed=7, stage_one__steps=5, output_dir=None)
    assert profile.seed == 7 and profile.stage_one.steps == 5
    unchanged = dataclasses.replace(profile, seed=0, stage_one=profiles.PROFILES["cpu"].stage_one)
    assert unchanged == profiles.PROFILES["cpu"]


def test_profiles_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        profiles.load("cpu").seed = 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: profiles.load("cpuu"), "did you mean 'cpu'"),
        (lambda: profiles.load("cpu", network__depth="13"), "depth is '13': it takes a whole"),
        (lambda: profiles.load("cpu", sed=1), "did you mean 'seed'"),
        (lambda: profiles.load("cpu", stage_one__step=1), "did you mean 'steps'"),
        (lambda: profiles.load("cpu", stage_on__steps=1), "did you mean 'stage_one'"),
        (lambda: profiles.load("nothing.json"), "nothing.json is missing"),
        (lambda: profiles.from_json("{"), "not JSON"),
        (lambda: profiles.from_json('{"name": "x", "datta": {}}'), "did you mean 'data'"),
        (lambda: profiles.from_json('{"name": "x", "data": {"sise": 3}}'), "did you mean 'size'"),
        (lambda: profiles.from_json('{"seed": 1}'), "incomplete"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(SDNError, match=words):
        call()


def test_a_profile_file(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(profiles.load("smoke", seed=3).to_json())
    assert profiles.load(str(path)).seed == 3


def test_the_baseline_costs_as_much_as_both_stages():
    for name in ("cpu", "gpu", "birds", "flowers", "authors", "rehearsal", "birds64", "flowers64"):
        p = profiles.load(name)
        cost = {run: runs.train_config(run, p).steps * runs.step_cost(run) for run in runs.STUDENTS}
        both = cost["stage_one"] + cost["stage_two"]
        assert both <= cost["baseline"] <= 1.01 * both


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", "html"), ("name", "HTML"), ("name", "html.old"), ("name", "jupyter"),
        ("name", "tools"), ("name", "reports"), ("name", ""), ("name", " "), ("name", "."),
        ("name", ".."), ("name", "../../x"), ("name", "a/b"), ("name", "a\\b"), ("name", "/x"),
        ("name", "~"), ("name", "con"), ("name", "LPT1.txt"), ("name", "x."), ("name", "x "),
        ("name", "x\n"), ("name", "x" * 65), ("name", None), ("name", 3), ("name", "-x"),
        ("seed", -1), ("seed", True), ("seed", 1.0), ("seed", "1"), ("seed", 2**63),
        ("live_steps", 0), ("photos", ""), ("output_dir", " "), ("output_dir", 3),
        ("stage_one", 5), ("stage_one", []), ("evaluation", None),
        ("data.size", 48), ("data.size", 0), ("data.size", -32), ("data.size", 2048),
        ("data.species", 0), ("data.captions", 0), ("data.images_per_species", 0.5),
        ("network.depth", 14), ("network.depth", "13"), ("network.width", 0), ("network.width", 9),
        ("network.width", 1 / 128), ("network.width", "0.25"), ("network.fc_width", 0),
        ("network.text_dim", -1), ("network.text_variant", "icmll"), ("network.pooling", "mean"),
        ("network.preprocessing", "image-net"), ("network.student_norm", 1),
        ("network.student_init", "xavier"), ("network.student_output", "bgr"),
        ("text.steps", 0), ("text.steps", 10.0), ("text.batch", "16"), ("text.batch", 0),
        ("text.learning_rate", 0), ("text.learning_rate", -1e-3), ("text.learning_rate", math.nan),
        ("text.learning_rate", math.inf), ("text.learning_rate", "1e-3"), ("text.clip", -1),
        ("text.clip", math.inf), ("text.schedule", "cosine"), ("text.precision", "bf-16"),
        ("text.precision", None), ("text.image_weight", math.nan), ("text.compiled", "yes"),
        ("text.captions_together", 0), ("text.log_every", 0), ("text.checkpoint_every", -5),
        ("evaluation.images", 1), ("evaluation.seeds", []), ("evaluation.seeds", [0, -1]),
        ("evaluation.seeds", [0.0]), ("evaluation.seeds", 3),
    ],
)  # fmt: skip
def test_a_value_that_a_setting_does_not_take_names_the_setting(setting, value, tmp_path):
    values = json.loads(profiles.load("smoke").to_json())
    part, _, name = setting.rpartition(".")
    (values[part] if part else values)[name] = value
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values))
    with pytest.raises(SDNError) as caught:
        profiles.load(str(path))
    said = str(caught.value)
    assert said.startswith(str(path)) and name in said and "\n" not in said
    assert f"{setting} is " in said or f"unknown {name} " in said
    if part:
        if value is not None:
            with pytest.raises(SDNError, match=name):
                profiles.load("smoke", **{f"{part}__{name}": value})
        with pytest.raises(SDNError, match=name):
            dataclasses.replace(getattr(profiles.load("smoke"), part), **{name: value})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", "my-birds_2.1"), ("name", "Vögel"), ("name", "html2"), ("text.clip", 0),
        ("text.learning_rate", 1), ("network.width", 1 / 64), ("data.size", 1024),
        ("evaluation.seeds", [4]), ("network.depth", 11), ("seed", 2**63 - 1),
    ],
)  # fmt: skip
def test_a_value_at_the_edge_is_taken(setting, value):
    part, _, name = setting.rpartition(".")
    values = json.loads(profiles.load("smoke").to_json())
    (values[part] if part else values)[name] = value
    made = profiles.from_json(json.dumps(values))
    kept = getattr(getattr(made, part) if part else made, name)
    assert kept == (tuple(value) if isinstance(value, list) else value)


def test_every_setting_but_a_flag_has_a_rule():
    for cls in (DataConfig, NetworkConfig, TrainConfig, EvaluationConfig, Profile):
        plain = {f.name for f in dataclasses.fields(cls) if "rule" not in f.metadata}
        nested = {f.name for f in dataclasses.fields(cls) if f.type.endswith("Config")}
        assert plain - nested <= {"student_norm", "compiled", "photo_teacher"}, cls


def test_the_choices_are_those_of_the_networks_and_of_the_training():
    kept = {
        f.name: f.metadata["rule"].choices
        for cls in (NetworkConfig, TrainConfig)
        for f in dataclasses.fields(cls)
        if f.metadata.get("rule") and f.metadata["rule"].choices
    }
    assert set(kept.pop("pooling")) == {"avg", "max"}
    assert set(kept.pop("student_output")) == {"unit", "authors"}
    assert set(kept.pop("streams", ())) <= {"numbered", "labelled"}
    assert {name: set(choices) for name, choices in kept.items()} == {
        "depth": set(vgg.CONVOLUTIONS),
        "text_variant": set(text.CharCNNRNN.VARIANTS),
        "preprocessing": set(teacher.PREPROCESSING),
        "student_init": set(student.INITS),
        "schedule": {"warmup_cosine", "constant"},
        "precision": {"fp32", "bf16"},
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"[]", r"is \[\]: it takes settings by name"),
        (b"null", "is None: it takes settings by name"),
        (b'"cpu"', "is 'cpu'"),
        ('{"name": "x"}'.encode("utf-16"), "not UTF-8"),
        (b'{"name": "caf\xe9"}', "not UTF-8"),
        (b'{"name": "x", "seed": 1, "seed": 2}', "'seed' twice"),
        (b'{"name": "x", "text": {"steps": 5, "steps": 6}}', "'steps' twice"),
        (b'{"name": "x", "text": {"batch": 6}}', "text is incomplete: it has no 'steps'"),
        (b"[" * 100_000, "mine.json"),
        (b'{"name": "x", "seed": ' + b"1" * 5000 + b"}", "not JSON"),
        (b'{"name": "x", "text": {"steps": 5, "clip": ' + b"1" * 400 + b"}}", "a finite number"),
    ],
)
def test_a_file_that_is_no_profile_is_named(content, words, tmp_path):
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(SDNError, match=words) as caught:
        profiles.load(str(path))
    assert str(path) in str(caught.value)


def test_a_profile_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "mine.JSON"
    path.write_text(profiles.load("smoke", seed=3).to_json(), encoding="utf-8-sig")
    assert profiles.load(path).seed == 3
    path.unlink()
    path.mkdir()
    with pytest.raises(SDNError, match="mine.JSON cannot be read"):
        profiles.load(path)


def test_where_an_output_dir_starts_from(tmp_path, monkeypatch):
    (tmp_path / "kept").mkdir()
    (tmp_path / "work").mkdir()
    path = tmp_path / "kept" / "mine.json"
    values = json.loads(profiles.load("smoke").to_json())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "work")
    for given, expected in (
        ("out", tmp_path / "kept" / "out"),
        ("../out", tmp_path / "out"),
        ("~/out", tmp_path / "out"),
        (str(tmp_path / "x"), tmp_path / "x"),
    ):
        path.write_text(json.dumps(values | {"output_dir": given}))
        for name in (str(path), "../kept/mine.json", "~/kept/mine.json"):
            assert profiles.load(name).runs == expected
    assert profiles.load("smoke", output_dir="out").runs == tmp_path / "work" / "out"
    assert profiles.load("smoke", output_dir=Path("~/out")).output_dir == str(tmp_path / "out")
    assert profiles.load("smoke", photos="~/birds").photos == str(tmp_path / "birds")
    assert profiles.load("smoke", photos="data/birds").photos == "data/birds"


def test_stored_settings_are_still_settings():
    paths = sorted((profiles.ROOT / "results").glob("*/*/config.json"))
    assert paths
    for path in paths:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        for part, cls in (
            ("data", DataConfig), ("network", NetworkConfig), ("training", TrainConfig)
        ):  # fmt: skip
            for values in settings[part].values():
                if part == "data" and path.parent.parent.name.startswith("birds64"):
                    assert list(values) == ["prepared"]
                    continue
                values.pop("learns", None)  # what a teacher of photographs looks up to
                assert config.from_dict(cls, values)


PLACES = """
import sys
from sdn_lib import profiles
print(profiles.ROOT)
try:
    print(profiles.load("smoke").runs)
except profiles.SDNError as error:
    print(error)
"""


def test_a_package_without_its_checkout_writes_nothing_beside_itself(tmp_path):
    source = Path(profiles.__file__).parent
    for name in ("__init__", "config", "errors", "profiles"):
        (tmp_path / "site" / "sdn_lib").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"site/sdn_lib/{name}.py").write_text((source / f"{name}.py").read_text())

    def said(folder):
        command = [sys.executable, "-P", "-c", PLACES]
        where = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        done = subprocess.run(
            command, cwd=folder, env=where, capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    _, refused = said(tmp_path)
    assert "without its project" in refused and "pip install --editable ." in refused
    (tmp_path / "checkout/sdn_lib").mkdir(parents=True)
    (tmp_path / "checkout/book").mkdir()
    (tmp_path / "checkout/book/_toc.yml").write_text("")
    root, runs_ = said(tmp_path / "checkout" / "book")
    assert root == str(tmp_path / "checkout")
    assert runs_ == str(tmp_path / "checkout/_build/smoke/runs")
