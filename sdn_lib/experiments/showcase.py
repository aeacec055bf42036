"""Results of record on photographs: measured where those are, shown where they are not, too.

`results/PROFILE` holds `captions.txt`, captions in words of our own; `evaluation.json`, scores and
gaps with their protocol; and `painted-STUDENT.png`, what each student paints of the captions, side
by side. No photograph is among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sdn_lib import devices, files, machine, profiles, runs
from sdn_lib.captions import read_captions
from sdn_lib.errors import SDNError
from sdn_lib.experiments import impartial
from sdn_lib.judging.gaps import heterogeneous_gap, homogeneous_gap, pooled_activations
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream

FEW = 1000
"""Test photographs, at most, by which gaps are measured."""


def folder_of(profile: Profile) -> Path:
    """Return where the profile's results of record lie."""
    return profile.shipped / profile.name


def publish(profile: Profile, attributes: str | Path | None = None) -> Path:
    """Measure the profile's students, paint its captions, keep both; return the folder.

    Raises SDNError where `captions.txt` is missing.
    """
    folder = folder_of(profile)
    captions = read_captions(folder / "captions.txt")
    report = impartial.evaluate(profile, attributes=attributes)
    report["gaps"] = gaps(profile)
    report["trainings"] = {
        name: {key: config.get(key) for key in ("command", "seconds", "hardware", "commit")}
        for name in ("teacher", "text", "judge_text", *runs.STUDENTS)
        for config in [runs.get(name, profile).config]
    }
    report |= {"hardware": machine.hardware(), "versions": machine.versions()}
    report |= machine.git_state(profiles.ROOT)
    encoder = runs.get("text", profile).model
    for name in runs.STUDENTS:
        pictures = runs.paint(runs.student(name, profile).model, encoder, captions)
        strip = np.concatenate(list(runs.to_uint8(pictures)), axis=1)
        with files.writing(folder / f"painted-{name}.png") as partial:
            Image.fromarray(strip).save(partial, format="PNG", optimize=True)
    files.write_json(folder / "evaluation.json", report)
    return folder


@devices.own_defaults()
@torch.no_grad()
def gaps(profile: Profile) -> dict[str, dict[str, dict[str, float]]]:
    """Return {student: {'heterogeneous', 'homogeneous': {layer: gap}}} on photographs of the test.

    As the teacher sees them; 'untrained' is the student before its first step.
    """
    data = runs.dataset(profile)
    rows = stream("gaps", 0).permutation(data.indices("test"))[:FEW]
    text = runs.get("text", profile).model.encode([data.captions[row][0] for row in rows])
    teacher, kinds = runs.get("teacher", profile).model, data.class_ids[rows]
    real = pooled_activations(teacher, runs.images(data, rows))
    torch.manual_seed(profile.seed)
    students: Mapping[str, Any] = {
        "untrained": runs.build("stage_one", profile).eval(),
        **{name: runs.student(name, profile).model for name in runs.STUDENTS},
    }
    found = {}
    for name, student in students.items():
        made = pooled_activations(teacher, runs.paint_embeddings(student, text))
        found[name] = {
            "heterogeneous": heterogeneous_gap(text.numpy(), made),
            "homogeneous": homogeneous_gap(real, made, groups=kinds),
        }
    return found


def published(
    profile: Profile, names: Sequence[str] = runs.STUDENTS
) -> tuple[dict[str, Any], list[str], dict[str, np.ndarray]] | None:
    """Return the report, the captions and {student: uint8 (n, h, w, 3)}, None where none is kept.

    Raises SDNError where a file is damaged, or the strips do not fit the captions.
    """
    folder, remedy = folder_of(profile), "restore it, or measure again with `sdn publish`"
    if not (folder / "evaluation.json").exists():
        return None
    report = files.read_json(folder / "evaluation.json", remedy)
    captions = read_captions(folder / "captions.txt")
    painted = {}
    for name in names:
        path = folder / f"painted-{name}.png"
        try:
            strip = np.asarray(Image.open(path).convert("RGB"))
        except OSError as error:
            raise SDNError(f"{path} cannot be read ({error}): {remedy}") from None
        if strip.shape[1] != len(captions) * strip.shape[0]:
            raise SDNError(f"{path} does not hold {len(captions)} pictures: {remedy}")
        painted[name] = np.stack(np.split(strip, len(captions), axis=1))
    return report, captions, painted
