"""What a run learns from: the profile's data set, or birds of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

from sdn_lib import files, profiles
from sdn_lib.data import painted_birds, prepared
from sdn_lib.errors import SDNError
from sdn_lib.profiles import DataConfig, Profile
from sdn_lib.progress import Progress

EVALUATORS = {"evaluator": "regnet", "second_evaluator": "densenet"}
"""The runs that judge painted birds, and their architectures."""


def dataset(profile: Profile) -> prepared.Prepared:
    """Return the profile's prepared data set, painting it first where it is not there yet.

    Raises SDNError for photographs that are not prepared yet, at another size, or none of a split.
    """
    if profile.photos is None:
        return painted(profile.data)
    folder = profiles.ROOT / profile.photos
    if not prepared.is_prepared(folder):
        raise SDNError(
            f"{folder} is no prepared data set: fetch the photographs and prepare them at "
            f"{profile.data.size} pixels with the programs in data_scripts/, see the README"
        )
    data = prepared.load(folder, verify=False)
    if data.size != profile.data.size:
        raise SDNError(
            f"{folder} has pictures of {data.size} pixels, the profile wants "
            f"{profile.data.size}: prepare them again, or override data__size"
        )
    for split in prepared.SPLITS:
        if not len(data.indices(split)):
            raise SDNError(
                f"{folder} has no photographs to {split} on: prepare more of them, or other classes"
            )
    return data


def painted(wanted: DataConfig) -> prepared.Prepared:
    """Return a data set of painted birds from its cache, or paint it first."""
    source, folder = _source(wanted), wanted.folder
    if prepared.is_prepared(folder, source):
        return prepared.load(folder)
    with files.alone(folder):
        if prepared.is_prepared(folder, source):
            return prepared.load(folder)
        with Progress("painting birds", "pictures") as progress:
            config = dataclasses.asdict(wanted)
            return painted_birds.generate(folder, **config, progress=progress)


def _source(wanted: DataConfig) -> dict[str, Any]:
    config = dataclasses.asdict(wanted)
    return {"generator": "painted_birds", "version": painted_birds.VERSION, **config}


def data_of(name: str, profile: Profile, whole: bool = True) -> prepared.Prepared:
    """Return what a run trains on: teacher and evaluators have birds, and species, of their own.

    But for a teacher of photographs. A training that is not `whole` has its own birds painted one
    by one, where they are not there yet: it will meet few of them.
    """
    own = own_birds(name, profile)
    if own is None:
        return dataset(profile)
    if whole or prepared.is_prepared(own.folder, _source(own)):
        return painted(own)
    config = dataclasses.asdict(own)
    del config["captions"]
    return painted_birds.unpainted(own.folder, **config)


def own_birds(name: str, profile: Profile) -> DataConfig | None:
    """Return the birds that only this run learns from; None where it has the profile's data."""
    if name == "teacher" and profile.photo_teacher:
        return None
    judges = dict.fromkeys(EVALUATORS, profile.judge_data)
    return {"teacher": profile.teacher_data, **judges}.get(name)
