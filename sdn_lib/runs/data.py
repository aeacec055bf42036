"""What a run learns from: the profile's data set, or birds of its own."""

from __future__ import annotations

import dataclasses

from sdn_lib import files, profiles
from sdn_lib.data import painted_birds, prepared
from sdn_lib.errors import SDNError
from sdn_lib.profiles import DataConfig, Profile
from sdn_lib.progress import Progress

EVALUATORS = {"evaluator": "regnet", "second_evaluator": "densenet"}
"""The runs that judge painted birds, and their architectures."""


def dataset(profile: Profile) -> prepared.Prepared:
    """Return the profile's prepared data set, painting it first where it is not there yet.

    Raises SDNError for photographs that are not prepared yet, or at another size.
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
    return data


def painted(wanted: DataConfig) -> prepared.Prepared:
    """Return a data set of painted birds from its cache, or paint it first."""
    config, folder = dataclasses.asdict(wanted), wanted.folder
    source = {"generator": "painted_birds", "version": painted_birds.VERSION, **config}
    if prepared.is_prepared(folder, source):
        return prepared.load(folder)
    with files.alone(folder):
        if prepared.is_prepared(folder, source):
            return prepared.load(folder)
        with Progress("painting birds", "pictures") as progress:
            return painted_birds.generate(folder, **config, progress=progress)


def data_of(name: str, profile: Profile) -> prepared.Prepared:
    """Return what a run trains on: teacher and evaluators have birds, and species, of their own.

    But for a teacher of photographs.
    """
    own = own_birds(name, profile)
    return painted(own) if own else dataset(profile)


def own_birds(name: str, profile: Profile) -> DataConfig | None:
    """Return the birds that only this run learns from; None where it has the profile's data."""
    if name == "teacher" and profile.photo_teacher:
        return None
    judges = dict.fromkeys(EVALUATORS, profile.judge_data)
    return {"teacher": profile.teacher_data, **judges}.get(name)
