"""How well captions of unseen kinds are read: asked of training kinds that are held back.

So readers of photographs' captions can be compared, by the length of their training and by what
they learn, and the test's kinds decide nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from sdn_lib import devices, learning, runs
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.experiments.impartial import captions_to_choose_from
from sdn_lib.judging.probes import ridge_regression
from sdn_lib.judging.scores import own_caption_nearest
from sdn_lib.judging.statistics import interval
from sdn_lib.learning.text_task import common_words, words_held
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream
from sdn_lib.runs.pretrained import JUDGE, imagenet_features

FOLDER = "held_back"
"""Where a profile's runs hold the readers that met no held-back kind."""

PART = 0.2
"""The part of the training kinds that is held back."""

TRIED = ((0.25, False), (0.25, True), (1.0, False), (1.0, True))
"""What is compared: (part of the profile's steps, whether words are named)."""

CAPTIONS = 3
"""Captions of each photograph by which the predictions are fitted."""


@devices.own_defaults()
def readings(profile: Profile) -> dict[str, Any]:
    """Return how often a photograph of a held-back kind finds its own caption among 100, or fewer.

    {'readers': [{'steps', 'naming', 'r_precision': (value, low, high)}], 'bag_of_words': (value,
    low, high), 'kinds', 'photographs', 'among'}. What lite2 sees in a photograph is predicted from
    its caption by ridge regression, fitted on the other kinds: on a reader's embedding, or on which
    common words the caption holds. Readers train as the profile's does, and an unfinished training
    goes on; the teacher they learn from has seen the photographs of all kinds. Intervals are over
    kinds. Raises SDNError for a profile without photographs, for kinds too few to hold any back,
    and where a reader of other settings is there.
    """
    view = imagenet_features(profile, JUDGE)
    whole, draw = runs.dataset(profile), stream(FOLDER, 0)
    rows = whole.indices("train")
    kinds = whole.class_ids[rows]
    known = np.unique(kinds)
    count = max(2, round(PART * len(known)))
    if len(known) < count + 2:
        raise SDNError(f"{len(known)} training kinds are too few to hold {count} back")
    apart = np.sort(draw.permutation(known)[:count]).tolist()
    held = np.isin(kinds, apart)
    among = captions_to_choose_from(kinds[held])
    data = _without(whole, rows[held])
    lines, _ = whole.draw_captions(np.repeat(rows[~held], CAPTIONS), draw)
    asked, _ = whole.draw_captions(rows[held], draw)
    scale = view[~held].std(0) + 1e-3 * view[~held].std()
    view = (view - view[~held].mean(0)) / scale
    wanted = np.repeat(view[~held], CAPTIONS, axis=0)

    def score(fitted: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
        predicted = ridge_regression(fitted, wanted, 0.1 * len(fitted))(other)
        draw = stream("others", 0)
        right = own_caption_nearest(view[held], predicted, kinds[held], draw, among)
        return interval(np.mean, right.astype(float), groups=kinds[held], within=(0, 1))

    words = common_words(lines, learning.TextTask.COMMON)
    found: dict[str, Any] = {
        "kinds": count,
        "photographs": int(held.sum()),
        "among": among,
        "bag_of_words": score(words_held(lines, words).numpy(), words_held(asked, words).numpy()),
        "readers": [],
    }
    teacher = learning.TeacherFeatures(runs.get("teacher", profile).model)
    seen = learning.view(whole, teacher)[torch.from_numpy(~held)]
    for part, naming in TRIED:
        settings = dataclasses.replace(profile.text, steps=round(part * profile.text.steps))
        torch.manual_seed(settings.seed)
        encoder: Any = runs.build("text", profile)
        task = learning.TextTask(data, encoder, seen, naming)
        name = f"{settings.steps}{'-naming' * naming}"
        folder = profile.runs / FOLDER / name
        runs.begin_training(folder, {**runs.expected_config("text", profile), "held_back": apart})
        learning.fit(task, settings, folder, title=f"{FOLDER} {name}")
        encoder.calibrate([data.captions[row][0] for row in task.rows])
        value = score(encoder.encode(lines).numpy(), encoder.encode(asked).numpy())
        found["readers"].append({"steps": settings.steps, "naming": naming, "r_precision": value})
    return found


def _without(data: prepared.Prepared, rows: np.ndarray) -> prepared.Prepared:
    """Return the data without those training pictures: they are of no training kind any more."""
    splits = np.array(data.splits)
    splits[rows] = "test"
    return dataclasses.replace(data, splits=splits.tolist())
