"""Profiles: every setting of a run in one frozen, saved place.

`smoke` proves that everything runs; `cpu` is the book on two cores; `gpu` is the same path at a
larger size. `birds` and `flowers` are the paper's experiments on photographs, `birds64` and
`flowers64` small ones for two cores, `authors` what the authors' code does with its quirks, and
`rehearsal` walks the same path with a handful of photos. `brittle` is the first
recipe of `cpu`: its teacher and its first evaluator saw clean pictures only, and its students
learned in smaller batches, in other numbers of steps and with other weights of the image term.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdn_lib import files
from sdn_lib.config import Config, Rule, from_dict, in_range, one_of, parse, setting
from sdn_lib.errors import SDNError, near

BESIDE = Path(__file__).resolve().parent.parent
"""The folder that holds the package: a checkout, or site-packages."""


def _is_checkout(folder: Path) -> bool:
    return (folder / "sdn_lib").is_dir() and (folder / "book" / "_toc.yml").is_file()


def _root() -> Path:
    if _is_checkout(BESIDE):
        return BESIDE
    here = Path(os.path.abspath("."))
    return next(filter(_is_checkout, (here, *here.parents)), BESIDE)


ROOT = _root()
"""The project's folder: the checkout that the package lies in, whatever the working directory is.

Of a package that was installed without its checkout, the checkout that the working directory is in.
"""


def project() -> Path:
    """Return ROOT; SDNError where the package was installed without a checkout and is in none."""
    if ROOT == BESIDE and not _is_checkout(ROOT):
        raise SDNError(
            "sdn_lib is installed without its project, which holds chapters, data and trained "
            "networks: work in a checkout of it, or install one with `pip install --editable .`"
        )
    return ROOT


STREAMS = one_of("labelled", "numbered")
SEED = in_range(0, 2**63 - 1)
SIZE = Rule("a multiple of 32 from 32 to 1024", lambda v: 32 <= v <= 1024 and v % 32 == 0)
SEEDS = Rule("one seed or more, each 0 or more", lambda v: v and all(map(SEED.holds, v)))
NOT_BLANK = Rule("not blank", lambda value: value.strip() != "")
ABOVE_ZERO = Rule("above 0", lambda value: value > 0)
# What stands in _build beside the profiles' folders, or in them.
RESERVED = (
    "html", "html.old", "jupyter", "tools", "reports", "render", "source", "executed", "results",
    "runs", "rows", "own", "data", "second_device",
)  # fmt: skip
NAME = Rule(
    "up to 64 letters, digits, spaces, '.', '_' or '-', the first a letter, digit or '_', the last "
    "one of these or '-', as it names a folder in _build; no device of Windows, and not "
    + ", ".join(RESERVED),
    lambda v: files.names_a_folder(v) and v.lower() not in RESERVED,
)


@dataclass(frozen=True)
class DataConfig(Config):
    """PaintedBirds: image side in pixels, species, and images a species.

    Many species with few pictures each: with 150 species, as in CUB, a network learns the species
    by heart and reads unseen combinations of colours poorly.
    """

    size: int = setting(SIZE, 64)
    species: int = setting(in_range(1), 6000)
    test_species: int = setting(in_range(1), 700)
    images_per_species: int = setting(in_range(1), 3)
    captions: int = setting(in_range(1), 10)
    seed: int = setting(SEED, 0)

    @property
    def folder(self) -> Path:
        """Where this data set is cached in the prepared form; SDNError without a checkout."""
        counts = f"{self.species}x{self.images_per_species}x{self.captions}"
        tested = "" if self.test_species == 700 else f"-test{self.test_species}"
        return project() / "data" / f"painted_birds-{self.size}-{counts}-seed{self.seed}{tested}"


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Teacher, student and text encoder: VGG depth, width multiplier, widths of the text path.

    With `student_norm` a student has batch norm while it is trained; `student_init` and
    `student_output` are `Student`'s `init` and `output`. `teacher_weights` names a file of
    `data_scripts/convert_weights.py`, from the project's folder; without it the teacher is trained.
    """

    depth: int = setting(one_of(11, 13, 16, 19), 13)
    width: float = setting(in_range(1 / 64, 4), 0.25)
    fc_width: int = setting(in_range(1), 768)
    text_dim: int = setting(in_range(1), 1024)
    text_variant: str = setting(one_of("cvpr", "icml"), "icml")
    pooling: str = setting(one_of("avg", "max"), "avg")
    preprocessing: str = setting(one_of("imagenet", "matconvnet", "authors", "unit"), "imagenet")
    student_norm: bool = True
    student_init: str = setting(one_of("he", "authors"), "he")
    student_output: str = setting(one_of("unit", "authors"), "unit")
    teacher_weights: str | None = setting(NOT_BLANK, None)


@dataclass(frozen=True)
class TrainConfig(Config):
    """One training: `steps` of `batch` samples with Adam.

    The learning rate is constant, or warms up for a tenth of the steps and falls along half a
    cosine. `clip` bounds the gradient's norm (0: no bound); `precision` is 'fp32', or 'bf16' for
    autocast on devices that compute in bf16 themselves (elsewhere fp32 is quicker, and runs).
    `image_weight` multiplies the image term of a stage's loss: the authors' pictures are in 0..255,
    ours in 0..1. A student's batch holds `captions_together` captions of each of its pictures.
    A teacher or an evaluator sees its pictures under `noise`, see `learning.AttributeTask`.
    With `compiled`, forward and backward pass go through `torch.compile`: meant for a GPU.
    `streams` says how draws for different purposes are told apart, see `sdn_lib.randomness`:
    'labelled', or 'numbered', as in the first trainings of `brittle`.
    """

    steps: int = setting(in_range(1))
    batch: int = setting(in_range(1), 64)
    learning_rate: float = setting(ABOVE_ZERO, 1e-3)
    schedule: str = setting(one_of("warmup_cosine", "constant"), "warmup_cosine")
    clip: float = setting(in_range(0), 10.0)
    precision: str = setting(one_of("fp32", "bf16"), "bf16")
    image_weight: float = setting(in_range(0), 1.0)
    captions_together: int = setting(in_range(1), 1)
    noise: float = setting(in_range(0), 0.0)
    compiled: bool = False
    streams: str = setting(STREAMS, "labelled")
    seed: int = setting(SEED, 0)
    log_every: int = setting(in_range(1), 10)
    checkpoint_every: int = setting(in_range(1), 250)


@dataclass(frozen=True)
class EvaluationConfig(Config):
    """How many test images and captions are judged, and the seeds that pick the captions."""

    images: int = setting(in_range(2), 2000)
    seeds: tuple[int, ...] = setting(SEEDS, (0, 1, 2))


def _own_birds(**changes) -> DataConfig:
    counts = {"species": 8400, "test_species": 400, "images_per_species": 4, "captions": 1}
    return DataConfig(**{**counts, **changes})


def _student(steps: int, **changes) -> TrainConfig:
    return TrainConfig(steps, **{"learning_rate": 2e-3, "image_weight": 2.0, **changes})


LITTLE: dict[str, Any] = dict(batch=16, image_weight=5.0, log_every=20, checkpoint_every=1000)
NUMBERED: dict[str, Any] = {"streams": "numbered"}  # of the trainings that shipped first


@dataclass(frozen=True)
class Profile(Config):
    """A named set of all settings; `seed` is for what chapters draw themselves, as samples are.

    `teacher_data` and `judge_data` are birds of the teacher's and the evaluators' own, as ImageNet
    is not the data that a student of the paper learns from. Trainings, live ones too, have seeds of
    their own, so that another `seed` still finds the trained runs. `live_steps` is the length of
    the short trainings that a chapter runs before your eyes. `photos` names a prepared folder of
    photographs, from the project's folder: text and students then learn from it in place of `data`,
    and an epoch is every pair of a photograph and a caption of its. With `photo_teacher` the
    teacher learns from them, too: their kinds, and what a network that knows ImageNet sees in them.
    """

    name: str = setting(NAME)
    data: DataConfig = DataConfig()
    teacher_data: DataConfig = _own_birds(seed=2000)
    judge_data: DataConfig = _own_birds(seed=1000)
    network: NetworkConfig = NetworkConfig()
    evaluator: TrainConfig = TrainConfig(3000, learning_rate=2e-3, noise=0.25, seed=100)
    second_evaluator: TrainConfig = TrainConfig(3000, learning_rate=2e-3, noise=0.25, seed=101)
    teacher: TrainConfig = TrainConfig(3000, noise=0.25, seed=1)
    text: TrainConfig = TrainConfig(4000, seed=2)
    judge_text: TrainConfig = TrainConfig(2000, seed=102)
    stage_one: TrainConfig = _student(3000, seed=3)
    stage_two: TrainConfig = _student(10000, learning_rate=1e-3, seed=4)
    baseline: TrainConfig = _student(24000, seed=3)
    evaluation: EvaluationConfig = EvaluationConfig()
    live_steps: int = setting(in_range(1), 40)
    seed: int = setting(SEED, 0)
    photos: str | None = setting(NOT_BLANK, None)
    photo_teacher: bool = False
    output_dir: str | None = setting(NOT_BLANK, None)

    @property
    def runs(self) -> Path:
        """Where this profile's own trainings go; SDNError where that would be no project."""
        if self.output_dir:
            return Path(self.output_dir)
        return project() / "_build" / self.name / "runs"

    @property
    def shipped(self) -> Path:
        """Where the trainings that ship with the project lie, in a folder a profile."""
        return ROOT / "results"

    def to_json(self) -> str:
        """Return the profile as JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def from_json(text: str, where: str = "profile") -> Profile:
    """Return the profile that `to_json` wrote.

    Raises SDNError for text that is no JSON object, for a key that does not exist or comes twice,
    and for a value that its setting does not take; `where` says which profile.
    """
    return from_dict(Profile, parse(text, where), where)


def _short(steps: int, seed: int) -> TrainConfig:
    return TrainConfig(steps=steps, batch=16, log_every=1, seed=seed)


def _paper(dataset: str, pairs: int, epochs: tuple[int, int] = (100, 100), **network) -> Profile:
    """Return an experiment of the paper's, by the authors' schedule.

    Every pair once an epoch, batches of 12, Adam at a constant 1e-4; a stage's result is its last
    step. The weight puts the image term on the authors' scale.
    """
    schedule: dict[str, Any] = {
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


def _small(dataset: str) -> Profile:
    """Return the paper's experiment on photographs for two cores: 64 pixels, its own teacher."""
    return Profile(
        name=f"{dataset}64",
        teacher=TrainConfig(3000, noise=0.25, seed=1),
        text=TrainConfig(2000, seed=2),
        stage_one=_student(2000, seed=3, log_every=20),
        stage_two=_student(4000, seed=4, learning_rate=1e-3, log_every=20),
        baseline=_student(10667, seed=3, log_every=20),
        photos=f"data/{dataset}-64",
        photo_teacher=True,
    )


PROFILES = {
    "smoke": Profile(
        name="smoke",
        data=DataConfig(size=32, species=24, test_species=8, images_per_species=8),
        teacher_data=_own_birds(size=32, species=24, test_species=8, seed=2000),
        judge_data=_own_birds(size=32, species=24, test_species=8, seed=1000),
        network=NetworkConfig(width=1 / 16, fc_width=64, text_dim=64),
        evaluator=_short(20, seed=100),
        second_evaluator=_short(20, seed=101),
        teacher=_short(20, seed=1),
        text=_short(10, seed=2),
        stage_one=_student(10, seed=3, **{**LITTLE, "log_every": 1}),
        stage_two=_student(
            10, seed=4, **{**LITTLE, "learning_rate": 5e-4, "image_weight": 20.0, "log_every": 1}
        ),
        baseline=_student(34, seed=3, **{**LITTLE, "log_every": 1}),
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
        evaluator=TrainConfig(5000, learning_rate=2e-3, noise=0.25, seed=100),
        teacher=TrainConfig(5000, noise=0.25, seed=1),
        text=TrainConfig(6000, seed=2),
        stage_one=_student(5000, seed=3),
        stage_two=_student(20000, learning_rate=1e-3, seed=4),
        baseline=_student(46667, seed=3),
    ),
    "brittle": Profile(
        name="brittle",
        evaluator=TrainConfig(2000, learning_rate=2e-3, seed=100, **NUMBERED),
        teacher=TrainConfig(3000, seed=1, **NUMBERED),
        text=TrainConfig(4000, seed=2, **NUMBERED),
        stage_one=_student(8000, seed=3, **LITTLE, **NUMBERED),
        stage_two=_student(
            10000, learning_rate=1e-3, seed=4, **{**LITTLE, "image_weight": 20.0}, **NUMBERED
        ),
        baseline=_student(30670, seed=3, **LITTLE, **NUMBERED),
    ),
    "birds64": _small("birds"),
    "flowers64": _small("flowers"),
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
        stage_one=_student(300, seed=3, **{**LITTLE, "log_every": 5}),
        stage_two=_student(200, learning_rate=5e-4, seed=4, **{**LITTLE, "log_every": 5}),
        baseline=_student(800, seed=3, **{**LITTLE, "log_every": 5}),
        live_steps=20,
        photos="data/birds-rehearsal",
    ),
}


def load(name: str | Path, /, **overrides) -> Profile:
    """Return the profile `name`, or that of a JSON file (UTF-8), with overrides.

    An override is a field ('seed=1') or a nested one with two underscores
    ('stage_one__steps=50'); one that is None changes nothing. An `output_dir` is made absolute:
    a file's starts from the file's folder, an override's from the working directory, and `~` is
    the user's home. Raises SDNError for an unknown profile or setting, listing the near matches,
    and for a value that its setting does not take.
    """
    name = os.fspath(name)
    if name in PROFILES:
        profile = PROFILES[name]
    elif is_file(name):
        profile = _read(Path(os.path.expanduser(name)))
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
            place, target = values[target], "__".join(rest)
        if target not in place:
            raise SDNError(f"profile has no setting {key!r}: {near(target, place)}")
        place[target] = os.fspath(value) if isinstance(value, os.PathLike) else value
    return _resolved(from_dict(Profile, values), Path())


def is_file(name: str) -> bool:
    """Say whether a profile's name is that of a JSON file."""
    return name.lower().endswith(".json")


def _read(path: Path) -> Profile:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        known = ", ".join(PROFILES)
        raise SDNError(f"{path} is missing: name a profile file, or one of {known}") from None
    except OSError as error:
        raise SDNError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SDNError(f"{path} is not UTF-8: save it in that encoding") from None
    return _resolved(from_json(text, str(path)), path.resolve().parent)


def _resolved(profile: Profile, start: Path) -> Profile:
    """Return a profile whose paths do not depend on the working directory of who reads it."""
    photos, output = profile.photos, profile.output_dir
    weights = profile.network.teacher_weights
    return dataclasses.replace(
        profile,
        photos=photos and os.path.expanduser(photos),
        output_dir=output and os.path.abspath(start / os.path.expanduser(output)),
        network=dataclasses.replace(
            profile.network, teacher_weights=weights and os.path.expanduser(weights)
        ),
    )
