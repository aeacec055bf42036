"""Every chapter at the smoke profile, through papermill: it runs, records numbers, and is quick."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest

from sdn_lib import experiments, profiles, runs
from sdn_lib.book.chapters import layout
from sdn_lib.book.execute import reproduce

CHAPTERS = 11


@pytest.fixture(scope="module")
def records():
    assert len(layout("smoke").chapters()) == CHAPTERS
    return {record["chapter"]: record for record in reproduce("smoke", workers=2)}


def together(spans):
    """Seconds from the first beginning to the last end; None where nothing ran for a minute.

    spans: (beginning, end) of each chapter; they ran side by side.
    """
    spans = sorted(spans)
    began = done = spans[0][0]
    for start, end in spans:
        if start - done > timedelta(minutes=1):
            return None
        done = max(done, end)
    return (done - began).total_seconds()


@pytest.mark.slow
def test_every_chapter_runs_in_under_three_minutes_together(records):
    assert len(records) == CHAPTERS
    began = {name: datetime.fromisoformat(r["started"]) for name, r in records.items()}
    spans = [(t, t + timedelta(seconds=records[name]["seconds"])) for name, t in began.items()]
    seconds = together(spans)
    if seconds is None:
        pytest.skip("the chapters were not run in one go")
    assert seconds < 180


def test_a_pause_is_told_from_a_long_run():
    def spans(*minutes):
        day = datetime(2026, 1, 1, 23, 50)
        return [(day + timedelta(minutes=a), day + timedelta(minutes=b)) for a, b in minutes]

    assert together(spans((0, 30), (1, 2), (30, 31))) == 31 * 60
    assert together(spans((5, 6), (0, 1), (1, 5))) == 6 * 60
    assert together(spans((0, 2), (1, 3), (50, 51))) is None


@pytest.mark.slow
def test_every_chapter_records_numbers_and_says_how_its_networks_came(records):
    for name, record in records.items():
        numbers = record["numbers"]
        assert numbers, f"{name} glues nothing"
        came = {key: value for key, value in numbers.items() if key.startswith("run_")}
        assert came, f"{name} does not say how its networks came"
        assert set(came.values()) <= {"loaded", "trained", "live"}
        # Runs of other profiles say whose they are; rows of the ablation are runs, too.
        named = {key.removeprefix("run_").partition(" (")[0] for key in came}
        assert named <= {*runs.NAMES, *experiments.ROWS}
        floats = [value for value in numbers.values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in floats), f"{name} records {numbers}"


@pytest.mark.slow
def test_the_scores_of_chapter_seven_are_those_of_the_library(records):
    numbers = records["07_does_it_work"]["numbers"]
    report = experiments.evaluate(profiles.load("smoke"))
    for name in runs.STUDENTS:
        score = report["runs"][name]["accuracy"]["mean"]
        assert numbers[f"c07_accuracy_{name}"] == pytest.approx(score, abs=0.03)
