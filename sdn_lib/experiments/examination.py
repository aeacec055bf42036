"""The exam: captions of unseen species that every student paints, and what is measured of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sdn_lib import runs
from sdn_lib.judging.distances import frechet_distance, kernel_distance
from sdn_lib.judging.evaluator import Evaluator, attribute_accuracy, named_accuracy, predict
from sdn_lib.judging.gaps import constant, linear_cka, pooled_activations
from sdn_lib.judging.pictures import power_spectrum
from sdn_lib.judging.probes import classifier_two_sample_test
from sdn_lib.judging.statistics import interval
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream
from sdn_lib.teacher import Teacher


@dataclass(frozen=True)
class Exam:
    """Captions of unseen species, what they say and hide, and the real pictures.

    `text` (n, text_dim), `real` (n, 3, size, size) RGB 0..1, `attributes` (n, A) value indices,
    `mentions` (n, A) bool, `species` (n,) where rows share some.
    """

    captions: list[str]
    text: Tensor
    real: Tensor
    attributes: np.ndarray
    mentions: np.ndarray
    species: np.ndarray | None = None
    _seen: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def seen(self, evaluator: Evaluator, teacher: Teacher) -> Seen:
        """Return what two networks see in the real pictures; they look once."""
        key = evaluator, teacher
        if key not in self._seen:
            features, _ = predict(evaluator, self.real)
            self._seen[key] = Seen(
                features, pooled_activations(teacher, self.real[FIRST]), _spectrum(self.real)
            )
        return self._seen[key]


class Seen(NamedTuple):
    """Features (n, d), {layer: activations (k, d)} and power of the first k pictures."""

    features: np.ndarray
    activations: dict[str, np.ndarray]
    spectrum: np.ndarray


FIRST = slice(0, 500)
"""The pictures by which gaps, spectra and the classifier go."""


def _spectrum(pictures: Tensor) -> np.ndarray:
    return power_spectrum(pictures[FIRST].numpy())


def examined_rows(profile: Profile) -> np.ndarray:
    """Return the test pictures of the profile's data that exams are about."""
    return runs.dataset(profile).indices("test")[: profile.evaluation.images]


def draw_exam(profile: Profile, seed: int | None = None) -> Exam:
    """Return one caption of each examined picture, drawn by an evaluation seed.

    By default the profile's first: rows of the ablation are asked those captions alone.
    """
    seed = profile.evaluation.seeds[0] if seed is None else seed
    draw = stream("questions", seed)
    data, rows = runs.dataset(profile), examined_rows(profile)
    captions, drawn = data.draw_captions(rows, draw)
    return Exam(
        captions,
        runs.get("text", profile).model.encode(captions),
        runs.images(data, rows),
        np.asarray(data.arrays["attributes"][rows]),
        np.asarray(data.arrays["mentions"][rows, drawn]),
        data.class_ids[rows],
    )


@torch.no_grad()
def mark(
    pictures: Tensor, exam: Exam, evaluator: Evaluator, teacher: Teacher, draws: int = 100
) -> dict[str, Any]:
    """Return all that is measured of pictures (n, 3, size, size) RGB 0..1 painted in an exam.

    Accuracy, Fréchet and kernel distance as the evaluator sees them; as the teacher sees the first
    500, at the image and the pools, 'heterogeneous', one minus CKA with the captions (1 where all
    pictures are alike), and 'homogeneous', here the kernel distance and not the ratio of
    `judging.homogeneous_gap`; and the power of the pictures over that of real ones, by waves. How
    often a classifier tells them from real ones is under 'two_sample_test'. Triples are (value,
    low, high) by `judging.interval` with `draws`, which resamples the exam's species.
    """
    features, guess = predict(evaluator, pictures)
    real_features, real, real_spectrum = exam.seen(evaluator, teacher)
    right = np.stack(list(guess.values()), axis=1) == exam.attributes
    generated = pooled_activations(teacher, pictures[FIRST])
    texts = exam.text[FIRST].numpy()
    pools = [name for name in real if name == "image" or name.startswith("pool")]
    species = None if exam.species is None else exam.species[FIRST]

    def measured(
        measure: Callable[..., float], *samples: np.ndarray, paired: bool = False
    ) -> tuple:
        return interval(measure, *samples, paired=paired, groups=species, draws=draws)

    return {
        "attributes": attribute_accuracy(guess, exam.attributes, exam.mentions),
        "accuracy": interval(
            named_accuracy,
            right,
            exam.mentions,
            paired=True,
            groups=exam.species,
            draws=draws,
            within=(0, 1),
        ),
        "frechet": frechet_distance(real_features, features),
        "kernel": measured(kernel_distance, real_features[FIRST], features[FIRST]),
        "heterogeneous": {
            n: measured(_caption_gap, texts, generated[n], paired=True) for n in pools
        },
        "homogeneous": {n: measured(kernel_distance, real[n], generated[n]) for n in pools},
        "two_sample_test": {
            n: classifier_two_sample_test(real[n], generated[n], species) for n in pools
        },
        "spectrum": [float(x) for x in _spectrum(pictures) / real_spectrum],
    }


def _caption_gap(texts: np.ndarray, activations: np.ndarray) -> float:
    """Return the heterogeneous gap, 1 where all pictures are alike."""
    return 1.0 if constant(activations) else 1 - linear_cka(texts, activations)
