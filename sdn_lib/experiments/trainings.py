"""The students trained anew from other seeds: whether another training would end alike."""

from __future__ import annotations

import dataclasses
from typing import Any

from sdn_lib import files, runs
from sdn_lib.errors import SDNError
from sdn_lib.experiments import evaluation
from sdn_lib.profiles import Profile

FOLDER = "repeats"
"""Where a profile's runs hold the students of other seeds, in a folder a number."""

APART = 1000
"""What every further training adds to the students' seeds."""

SHARED = (*runs.EVALUATORS, "teacher", "text")
"""What is not trained again."""

FACTS = ("seconds", "hardware", "device", "precision", "commit", "dirty")

REMEDY = "restore it, or measure again with `sdn evaluate --trainings`"


def repeated(profile: Profile, number: int) -> Profile:
    """Return the profile whose students start from other weights and meet other batches.

    Teacher, text encoder and evaluators stay what they are. Number 0 is the profile itself.
    """
    if number == 0:
        return profile
    seeds: dict[str, Any] = {
        name: dataclasses.replace(training, seed=training.seed + APART * number)
        for name in runs.STUDENTS
        for training in [runs.train_config(name, profile)]
    }
    folder = profile.runs / FOLDER / str(number)
    return dataclasses.replace(profile, output_dir=str(folder), **seeds)


def evaluate_trainings(profile: Profile, count: int) -> dict[str, Any]:
    """Judge `count` trainings of each student, the profile's own being the first.

    What is not there yet is trained, and an unfinished training goes on: as long as the book's
    students took, for each. {'runs': {name: {metric: {'mean', 'low', 'high', 'values'}}}} has one
    value a training, the mean over evaluation seeds that `evaluate` gives it; 'trainings' says of
    each its seeds, weights and circumstances; 'protocol' is `evaluate`'s. Raises SDNError for fewer
    than two, and for a profile of photographs.
    """
    if count < 2:
        raise SDNError(f"a spread takes two trainings or more, not {count}")
    if profile.photos is not None:
        raise SDNError(
            f"profile {profile.name!r} has photographs: students are judged by several trainings "
            "on painted birds alone"
        )
    shared = {name: runs.get(name, profile) for name in SHARED}
    shared = {name: run for name, run in shared.items() if run.file is None}
    again = [repeated(profile, number) for number in range(count)]
    for each in again[1:]:
        runs.keep(shared, each.runs)
    reports = [evaluation.evaluate(each) for each in again]
    protocols = [report["protocol"] for report in reports]
    weights = [protocol.pop("weights") for protocol in protocols]
    return {
        "runs": {
            name: evaluation.summary([_means(report["runs"][name]) for report in reports])
            for name in reports[0]["runs"]
        },
        "trainings": [
            {name: _facts(each, name, of[name]) for name in runs.STUDENTS}
            for each, of in zip(again, weights, strict=True)
        ],
        "protocol": protocols[-1],
    }


def _means(scores: dict[str, Any]) -> dict[str, Any]:
    return {
        metric: value if metric == "attributes" else value["mean"]
        for metric, value in scores.items()
    }


def _facts(profile: Profile, name: str, weights: str) -> dict[str, Any]:
    run = runs.get(name, profile)
    seed = runs.train_config(name, profile).seed
    return {"seed": seed, "weights": weights} | {key: run.config.get(key) for key in FACTS}


def stored_trainings(profile: Profile) -> dict[str, Any]:
    """Return results/PROFILE/trainings.json, or those of the profile `cpu` where there is none.

    Raises SDNError where neither is there, or one is damaged.
    """
    own, ours = (profile.shipped / n / "trainings.json" for n in (profile.name, "cpu"))
    return files.read_json(own if own.exists() else ours, REMEDY)
