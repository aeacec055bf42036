"""Results of record: networks, scores, and what the students paint of captions of our own.

`results/PROFILE` holds `captions.txt`, captions in words of our own; `evaluation.json`, scores
with their protocol; `painted-STUDENT.png`, what each student paints of the captions, side by side;
and the trained networks, with which a reader's own captions are painted. Photographs need not be
there to show it: no photograph is among it, and no caption of one. Of photographs there are also
`kinds.json` and `kinds-*.png`, what the loss asks for (`free_pictures`); of painted birds
`unseen_species.png`, the README's picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sdn_lib import files, profiles, runs
from sdn_lib.captions import read_captions
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.experiments import both_ways
from sdn_lib.profiles import Profile
from sdn_lib.text import CharCNNRNN

KEPT = ("teacher", "text", *runs.STUDENTS)
"""The networks that are shipped."""

REMEDY = "restore it, or measure again with `sdn publish`"


def folder_of(profile: Profile) -> Path:
    """Return where the profile's results of record lie."""
    return profile.shipped / profile.name


def read_facts(profile: Profile) -> dict[str, Any]:
    """Return `publishing.facts_of` the photographs that the shipped networks learned from."""
    return files.read_json(folder_of(profile) / "data.json", REMEDY)


def shipped(profile: Profile, names: Sequence[str] = KEPT) -> dict[str, runs.Run]:
    """Return the networks that ship with the profile, by name.

    Unlike `runs.get` it asks for no photographs. Raises SDNError where one is missing.
    """
    folder = folder_of(profile)
    for name in names:
        if not (folder / name / "weights.safetensors").is_file():
            raise SDNError(f"{folder} holds no trained {name}: {REMEDY}")
    return {name: runs.load(name, profile, folder / name) for name in names}


def painting(profile: Profile) -> list[str]:
    """Return the names of the networks that ship with the profile and paint: reader, students."""
    folder = folder_of(profile)
    names = ("text", *runs.STUDENTS)
    return [name for name in names if (folder / name / "weights.safetensors").is_file()]


def painting_networks(
    name: str, profile: Profile, note: Callable[[str], None]
) -> tuple[nn.Module, CharCNNRNN]:
    """Return a trained student and the text encoder that reads for it.

    Of photographs that are not prepared, where no training of one's own is there, those that ship
    with the profile; then `note` is told so.
    """
    if profile.photos is not None and not prepared.is_prepared(profiles.ROOT / profile.photos):
        kept = folder_of(profile)
        if name in runs.STUDENTS and (kept / name).is_dir() and not (profile.runs / name).exists():
            note(f"{profile.photos} is not prepared: the networks are those of {kept}")
            found = shipped(profile, (name, "text"))
            return found[name].model, found["text"].model
    return runs.student(name, profile).model, runs.get("text", profile).model


def read_own_captions(profile: Profile) -> list[str]:
    """Return the captions in words of our own that the profile's students paint."""
    return read_captions(folder_of(profile) / "captions.txt")


def stored(profile: Profile) -> tuple[dict[str, Any], list[str], dict[str, np.ndarray]] | None:
    """Return the report, the captions and {student: uint8 (n, h, w, 3)}, None where none is kept.

    Raises SDNError where a file is damaged, or the strips do not fit the captions.
    """
    folder = folder_of(profile)
    if not (folder / "evaluation.json").exists():
        return None
    report = files.read_json(folder / "evaluation.json", REMEDY)
    scores = report["scores" if "scores" in report else "runs"]
    names = [name for name in runs.STUDENTS if name in scores]
    names += [both_ways.FOLDER] * ("facing" in report)
    return report, read_own_captions(profile), read_painted(profile, names)


def read_painted(profile: Profile, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what students painted of the profile's captions: {student: uint8 (n, h, w, 3)}.

    Raises SDNError where a strip is damaged, or does not fit the captions.
    """
    folder, count = folder_of(profile), len(read_own_captions(profile))
    return {name: runs.read_strip(folder / f"painted-{name}.png", count, REMEDY) for name in names}


def read_free(profile: Profile) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what `free_pictures.of_kinds` found: numbers, and pictures uint8 (kinds, h, w, 3).

    Raises SDNError where a file is missing or damaged.
    """
    folder = folder_of(profile)
    report = files.read_json(folder / "kinds.json", REMEDY)
    count = len(report["kinds"])
    return report, {
        name: runs.read_strip(folder / f"kinds-{name}.png", count, REMEDY)
        for name in ("student", "free")
    }
