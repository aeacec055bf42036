"""One bird: its attributes, and the pose and light that no caption mentions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sdn_lib.data.painted_birds.attributes import ATTRIBUTES
from sdn_lib.data.painted_birds.species import Species
from sdn_lib.errors import SDNError, near

Seed = int | Sequence[int]


@dataclass(frozen=True)
class Bird:
    """All that `paint` and `describe` need: attribute values, and a pose that no caption mentions.

    `attributes` holds one value for every name in ATTRIBUTES. `tilt` of the whole bird, `joints`
    (head, tail, wing, legs) and the direction of `light` are in radians; `extent` is the longer
    side of the bird's bounding box as a fraction of the frame; `shift` places it within the room
    that is left, each from -1 to 1; `shading` and `exposure` are strengths of light; `grain` seeds
    texture, jitter of colours and background.
    """

    attributes: dict[str, str]
    tilt: float
    joints: tuple[float, float, float, float]
    extent: float
    shift: tuple[float, float]
    light: float
    shading: float
    exposure: float
    grain: int


def draw(species: Species, seed: Seed) -> Bird:
    """Draw a bird of `species`: `seed` decides facing, scene and pose, the species the rest."""
    return bird_from(species.attributes, seed)


def bird_from(attributes: Mapping[str, str], seed: Seed) -> Bird:
    """Make a bird of any attribute values; those left out are drawn uniformly from `seed`.

    Raises SDNError for a name or value that ATTRIBUTES does not have, with the near matches.
    """
    for name, value in attributes.items():
        if name not in ATTRIBUTES:
            raise SDNError(f"unknown attribute {name!r}: {near(str(name), ATTRIBUTES)}")
        if value not in ATTRIBUTES[name]:
            hint = near(str(value), ATTRIBUTES[name])
            raise SDNError(f"attribute {name!r} has no value {value!r}: {hint}")
    rng = np.random.default_rng(seed)
    drawn = {name: values[rng.integers(len(values))] for name, values in ATTRIBUTES.items()}
    drawn.update(attributes)
    u = rng.uniform(-1.0, 1.0, 10).tolist()
    return Bird(
        attributes=drawn,
        tilt=0.09 * u[0],
        joints=(0.16 * u[1], 0.10 * u[2], 0.06 * u[3], 0.05 * u[4]),
        extent={"small": 0.81, "large": 0.97}[drawn["size"]] * (1 + 0.025 * u[5]),
        shift=(u[6], u[7]),
        light=-math.pi / 2 + 0.9 * u[8],
        shading=0.16 + 0.04 * u[9],
        exposure=float(rng.uniform(0.93, 1.05)),
        grain=int(rng.integers(2**31)),
    )
