"""Profiles: every setting of a run in one frozen, saved place.

`smoke` proves that everything runs; `cpu` is the book on two cores; `gpu` is the same path at a
larger size. `birds` and `flowers` are the paper's experiments on photographs, `authors` what the
authors' code does with its quirks, and `rehearsal` walks the same path with a handful of photos.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdn_lib.errors import SDNError, near

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder, whatever the working directory of a notebook is."""


@dataclass(frozen=True)
class DataConfig:
    """PaintedBirds: image side in pixels, species, and images a species.

    Many species with few pictures each: with 150 species, as in CUB, a network learns the species
    by heart and reads unseen combinations of colours poorly.
    """

    size: int = 64
    species: int = 6000
    test_species: int = 700
    images_per_species: int = 3
    captions: int = 10
    seed: int = 0

    @property
    def folder(self) -> Path:
        """Where this data set is cached in the prepared form."""
        counts = f"{self.species}x{self.images_per_species}x{self.captions}"
        return ROOT / "data" / f"painted_birds-{self.size}-{counts}-seed{self.seed}"


@dataclass(frozen=True)
class NetworkConfig:
    """Teacher, student and text encoder: VGG depth, width multiplier, widths of the text path.

    With `student_norm` a student has batch norm while it is trained; `student_init` and
    `student_output` are `Student`'s `init` and `output`. `teacher_weights` names a file of
    `data_scripts/convert_weights.py`, from the project's folder; without it the teacher is trained.
    """

    depth: int = 13
    width: float = 0.25
    fc_width: int = 768
    text_dim: int = 1024
    text_variant: str = "icml"
    pooling: str = "avg"
    preprocessing: str = "imagenet"
    student_norm: bool = True
    student_init: str = "he"
    student_output: str = "unit"
    teacher_weights: str | None = None


@dataclass(frozen=True)
class TrainConfig:
    """One training: `steps` of `batch` samples, Adam with a one-cycle or constant learning rate.

    `clip` bounds the gradient's norm (0: no bound); `precision` is 'fp32' or 'bf16' autocast.
    `image_weight` multiplies the image term of a stage's loss: the authors' pictures are in 0..255,
    ours in 0..1. A student's batch holds `captions_together` captions of each of its pictures.
    With `compiled`, forward and backward pass go through `torch.compile`: meant for a GPU.
    """

    steps: int
    batch: int = 64
    learning_rate: float = 1e-3
    schedule: str = "one_cycle"
    clip: float = 10.0
    precision: str = "bf16"
    image_weight: float = 1.0
    captions_together: int = 1
    compiled: bool = False
    seed: int = 0
    log_every: int = 10
    checkpoint_every: int = 250


@dataclass(frozen=True)
class EvaluationConfig:
    """How many test images and captions are judged, and the seeds that pick the captions."""

    images: int = 2000
    seeds: tuple[int, ...] = (0, 1, 2)


def _own_birds(**changes) -> DataConfig:
    counts = {"species": 8400, "test_species": 400, "images_per_species": 4, "captions": 1}
    return DataConfig(**{**counts, **changes})


def _student(steps: int, **changes) -> TrainConfig:
    settings = {"batch": 16, "learning_rate": 2e-3, "image_weight": 5.0, "log_every": 20}
    return TrainConfig(steps, **{**settings, "checkpoint_every": 1000, **changes})


@dataclass(frozen=True)
class Profile:
    """A named set of all settings; `seed` is for sampling and live runs in the chapters.

    `teacher_data` and `judge_data` are birds of the teacher's and the evaluator's own, as ImageNet
    is not the data that a student of the paper learns from. Trained runs have seeds of their own,
    so that another `seed` still finds them. `live_steps` is the length of the short trainings that
    a chapter runs before your eyes. `photos` names a prepared folder of photographs, from the
    project's folder: text and students then learn from it in place of `data`, and an epoch is every
    pair of a photograph and a caption of its.
    """

    name: str
    data: DataConfig = field(default_factory=DataConfig)
    teacher_data: DataConfig = field(default_factory=lambda: _own_birds(seed=2000))
    judge_data: DataConfig = field(default_factory=lambda: _own_birds(seed=1000))
    network: NetworkConfig = field(default_factory=NetworkConfig)
    evaluator: TrainConfig = field(
        default_factory=lambda: TrainConfig(2000, learning_rate=2e-3, seed=100)
    )
    teacher: TrainConfig = field(default_factory=lambda: TrainConfig(3000, seed=1))
    text: TrainConfig = field(default_factory=lambda: TrainConfig(4000, seed=2))
    stage_one: TrainConfig = field(default_factory=lambda: _student(8000, seed=3))
    stage_two: TrainConfig = field(
        default_factory=lambda: _student(10000, learning_rate=1e-3, image_weight=20.0, seed=4)
    )
    baseline: TrainConfig = field(default_factory=lambda: _student(30670, seed=3))
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    live_steps: int = 200
    seed: int = 0
    photos: str | None = None
    output_dir: str | None = None

    @property
    def runs(self) -> Path:
        """Where this profile's own trainings go."""
        return Path(self.output_dir) if self.output_dir else ROOT / "_build" / self.name / "runs"

    @property
    def shipped(self) -> Path:
        """Where the trainings that ship with the project lie, in a folder a profile."""
        return ROOT / "results"

    def to_json(self) -> str:
        """Return the profile as JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def from_json(text: str) -> Profile:
    """Return the profile that `to_json` wrote; SDNError for a key that does not exist."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise SDNError(f"the profile is not JSON ({error})") from None
    return from_dict(Profile, values)


def from_dict(cls: type, values: Mapping[str, Any], where: str = "profile") -> Any:
    """Build a config dataclass from nested dicts; SDNError lists near matches of unknown keys."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    kwargs = {}
    for key, value in values.items():
        if key not in fields:
            raise SDNError(f"{where} has no setting {key!r}: {near(key, fields)}")
        nested = _NESTED.get(fields[key].type) if cls is Profile else None
        if nested and isinstance(value, Mapping):
            value = from_dict(nested, value, f"{where}.{key}")
        kwargs[key] = tuple(value) if isinstance(value, list) else value
    try:
        return cls(**kwargs)
    except TypeError as error:
        raise SDNError(f"{where} is incomplete: {error}") from None


_NESTED = {
    cls.__name__: cls for cls in (DataConfig, NetworkConfig, TrainConfig, EvaluationConfig)
}


def _short(steps: int, **changes) -> TrainConfig:
    return TrainConfig(steps=steps, **{"batch": 16, "log_every": 1, **changes})


def _paper(dataset: str, pairs: int, epochs: tuple[int, int] = (100, 100), **network) -> Profile:
    """The authors' schedule: every pair once an epoch, batches of 12, Adam at a constant 1e-4.

    A stage's result is its last step. The weight puts the image term on the authors' scale.
    """
    schedule = {
        "batch": 12,
        "learning_rate": 1e-4,
        "schedule": "constant",
        "clip": 0.0,
        "precision": "fp32",
        "image_weight": 255.0,
        "log_every": 100,
        "checkpoint_every": 1000,
    }
    steps = [count * pairs // 12 for count in epochs]
    settings = {
        "depth": 19,
        "width": 1.0,
        "fc_width": 4096,
        "student_norm": False,
        "teacher_weights": "data/weights/vgg19.safetensors",
        **network,
    }
    return Profile(
        name="authors" if network else dataset,
        data=DataConfig(size=224),
        network=NetworkConfig(**settings),
        text=TrainConfig(20000, batch=40, learning_rate=5e-4, seed=2),
        stage_one=TrainConfig(steps[0], seed=3, **schedule),
        stage_two=TrainConfig(steps[1], seed=4, **schedule),
        baseline=TrainConfig((4 * steps[0] + 6 * steps[1] + 2) // 3, seed=3, **schedule),
        photos=f"data/{dataset}-224",
    )


def larger_batch(training: TrainConfig, batch: int) -> TrainConfig:
    """Return a training of as many samples in batches of `batch`, in bf16.

    Adam's learning rate grows with the root of the batch: the noise of its steps stays the same.
    Source: Malladi et al. 2022, the square root scaling rule.
    """
    if batch < 1:
        raise SDNError(f"batch {batch} is below 1")
    times = batch / training.batch
    return dataclasses.replace(
        training,
        steps=max(1, round(training.steps / times)),
        batch=batch,
        learning_rate=training.learning_rate * times**0.5,
        precision="bf16",
    )


PROFILES = {
    "smoke": Profile(
        name="smoke",
        data=DataConfig(size=32, species=24, test_species=8, images_per_species=8),
        teacher_data=_own_birds(size=32, species=24, test_species=8, seed=2000),
        judge_data=_own_birds(size=32, species=24, test_species=8, seed=1000),
        network=NetworkConfig(width=1 / 16, fc_width=64, text_dim=64),
        evaluator=_short(20, seed=100),
        teacher=_short(20, seed=1),
        text=_short(10, seed=2),
        stage_one=_student(10, log_every=1, seed=3),
        stage_two=_student(10, learning_rate=5e-4, image_weight=20.0, log_every=1, seed=4),
        baseline=_student(34, log_every=1, seed=3),
        evaluation=EvaluationConfig(images=64, seeds=(0, 1, 2)),
        live_steps=4,
    ),
    "cpu": Profile(name="cpu"),
    "gpu": Profile(
        name="gpu",
        data=DataConfig(size=128),
        teacher_data=_own_birds(size=128, seed=2000),
        judge_data=_own_birds(size=128, seed=1000),
        network=NetworkConfig(depth=19, width=0.5, fc_width=1024),
        evaluator=TrainConfig(5000, learning_rate=2e-3, seed=100),
        teacher=TrainConfig(5000, seed=1),
        text=TrainConfig(6000, seed=2),
        stage_one=_student(10000, batch=32, seed=3),
        stage_two=_student(20000, batch=32, learning_rate=5e-4, image_weight=20.0, seed=4),
        baseline=_student(53400, batch=32, seed=3),
    ),
    "birds": _paper("birds", 8855 * 10),
    "flowers": _paper("flowers", 7034 * 10),
    # Stage two hands on the weights after 80 of its 100 epochs.
    "authors": _paper(
        "birds",
        8855 * 10,
        (100, 80),
        preprocessing="authors",
        student_init="authors",
        student_output="authors",
        teacher_weights="data/weights/vgg19-matconvnet.safetensors",
    ),
    "rehearsal": Profile(
        name="rehearsal",
        text=TrainConfig(150, batch=4, learning_rate=5e-4, seed=2),
        stage_one=_student(300, log_every=5, seed=3),
        stage_two=_student(200, learning_rate=5e-4, log_every=5, seed=4),
        baseline=_student(800, log_every=5, seed=3),
        live_steps=20,
        photos="data/birds-rehearsal",
    ),
}


def load(name: str, **overrides) -> Profile:
    """Return the profile `name`, or that of a JSON file, with overrides.

    An override is a field ('seed=1') or a nested one with two underscores
    ('stage_one__steps=50'); one that is None changes nothing. Raises SDNError for an unknown
    profile or setting, listing the near matches.
    """
    if name in PROFILES:
        profile = PROFILES[name]
    elif name.endswith(".json"):
        path = Path(name)
        if not path.is_file():
            raise SDNError(f"{path} is missing: name a profile file or one of {list(PROFILES)}")
        profile = from_json(path.read_text(encoding="utf-8"))
    else:
        raise SDNError(f"unknown profile {name!r}: {near(name, PROFILES)}")
    values = dataclasses.asdict(profile)
    for key, value in overrides.items():
        if value is None:
            continue
        target, *rest = key.split("__")
        place = values
        if rest:
            if not isinstance(values.get(target), dict):
                raise SDNError(f"profile has no part {target!r}: {near(target, values)}")
            place, target = values[target], rest[0]
        if target not in place:
            raise SDNError(f"profile has no setting {key!r}: {near(target, place)}")
        place[target] = value
    return from_dict(Profile, values)
