"""Free pictures: what stage two's loss asks for, with no student in between.

A student has to paint every caption with one set of weights. Here the pixels themselves are moved,
for one caption at a time, against many real pictures that fit it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdn_lib import devices, distillation, runs
from sdn_lib.distillation import LayerLosses
from sdn_lib.experiments.evaluation import weights_of
from sdn_lib.experiments.protocol import code, protocol
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream
from sdn_lib.teacher import Teacher

KINDS, PHOTOGRAPHS, STEPS = 6, 30, 150
"""Of photographs: kinds that are tried, photographs of each in a flock, both at most; steps."""

RATE = 0.05
"""Adam's learning rate for pixels in 0..1; it falls to zero along half a cosine."""


@torch.no_grad()
def looks(teacher: Teacher, pictures: Tensor) -> dict[str, Tensor]:
    """Return {layer: (n, k, ...)}, what the teacher sees in `pictures` (n, k, 3, h, w) RGB 0..1.

    One flock for each of n captions: k real pictures that fit it.
    """
    seen = teacher.walk(pictures.flatten(0, 1), grad=False)
    return {name: layer.unflatten(0, pictures.shape[:2]) for name, layer in seen}


def flock_loss(
    teacher: Teacher, pictures: Tensor, wanted: Mapping[str, Tensor], image_weight: float = 1.0
) -> LayerLosses:
    """Return stage two's loss of pictures (n, 3, h, w), each against every one of its flock.

    `wanted` as `looks` returns it. The mean over all pairs: a caption's picture for each picture
    that fits it.
    """
    got = {
        name: layer[:, None].expand_as(wanted[name]) for name, layer in teacher.walk(pictures)
    }
    return distillation.layer_losses(got, wanted, weights={"image": image_weight})


def descend(
    teacher: Teacher,
    start: Tensor,
    wanted: Mapping[str, Tensor],
    steps: int,
    image_weight: float = 1.0,
) -> Tensor:
    """Return pictures (n, 3, h, w) in 0..1, moved from `start` down `flock_loss` by Adam."""
    pixels = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([pixels], lr=RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        adam.zero_grad()
        flock_loss(teacher, pixels, wanted, image_weight).total.backward()
        adam.step()
        falling.step()
    return pixels.detach().clamp(0, 1)


def flocks(profile: Profile) -> list[np.ndarray]:
    """Return the rows of test photographs of each of a few kinds, in a random order.

    The kinds with most photographs; a kind of one photograph is none.
    """
    data = runs.dataset(profile)
    rows = stream("flocks", 0).permutation(data.indices("test"))
    kinds, counts = np.unique(data.class_ids[rows], return_counts=True)
    order = [k for k in np.argsort(-counts, kind="stable")[:KINDS] if counts[k] > 1]
    return [rows[data.class_ids[rows] == kinds[k]] for k in order]


@devices.own_defaults()
def of_kinds(profile: Profile) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what stage two's loss asks for of kinds of the test, as numbers and as pictures.

    A flock is photographs of one kind. Pictures are float (kinds, 3, h, w) in 0..1: 'student',
    stage two's of one caption of each kind, and 'free', the same after `descend`. The numbers are
    {'kinds': names of the data, 'photographs', 'steps', 'loss': {who: against as many other
    photographs of the same kinds}, 'protocol'}, where who is 'student', 'free', 'mean' (of the
    flock) or 'photograph' (one of the flock). The profile must have `flocks`.
    """
    began, data, of = code(), runs.dataset(profile), flocks(profile)
    size = min(PHOTOGRAPHS, min(len(found) for found in of) // 2)
    chosen, others = (
        torch.stack([runs.images(data, found[part]) for found in of])
        for part in (slice(size), slice(size, 2 * size))
    )
    student, encoder = runs.student("stage_two", profile).model, runs.get("text", profile).model
    teacher, weight = runs.get("teacher", profile).model, profile.stage_two.image_weight
    painted = runs.paint(student, encoder, [data.captions[found[0]][0] for found in of])
    judged = {"student": painted, "mean": chosen.mean(1), "photograph": chosen[:, 0]}
    with devices.borrowed(teacher) as device:
        wanted = looks(teacher, chosen.to(device))
        judged["free"] = descend(teacher, painted.to(device), wanted, STEPS, weight).cpu()
        wanted = looks(teacher, others.to(device))
        with torch.no_grad():
            loss = {
                who: float(flock_loss(teacher, x.to(device), wanted, weight).total)
                for who, x in judged.items()
            }
    names = data.tables.get("classes", {})
    return {
        "kinds": [names.get(str(kind), str(kind)) for kind in data.class_ids[[f[0] for f in of]]],
        "photographs": size,
        "steps": STEPS,
        "loss": loss,
        "protocol": protocol(
            began,
            data=data.checksum,
            split="test: kinds that no training photograph shows",
            captions="the first of the first photograph of each kind",
            size=data.size,
            image_weight=weight,
            rate=RATE,
            weights=weights_of(profile, ("teacher", "text", "stage_two")),
        ),
    }, {name: judged[name] for name in ("student", "free")}
