from __future__ import annotations

import dataclasses

import pytest

from sdn_lib import profiles, runs
from sdn_lib.errors import SDNError


@pytest.mark.parametrize("name", list(profiles.PROFILES))
def test_json_both_ways(name):
    profile = profiles.load(name)
    assert profiles.from_json(profile.to_json()) == profile


def test_overrides_and_none():
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
    for name in ("cpu", "gpu", "birds", "flowers", "authors", "rehearsal"):
        p = profiles.load(name)
        cost = {run: runs.settings_of(run, p).steps * runs.PASSES[run] for run in runs.STUDENTS}
        both = cost["stage_one"] + cost["stage_two"]
        assert both <= cost["baseline"] <= 1.01 * both
