"""Every chapter at the smoke profile, through papermill: it runs, records numbers, and is quick."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest

from sdn_lib import profiles, runs
from sdn_lib.reproduce import layout, reproduce

CHAPTERS = 11


@pytest.fixture(scope="module")
def records():
    assert len(layout("smoke").chapters()) == CHAPTERS
    return {record["chapter"]: record for record in reproduce("smoke", workers=2)}


@pytest.fixture(scope="module")
def seconds(records):
    """How long all chapters took, side by side: from the first's beginning to the last's end."""
    began = {name: datetime.fromisoformat(r["started"]) for name, r in records.items()}
    ended = [start + timedelta(seconds=records[n]["seconds"]) for n, start in began.items()]
    return (max(ended) - min(began.values())).total_seconds()


@pytest.mark.slow
def test_every_chapter_runs_in_under_three_minutes_together(records, seconds):
    assert len(records) == CHAPTERS
    days = {record["started"][:10] for record in records.values()}
    if seconds > 3600 or len(days) > 1:
        pytest.skip("the chapters were not run in one go")
    assert seconds < 180


@pytest.mark.slow
def test_every_chapter_records_numbers_and_says_how_its_networks_came(records):
    for name, record in records.items():
        numbers = record["numbers"]
        assert numbers, f"{name} glues nothing"
        came = {key: value for key, value in numbers.items() if key.startswith("run_")}
        assert set(came.values()) <= {"loaded", "trained", "rehearsed"}
        assert {key.removeprefix("run_") for key in came} <= set(runs.NAMES)
        floats = [value for value in numbers.values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in floats), f"{name} records {numbers}"


@pytest.mark.slow
def test_the_scores_of_chapter_seven_are_those_of_the_library(records):
    numbers = records["07_does_it_work"]["numbers"]
    report = runs.evaluate(profiles.load("smoke"))
    for name in runs.STUDENTS:
        score = report["runs"][name]["accuracy"]["mean"]
        assert numbers[f"c07_accuracy_{name}"] == pytest.approx(score, abs=0.03)
