"""The six trained things of the book, and the rule that every chapter follows: load, else train.

========== ==================================================================================
evaluator  judges pictures; another architecture and seed than the teacher
teacher    the VGG trunk, trained on attributes and species, batch norm folded away
text       the char-CNN-RNN, trained with the joint embedding loss against the teacher's view
stage_one  the student after stage one
stage_two  the same student after stage two, which starts from stage one's weights
baseline   a student that sees pixels alone, at the cost of both stages together
========== ==================================================================================
"""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import checkpoints, distillation, training
from sdn_lib.data import painted_birds, prepared
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError, near
from sdn_lib.evaluation import Evaluator
from sdn_lib.profiles import ROOT, Profile, TrainConfig
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher
from sdn_lib.text import CharCNNRNN, joint_embedding_loss, to_indices

NEEDS = {
    "evaluator": (),
    "teacher": (),
    "text": ("teacher",),
    "stage_one": ("teacher", "text"),
    "stage_two": ("teacher", "text", "stage_one"),
    "baseline": ("text",),
}
NAMES = tuple(NEEDS)


@dataclass
class Run:
    """A trained network: `model` in evaluation mode, `how` it came, its log and its folder."""

    name: str
    model: nn.Module
    how: str
    log: list[dict]
    config: dict[str, Any]
    folder: Path


def dataset(profile: Profile, progress: Callable[[int, int], None] | None = None):
    """Return the profile's prepared data set, painting it first where it is not there yet."""
    config = dataclasses.asdict(profile.data)
    folder = profile.data_folder
    if prepared.is_prepared(folder):
        return prepared.load(folder)
    return painted_birds.generate(folder, **config, progress=progress)


# --- tasks: what `training.fit` trains ------------------------------------------------------


class AttributeTask(training.Task):
    """Attributes and species from pictures: how teacher and evaluator learn to see.

    `trunk` maps images to features (batch, width); one linear head an attribute, one for species.
    """

    def __init__(self, data: prepared.Prepared, trunk: nn.Module, width: int) -> None:
        super().__init__()
        self.rows = data.indices("train")
        self.size = len(self.rows)
        self.data, self.trunk = data, trunk
        self.names = list(data.tables["attributes"])
        counts = {name: len(data.tables["attributes"][name]) for name in self.names}
        classes, labels = np.unique(data.class_ids[self.rows], return_inverse=True)
        self.labels = labels
        self.heads = nn.ModuleDict({n: nn.Linear(width, c) for n, c in counts.items()})
        self.species = nn.Linear(width, len(classes))

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return images (batch, 3, h, w), attributes (batch, A) and species (batch,)."""
        chosen = training.batch_indices(self.size, batch, step, seed)
        rows = self.rows[chosen]
        return {
            "images": images(self.data, rows),
            "attributes": torch.from_numpy(self.data.arrays["attributes"][rows].astype(np.int64)),
            "species": torch.from_numpy(self.labels[chosen]),
        }

    def forward(self, images: Tensor, attributes: Tensor, species: Tensor) -> LayerLosses:
        """Return cross-entropies: one an attribute, and the species'."""
        features = self.trunk(images)
        losses = LayerLosses()
        for column, name in enumerate(self.names):
            losses[name] = F.cross_entropy(self.heads[name](features).float(), attributes[:, column])
        losses["species"] = F.cross_entropy(self.species(features).float(), species)
        return losses


class TeacherFeatures(nn.Module):
    """The top of a teacher as features: pool5, averaged to at most 2x2 cells and flattened."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher
        self.width = teacher.table[-1].channels * 4

    def forward(self, images: Tensor) -> Tensor:
        """Return (batch, 4 x channels of pool5)."""
        return F.adaptive_avg_pool2d(self.teacher(images)["pool5"], 2).flatten(1)


class TextTask(training.Task):
    """The joint embedding of captions and the frozen teacher's features of their pictures.

    Each batch holds `batch` different species, one picture and one caption of each.
    """

    def __init__(
        self, data: prepared.Prepared, encoder: CharCNNRNN, features: nn.Module, width: int
    ) -> None:
        super().__init__()
        self.rows = data.indices("train")
        self.data, self.encoder = data, encoder
        with torch.no_grad():
            parts = [features(images(data, part)) for part in np.array_split(self.rows, 64)]
        seen = torch.cat([p for p in parts if len(p)]).float()
        self.seen = (seen - seen.mean(0)) / (seen.std(0) + 1e-3)
        self.project = nn.Linear(width, encoder.text_dim)
        nn.init.normal_(self.project.weight, std=0.3 / width**0.5)
        ids = data.class_ids[self.rows]
        self.members = [np.flatnonzero(ids == c) for c in np.unique(ids)]
        self.size = len(self.members)

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return features (batch, width) and characters (batch, 201) of different species."""
        if batch > self.size:
            raise SDNError(f"batch {batch} exceeds the {self.size} species of the data: lower it")
        draw = np.random.default_rng([seed, step])
        species = draw.choice(self.size, batch, replace=False)
        chosen = np.array([draw.choice(self.members[s]) for s in species])
        lines = [self.data.captions[row] for row in self.rows[chosen]]
        texts = [line[draw.integers(len(line))] for line in lines]
        return {"features": self.seen[chosen], "characters": to_indices(texts)}

    def forward(self, features: Tensor, characters: Tensor) -> LayerLosses:
        """Return the joint embedding loss."""
        loss = joint_embedding_loss(self.project(features), self.encoder(characters))
        return LayerLosses(joint_embedding=loss)


class DistillationTask(training.Task):
    """A student under 'pixels', 'stage_one' or 'stage_two'; `options` as for layer_losses."""

    def __init__(
        self,
        data: prepared.Prepared,
        student: Student,
        teacher: Teacher | None,
        encoder: CharCNNRNN,
        mode: str,
        **options,
    ) -> None:
        super().__init__()
        modes = ("pixels", "stage_one", "stage_two")
        if mode not in modes:
            raise SDNError(f"unknown mode {mode!r}: {near(mode, modes)}")
        self.rows = data.indices("train")
        self.data, self.mode, self.options = data, mode, options
        self.size = len(self.rows)
        self.student = student.to(memory_format=torch.channels_last)
        # Not submodules: frozen networks are no part of the checkpoint.
        self._frozen = (teacher, encoder)

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return images (batch, 3, h, w) and characters (batch, 201), one random caption each."""
        rows = self.rows[training.batch_indices(self.size, batch, step, seed)]
        draw = np.random.default_rng([seed, step, 1])
        lines = [self.data.captions[row] for row in rows]
        texts = [line[draw.integers(len(line))] for line in lines]
        return {"images": images(self.data, rows), "characters": to_indices(texts)}

    def forward(self, images: Tensor, characters: Tensor) -> LayerLosses:
        """Return the mode's losses by layer."""
        teacher, encoder = self._frozen
        with torch.no_grad():
            text = encoder(characters)
        if self.mode == "pixels":
            return distillation.pixels(self.student, text, images, **self.options)
        if self.mode == "stage_one":
            return distillation.stage_one(self.student, teacher, text, images, **self.options)
        generated = self.student(text)["image"]
        return distillation.stage_two(teacher, generated, images, **self.options)

    def to(self, *args, **kwargs):
        """Move the student and the frozen networks."""
        for network in self._frozen:
            if network is not None:
                network.to(*args, **kwargs)
        return super().to(*args, **kwargs)


def images(data: prepared.Prepared, rows: np.ndarray) -> Tensor:
    """Return images of the given rows, float32 (n, 3, height, width) RGB 0..1, channels last."""
    chunk = torch.from_numpy(np.ascontiguousarray(data.images[rows]))
    return chunk.permute(0, 3, 1, 2).float().div_(255)


# --- load, else train -----------------------------------------------------------------------


def get(name: str, profile: Profile, progress: bool = True) -> Run:
    """Return the run `name`: loaded from the profile's own runs or the shipped ones, else trained.

    A run whose saved config differs from the profile's is another run: in the profile's own
    folder that is an error that names the setting, among the shipped ones it is passed over.
    """
    expected = expected_config(name, profile)
    own = profile.runs / name
    if (own / "weights.safetensors").exists():
        difference = _difference(_read_config(own)["settings"], expected)
        if difference:
            raise SDNError(
                f"{own} was trained with other settings ({difference}): delete it, or choose "
                "another output_dir"
            )
        return load(name, profile, own)
    shipped = profile.shipped / name
    if (shipped / "weights.safetensors").exists():
        if not _difference(_read_config(shipped)["settings"], expected):
            return load(name, profile, shipped)
    return train(name, profile)


def load(name: str, profile: Profile, folder: Path) -> Run:
    """Return a run from its folder, without looking anywhere else."""
    model = build(name, profile, dataset(profile).tables["attributes"])
    checkpoints.load_weights(folder / "weights.safetensors", model)
    log = training.read_log(folder / "log.jsonl")
    return Run(name, model.eval().requires_grad_(False), "loaded", log, _read_config(folder), folder)


def train(
    name: str,
    profile: Profile,
    folder: Path | None = None,
    on_step: Callable[[int, training.Task], None] | None = None,
) -> Run:
    """Train a run (and whatever it needs and cannot be loaded) and save it in `folder`.

    By default `folder` is the profile's own; an unfinished training found there is resumed.
    """
    folder = Path(folder or profile.runs / name)
    settings = expected_config(name, profile)
    began = folder / "settings.json"
    folder.mkdir(parents=True, exist_ok=True)
    if began.exists():
        difference = _difference(json.loads(began.read_text()), settings)
        if difference:
            raise SDNError(
                f"{folder} holds an unfinished training with other settings ({difference}): "
                "delete it, or choose another output_dir"
            )
    began.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    clock = time.perf_counter()
    task, finish = make_task(name, profile)
    log = training.fit(task, settings_of(name, profile), folder, on_step=on_step, title=name)
    model = finish(task)
    config = {
        "name": name,
        "profile": profile.name,
        "settings": settings,
        "command": f"sdn train {name} --profile {profile.name}",
        "hardware": hardware(),
        "commit": commit(),
        "data": dataset(profile).checksum,
        "seconds": round(log[-1]["seconds"], 1),
        "seconds_with_setup": round(time.perf_counter() - clock, 1),
        "torch": torch.__version__,
        "weights": "float16",
    }
    checkpoints.save_weights(folder / "weights.safetensors", model, {"name": name})
    training.write_log(folder / "log.jsonl", log)
    _write_json(folder / "config.json", config)
    (folder / "state.safetensors").unlink(missing_ok=True)
    began.unlink()
    # What a chapter shows is what it would have loaded: the float16 weights.
    return dataclasses.replace(load(name, profile, folder), how="trained")


def make_task(
    name: str, profile: Profile
) -> tuple[training.Task, Callable[[training.Task], nn.Module]]:
    """Return a run's task and the function that takes the finished network out of it."""
    data = dataset(profile)
    attributes = data.tables["attributes"]
    torch.manual_seed(settings_of(name, profile).seed)
    if name == "evaluator":
        network = Evaluator(attributes)
        task = AttributeTask(data, network.trunk, network.num_features)
        network.heads = task.heads
        return task, lambda t: network.eval()
    if name == "teacher":
        features = TeacherFeatures(build("teacher", profile, attributes, norm=True))
        task = AttributeTask(data, features, features.width)
        return task, lambda t: features.teacher.fold()
    needs = {need: get(need, profile).model for need in NEEDS[name]}
    torch.manual_seed(settings_of(name, profile).seed)
    if name == "text":
        features = TeacherFeatures(needs["teacher"])
        task = TextTask(data, build("text", profile, attributes), features, features.width)

        def finish(t: training.Task) -> nn.Module:
            some = [data.captions[row][0] for row in task.rows]
            task.encoder.calibrate(some)
            return task.encoder.eval()

        return task, finish
    student = build(name, profile, attributes)
    if name == "stage_two":
        student.load_state_dict(needs["stage_one"].state_dict())
    mode = "pixels" if name == "baseline" else name
    task = DistillationTask(data, student, needs.get("teacher"), needs["text"], mode)
    return task, lambda t: t.student.eval()


def build(name: str, profile: Profile, attributes: dict, norm: bool = False) -> nn.Module:
    """Return the untrained network of a run."""
    if name not in NAMES:
        raise SDNError(f"unknown run {name!r}: {near(name, NAMES)}")
    n = profile.network
    if name == "evaluator":
        return Evaluator(attributes)
    if name == "teacher":
        return Teacher(n.depth, n.width, n.pooling, n.preprocessing, norm)
    if name == "text":
        return CharCNNRNN(n.text_variant, n.text_dim)
    return Student(n.depth, n.width, profile.data.size, n.text_dim, n.fc_width)


def settings_of(name: str, profile: Profile) -> TrainConfig:
    """Return a run's TrainConfig."""
    if name not in NAMES:
        raise SDNError(f"unknown run {name!r}: {near(name, NAMES)}")
    return getattr(profile, name)


def expected_config(name: str, profile: Profile) -> dict[str, Any]:
    """Return every setting that a run's weights depend on, those of the runs it needs included."""
    settings: dict[str, Any] = {
        "data": dataclasses.asdict(profile.data),
        "network": dataclasses.asdict(profile.network) if name != "evaluator" else {},
        "training": {name: dataclasses.asdict(settings_of(name, profile))},
    }
    for need in NEEDS[name]:
        settings["training"].update(expected_config(need, profile)["training"])
    return settings


def encode(run: Run, captions: Sequence[str]) -> Tensor:
    """Return the embeddings of captions by the text run."""
    return run.model.encode(list(captions))


@torch.no_grad()
def paint(
    student: nn.Module, encoder: CharCNNRNN, captions: Sequence[str], batch: int = 128
) -> Tensor:
    """Return pictures of captions, float32 (n, 3, size, size) RGB clamped to 0..1."""
    text = encoder.encode(list(captions))
    parts = [
        student(text[start : start + batch])["image"].float().clamp(0, 1)
        for start in range(0, len(text), batch)
    ]
    return torch.cat(parts)


def hardware() -> dict[str, Any]:
    """Return what this ran on: processor, threads, memory and accelerator."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].split(":")[1].strip() if models else name
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"cpu": name, "threads": torch.get_num_threads(), "gpu": gpu}


def commit() -> str:
    """Return the git commit of the project, '+' behind it where files differ, or 'unknown'."""
    try:
        git = ["git", "-C", str(ROOT)]
        sha = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        dirty = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return sha + ("+" if dirty else "")


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise SDNError(f"{path} cannot be read ({error}): delete {folder} and train again") from None


def _write_json(path: Path, value: Any) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _difference(found: dict, expected: dict) -> str:
    """Return the first setting that differs, 'network.width is 0.5, wanted 0.25', or ''."""
    expected = json.loads(json.dumps(expected))
    for key in sorted(set(found) | set(expected)):
        a, b = found.get(key), expected.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            inner = _difference(a, b)
            if inner:
                return f"{key}.{inner}"
        elif a != b:
            return f"{key} is {a!r}, wanted {b!r}"
    return ""
