"""What it costs a student that half of the birds face the other way, which no caption says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from sdn_lib import devices, learning, runs
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.judging import networks
from sdn_lib.judging.distances import frechet_distance
from sdn_lib.profiles import Profile
from sdn_lib.runs.pretrained import JUDGE

FOLDER = "as_they_are"
"""Where a profile's runs hold the student that learned from photographs as they are."""


@devices.own_defaults()
def as_they_are(profile: Profile, photos: str) -> nn.Module:
    """Train both stages on the profile's photographs without mirroring any; return the student.

    `photos` names the folder of the same photographs, prepared without `--facing`. Teacher and text
    encoder stay the profile's: the one has learned from every photograph and its mirror image, the
    other reads captions, which do not say how a bird faces. Steps, seeds and batches are those of
    the profile's own stages; an unfinished training goes on. Raises SDNError for other photographs,
    and where the folder holds a training of other settings.
    """
    data = same_photographs(profile, photos)
    folder = profile.runs / FOLDER
    for name in ("stage_one", "stage_two"):
        settings = runs.expected_config(name, profile)
        runs.begin_training(folder / name, {**settings, "as_they_are": data.checksum})
    first, _ = runs.make_task("stage_one", profile, data=data)
    learning.fit(first, profile.stage_one, folder / "stage_one", title="stage one")
    second, finish = runs.make_task("stage_two", profile, data=data)
    second.get_submodule("student").load_state_dict(first.get_submodule("student").state_dict())
    learning.fit(second, profile.stage_two, folder / "stage_two", title="stage two")
    student: Any = finish()
    student.fold()
    return student.requires_grad_(False)


def distances(
    profile: Profile, photos: str, students: Mapping[str, nn.Module]
) -> dict[str, dict[str, float]]:
    """Return {who: {'facing one way', 'as they are': Fréchet distance}} in the judge's features.

    Of what each student paints of one caption a test photograph, from the test photographs, both
    those that were turned and those that were not; and of the two from one another ('real').
    """
    turned, plain = runs.dataset(profile), same_photographs(profile, photos)
    rows, network = turned.indices("test"), networks.efficientnet_network(JUDGE)
    encoder = runs.get("text", profile).model
    shown = {"real": np.asarray(turned.images[rows])}
    lines = [turned.captions[row][0] for row in rows]
    shown |= {name: runs.to_uint8(runs.paint(s, encoder, lines)) for name, s in students.items()}
    with devices.borrowed(network) as device:
        seen, plainly = (
            {who: networks.outputs(network, [p], device)["features"] for who, p in some.items()}
            for some in (shown, {"real": np.asarray(plain.images[rows])})
        )
    return {
        who: {
            "facing one way": frechet_distance(seen["real"], made),
            "as they are": frechet_distance(plainly["real"], made),
        }
        for who, made in seen.items()
    }


def same_photographs(profile: Profile, photos: str) -> prepared.Prepared:
    """Return the profile's photographs as `photos` holds them; SDNError where it holds others."""
    turned, plain = runs.dataset(profile), runs.dataset(dataclasses.replace(profile, photos=photos))
    alike = [(data.captions, data.names, data.splits, data.size) for data in (turned, plain)]
    if alike[0] != alike[1]:
        raise SDNError(
            f"{photos} holds other photographs than {profile.photos}: prepare the same ones, "
            "without --facing"
        )
    return plain
