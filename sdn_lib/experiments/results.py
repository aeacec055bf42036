"""Results of rows as they are stored: where, for which settings, and whether they still hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from sdn_lib import files, profiles, runs
from sdn_lib.errors import SDNError, near
from sdn_lib.experiments.controls import pooled
from sdn_lib.experiments.rows import ROWS, Row, budget
from sdn_lib.profiles import Profile, TrainConfig
from sdn_lib.runs.settings import STUDENT_NETWORK

SHIPPED = "cpu"
"""The profile of the rows that ship."""

FIXED = ("evaluator", "teacher", "text")
"""The networks by which every row is read and judged; most rows learn from this teacher, too."""

TRAINING = ("learning_rate", "schedule", "clip", "precision", "image_weight", "streams")
"""The settings of a row's trainings that come from the profile, beside the batch."""

FIRST_EXAM = {"images": 2000, "seed": 0}
"""The exam of the rows that were stored before it was noted beside them."""

REMEDY = "delete it and run it again"


def rows_folder(profile: Profile) -> Path:
    """Return where the profile's rows are kept by default."""
    return profiles.ROOT / "results" / "ablation" / profile.name


def stored_rows(profile: Profile) -> dict[str, list[dict[str, Any]]]:
    """Return {row: its results by seed} as kept for the profile, or those that ship.

    Raises SDNError when there is neither, or when a file is damaged.
    """
    for folder in (rows_folder(profile), rows_folder(profile).with_name(SHIPPED)):
        paths = sorted(folder.glob("*-[0-9]*.json"))
        if paths:
            break
    else:
        raise SDNError(f"{folder} holds no rows: run `sdn ablate --profile {runs.naming(profile)}`")
    results: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        row = _read(path) | {"file": path}
        results.setdefault(path.stem.rpartition("-")[0], []).append(row)
    return {name: results[name] for name in ROWS if name in results}


def stored_row(name: str, seed: int, profile: Profile, folder: Path) -> dict[str, Any] | None:
    """Return what an earlier `train_row` kept in `folder`, or None.

    Raises SDNError for an unknown row, for a profile of photographs, and for a file of other
    settings, naming the first.
    """
    if name not in ROWS:
        raise SDNError(f"unknown row {name!r}: {near(name, ROWS)}")
    if profile.photos is not None:
        raise SDNError(
            f"rows are judged by the attributes of painted birds, which the photographs of profile "
            f"{profile.name!r} lack: choose a profile without photos"
        )
    path = folder / f"{name}-{seed}.json"
    if not path.exists():
        return None
    facts, settings = _read(path), row_settings(name, seed, profile)
    stored = {"exam": FIRST_EXAM, **facts["settings"]}
    stored["row"] = stored["row"] | {"about": ROWS[name].about}
    asked = {key: stored.get(key) for key in settings}
    if how := runs.first_difference(asked, settings):
        part = how.split(" ")[0].split(".")[0]
        raise SDNError(
            f"{path} was made with another {part} ({how}): delete it, or name a --folder"
        )
    return facts


def _read(path: Path) -> dict[str, Any]:
    facts = files.read_json(path, REMEDY)
    settings = facts.get("settings")
    if not isinstance(settings, dict) or not isinstance(settings.get("row"), dict):
        raise SDNError(f"{path} does not say which row it is the result of: {REMEDY}")
    return facts


def row_settings(name: str, seed: int, profile: Profile) -> dict[str, Any]:
    """Return what a row's result depends on, but for the code and the machine."""
    row, n = ROWS[name], profile.network
    retrained = {}
    if row.teacher == "retrained":
        settings = runs.expected_config("teacher", pooled(profile, row.pooling))
        retrained = {"retrained": json.loads(json.dumps(settings))}
    return {
        "row": json.loads(json.dumps(dataclasses.asdict(row))),
        "seed": seed,
        "budget": round(row.cost * budget(profile)),
        "batch": profile.stage_one.batch,
        "training": {
            mode: {key: getattr(training, key) for key in TRAINING}
            for mode, _ in row.plan
            for training in [mode_training(profile, row, mode, 2, seed)]
        },
        "network": {key: getattr(n, key) for key in STUDENT_NETWORK},
        "size": profile.data.size,
        "data": runs.dataset(profile).checksum,
        "exam": {"images": profile.evaluation.images, "seed": profile.evaluation.seeds[0]},
        **{n: runs.get(n, profile).checksum for n in FIXED},
        **retrained,
    }


def mode_training(profile: Profile, row: Row, mode: str, steps: int, seed: int) -> TrainConfig:
    """Return the training of one mode of a row: stage two at its own rate where it is second."""
    second = mode == "stage_two" and len(row.plan) > 1
    return dataclasses.replace(
        profile.stage_two if second else profile.stage_one,
        steps=steps,
        seed=seed,
        image_weight=profile.stage_one.image_weight,
    )
