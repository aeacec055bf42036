"""Publishing: measure a profile, paint its captions, keep both and the networks in results/.

What is written there, and how it is read, see `showcase`.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdn_lib import devices, files, profiles, runs
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.experiments import (
    both_ways,
    evaluation,
    free_pictures,
    held_back,
    impartial,
    showcase,
)
from sdn_lib.judging import scores
from sdn_lib.judging.gaps import heterogeneous_gap, homogeneous_gap, pooled_activations
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream
from sdn_lib.runs.pretrained import has_embeddings

TIME_LAPSE = ("time_lapse.json", "time_lapse.png")  # holds captions of its data

GAP_PHOTOGRAPHS = 1000
"""Test photographs, at most, by which gaps are measured."""


def publish(
    profile: Profile,
    attributes: str | Path | None = None,
    as_they_are: str | None = None,
    networks: bool = True,
    names: Sequence[str] = runs.STUDENTS,
    against: str | None = None,
) -> Path:
    """Measure the profile's students, paint its captions, keep both and the networks.

    Of painted birds the scores are `evaluation.evaluate`'s; of photographs `impartial.evaluate`'s,
    the gaps, and `held_back.readings`. With `as_they_are`, a folder of the same photographs of
    which none was mirrored, another student is trained on those, see `both_ways`. Without
    `networks`, which may be too large to ship, none is kept. `names` are the students that are
    judged; of a part of them only these, their text encoder and their teacher are kept. Of
    photographs the last is compared with stage two of the profile `against`, which ships; where not
    all is kept no reader is compared. The profile is kept where it is none of the library's. What
    an earlier publication left there and this one does not write goes, except for networks that are
    nowhere else. Returns the folder; SDNError where it has no `captions.txt`, or where embeddings
    came with the photographs.
    """
    whole = networks and set(names) == set(runs.STUDENTS)
    if as_they_are and "stage_two" not in names:
        raise SDNError("photographs as they are are stage two's: judge it, too")
    if profile.photos is None and (attributes or as_they_are or against):
        raise SDNError(
            "attributes, photographs as they are and another profile go with photographs: "
            "leave them out"
        )
    folder = showcase.folder_of(profile)
    captions = showcase.read_own_captions(profile)
    if has_embeddings(profile):
        raise SDNError(
            f"the embeddings that came with {profile.photos} read no captions of our own: prepare "
            "the photographs without them, and a reader is trained"
        )
    if networks and profile.network.teacher_weights:
        raise SDNError("a converted teacher is not ours to ship: publish the scores alone")
    if as_they_are:
        plain = both_ways.same_photographs(profile, as_they_are)  # before hours of training
        if plain.manifest["source"].get("facing"):
            raise SDNError(
                f"{as_they_are} holds photographs that were turned to one side: prepare them "
                "without --facing"
            )
    painter = "text", *names
    if profile.photos is None:
        report = evaluation.evaluate(profile, names)
        needed = kept = runs.NAMES if whole else ("teacher", *painter)
    else:
        report = impartial.evaluate(profile, names, attributes, _rivals(against))
        kept = "teacher", *painter
        needed = *kept, "judge_text"
    found = {name: runs.get(name, profile) for name in needed}
    report["trainings"] = {
        name: {key: run.config.get(key) for key in ("command", "seconds", "hardware", "commit")}
        for name, run in found.items()
    }
    students = {name: found[name].model for name in names}
    if profile.photos is not None:
        if whole:
            report["held_back"] = held_back.readings(profile)
        report["nearest_kind"] = nearest_kind(profile)
        if as_they_are:
            students[both_ways.FOLDER] = both_ways.as_they_are(profile, as_they_are)
            rivals = {name: students[name] for name in ("stage_two", both_ways.FOLDER)}
            report["facing"] = both_ways.distances(profile, as_they_are, rivals)
        report["gaps"] = gaps(profile, students)
        if "stage_two" in names and free_pictures.flocks(profile):
            publish_free(profile)
        else:
            for old in folder.glob("kinds*"):
                old.unlink()
        files.write_json(folder / "data.json", facts_of(runs.dataset(profile)))
    _paint(students, found, captions, folder)
    for old in folder.glob("painted-*.png"):
        if old.stem.removeprefix("painted-") not in students:
            old.unlink()
    for name in runs.NEEDS.keys() - (kept if networks else ()):
        if (profile.runs / name / "weights.safetensors").exists():  # else they are nowhere else
            shutil.rmtree(folder / name, ignore_errors=True)
    if networks:
        also = () if profile.photos else TIME_LAPSE
        runs.keep({name: found[name] for name in kept}, folder, also)
    if runs.naming(profile) == profile.name:
        (folder / "profile.json").unlink(missing_ok=True)
    else:
        anywhere = dataclasses.replace(profile, output_dir=None)
        files.write_text(folder / "profile.json", anywhere.to_json() + "\n")
    files.write_json(folder / "evaluation.json", report)
    return folder


def _paint(
    students: Mapping[str, Any],
    found: Mapping[str, runs.Run],
    captions: Sequence[str],
    folder: Path,
) -> None:
    for name, student in students.items():
        pictures = runs.paint(student, found["text"].model, captions)
        runs.write_strip(folder / f"painted-{name}.png", pictures)


def _rivals(against: str | None) -> dict[str, dict[str, runs.Run]]:
    """Return what paints stage two of a profile of photographs that ships, by its name."""
    if against is None:
        return {}
    theirs = profiles.load(against)
    if theirs.photos is None:
        raise SDNError(f"profile {theirs.name!r} has no photographs: name one that has")
    return {theirs.name: showcase.shipped(theirs, ("stage_two", "text"))}


def publish_free(profile: Profile) -> None:
    """Keep what stage two's loss asks for of a few kinds of photographs, see `free_pictures`."""
    folder = showcase.folder_of(profile)
    report, pictures = free_pictures.of_kinds(profile)
    for name, of in pictures.items():
        runs.write_strip(folder / f"kinds-{name}.png", of)
    files.write_json(folder / "kinds.json", report)


def unseen(profile: Profile, columns: int = 6) -> tuple[dict[str, Any], list[str]]:
    """Return {label: pictures} of test birds, evenly spaced, and of students; and the captions.

    'real' is uint8 (columns, h, w, 3); each student's row, of the birds' first captions, is float
    (columns, 3, h, w) in 0..1. The README shows them.
    """
    data, encoder = runs.dataset(profile), runs.get("text", profile).model
    test = data.indices("test")
    rows = test[np.linspace(0, len(test) - 1, columns).astype(int)]
    captions = [data.captions[row][0] for row in rows]
    pictures: dict[str, Any] = {"real": np.asarray(data.images[rows])}
    for name, label in runs.LABELS.items():
        pictures[label] = runs.paint(runs.student(name, profile).model, encoder, captions)
    return pictures, captions


def facts_of(data: prepared.Prepared) -> dict[str, Any]:
    """Return what may be told of photographs without them: how many, of how many kinds, how shown.

    {'checksum', 'size', 'facing', 'train' and 'test': {'photographs', 'kinds'}}.
    """
    facts = {"checksum": data.checksum, "size": data.size}
    for split in prepared.SPLITS:
        rows = data.indices(split)
        kinds = len(np.unique(data.class_ids[rows]))
        facts[split] = {"photographs": len(rows), "kinds": kinds}
    return facts | {"facing": data.manifest["source"].get("facing")}


@devices.own_defaults()
@torch.no_grad()
def gaps(
    profile: Profile, students: Mapping[str, Any]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return {student: {'heterogeneous', 'homogeneous': {layer: gap}}} on photographs of the test.

    As the teacher sees them; 'untrained' is a student before its first step, of the profile's seed.
    """
    data = runs.dataset(profile)
    rows = stream("gaps", 0).permutation(data.indices("test"))[:GAP_PHOTOGRAPHS]
    text = runs.get("text", profile).model.encode([data.captions[row][0] for row in rows])
    teacher, kinds = runs.get("teacher", profile).model, data.class_ids[rows]
    real = pooled_activations(teacher, runs.images(data, rows))
    torch.manual_seed(profile.seed)
    untrained = runs.build("stage_one", profile).eval()
    found = {}
    for name, student in {"untrained": untrained, **students}.items():
        made = pooled_activations(teacher, runs.paint_embeddings(student, text))
        found[name] = {
            "heterogeneous": heterogeneous_gap(text.numpy(), made),
            "homogeneous": homogeneous_gap(real, made, groups=kinds),
        }
    return found


@devices.own_defaults()
@torch.no_grad()
def nearest_kind(profile: Profile) -> dict[str, float]:
    """Return how often a test photograph's nearest neighbour is of its own kind, as it looks.

    By the cosine of the teacher's pooled activations at `pool5`, less their mean: 'pool5', and
    'image', the mean colours of its quarters; and 'chance', that of any other photograph.
    """
    data = runs.dataset(profile)
    rows = data.indices("test")
    kinds = data.class_ids[rows]
    seen = pooled_activations(runs.get("teacher", profile).model, runs.images(data, rows))
    same = (kinds[:, None] == kinds).sum(1) - 1
    found = {"chance": float((same / (len(rows) - 1)).mean())}
    for layer in ("image", "pool5"):
        found[layer] = scores.own_kind_nearest(seen[layer], kinds)
    return found
