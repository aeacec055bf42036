"""What makes two runs the same: the settings that a run's weights depend on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from sdn_lib import distillation, files, processes
from sdn_lib.errors import SDNError, near
from sdn_lib.profiles import PROFILES, Profile, TrainConfig
from sdn_lib.runs import pretrained, weights
from sdn_lib.runs.data import EVALUATORS, dataset, own_birds

NEEDS = {
    **dict.fromkeys(EVALUATORS, ()),
    "teacher": (),
    "text": ("teacher",),
    "judge_text": (),
    "stage_one": ("teacher", "text"),
    "stage_two": ("teacher", "text", "stage_one"),
    "baseline": ("text",),
}
NAMES = tuple(name for name in NEEDS if name != "judge_text")
"""The runs of painted birds; photographs have one more, and no evaluators."""

LABELS = {"baseline": "pixel-only", "stage_one": "stage one", "stage_two": "stage two"}
"""{student: what it is called in figures and on pages}."""

STUDENTS = tuple(LABELS)
STUDENT_NETWORK = (
    "depth", "width", "fc_width", "text_dim", "student_norm", "student_init", "student_output",
)  # fmt: skip
NETWORK = {
    **dict.fromkeys(EVALUATORS, ()),
    "teacher": ("depth", "width", "pooling", "preprocessing"),
    **dict.fromkeys(("text", "judge_text"), ("text_variant", "text_dim")),
    **dict.fromkeys(STUDENTS, STUDENT_NETWORK),
}
"""The settings of NetworkConfig that each run depends on, itself."""

LATER = {"captions_together": 1, "compiled": False, "noise": 0.0}
"""Settings of a training that came after the first runs, which lack them, and their defaults."""

STAGE = {"baseline": "pixels", "stage_one": "stage_one", "stage_two": "stage_two"}
"""What each student learns from, as `distillation.STAGES` names it."""


def step_cost(name: str) -> int:
    """Return what a training step of a student costs, in forward passes of a VGG trunk."""
    return distillation.STEP_COST[STAGE[name]]


def naming(profile: Profile) -> str:
    """Return the name by which a command knows a profile: one of a file, that of a file."""
    known = PROFILES.get(profile.name)
    ours = known and dataclasses.replace(profile, output_dir=known.output_dir) == known
    return profile.name if ours else f"{profile.name}.json"


def train_config(name: str, profile: Profile) -> TrainConfig:
    """Return a run's TrainConfig."""
    if name not in NEEDS:
        raise SDNError(f"unknown run {name!r}: {near(name, NEEDS)}")
    return getattr(profile, name)


def expected_config(name: str, profile: Profile) -> dict[str, Any]:
    """Return every setting that a run's weights depend on, those of the runs it needs included.

    {'data', 'network', 'training'}: {run: {setting: value}}.
    """
    trained = dataclasses.asdict(train_config(name, profile))
    for setting, default in LATER.items():
        if trained[setting] == default:
            del trained[setting]
    if trained["streams"] == "numbered":
        del trained["streams"]  # the first runs knew no other
    network = {key: getattr(profile.network, key) for key in NETWORK[name]}
    settings: dict[str, dict] = {"data": {}, "network": {name: network}, "training": {}}
    if name == "teacher" and profile.network.teacher_weights:
        network["sha256"] = weights.read_meta(pretrained.teacher_file(profile))["sha256"]
        return settings
    settings["data"][name] = _data_facts(name, profile)
    if name == "teacher" and profile.photo_teacher:
        network["learns"] = pretrained.IMAGENET
    if name == "judge_text":
        network["learns"] = pretrained.JUDGE
    if name == "text" and pretrained.has_embeddings(profile):
        return {**settings, "network": {name: "published embeddings"}}
    settings["training"][name] = trained
    for need in NEEDS[name]:
        for part, values in expected_config(need, profile).items():
            settings[part].update(values)
    return settings


def _data_facts(name: str, profile: Profile) -> dict[str, Any]:
    own = own_birds(name, profile)
    if own or profile.photos is None:
        return dataclasses.asdict(own or profile.data)
    return {"prepared": dataset(profile).checksum}


def first_difference(found: dict, expected: dict) -> str:
    """Return the first setting that differs, 'network.width is 0.5, wanted 0.25', or ''."""
    expected = json.loads(json.dumps(expected))
    for key in sorted(set(found) | set(expected)):
        a, b = found.get(key), expected.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            inner = first_difference(a, b)
            if inner:
                return f"{key}.{inner}"
        elif a != b:
            return f"{key} is {a!r}, wanted {b!r}"
    return ""


def begin_training(folder: Path, settings: dict[str, Any]) -> Path:
    """Note in a training's folder what it depends on, and return the file that says so.

    What was begun but left no state, say because a setting was refused, does not count. Raises
    SDNError for a folder with a training of other settings, naming the first that differs, or with
    one of which nobody knows the settings.
    """
    began, state = folder / "settings.json", folder / "state.safetensors"
    if began.exists() and state.exists():
        remedy = f"delete {folder} and train again"
        if difference := first_difference(files.read_json(began, remedy), settings):
            raise SDNError(
                f"{folder} holds an unfinished training with other settings ({difference}): "
                "delete it, or choose another output_dir"
            )
    elif state.exists():
        raise SDNError(
            f"{folder} holds an unfinished training without its {began.name}: delete it, or choose "
            "another output_dir"
        )
    if processes.rank() == 0:
        files.write_json(began, settings)
    return began
