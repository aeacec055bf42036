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
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sdn_lib import (
    devices,
    distillation,
    files,
    learning,
    machine,
    processes,
    profiles,
    vgg,
    weights,
)
from sdn_lib.data import painted_birds, prepared
from sdn_lib.errors import SDNError, near
from sdn_lib.judging.evaluator import Evaluator
from sdn_lib.learning import checkpoints
from sdn_lib.learning.tasks import images as images
from sdn_lib.profiles import DataConfig, Profile, TrainConfig
from sdn_lib.progress import Progress
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher
from sdn_lib.text import CharCNNRNN

NEEDS = {
    "evaluator": (),
    "teacher": (),
    "text": ("teacher",),
    "stage_one": ("teacher", "text"),
    "stage_two": ("teacher", "text", "stage_one"),
    "baseline": ("text",),
}
NAMES = tuple(NEEDS)
STUDENTS = ("baseline", "stage_one", "stage_two")
STUDENT_NETWORK = (
    "depth", "width", "fc_width", "text_dim", "student_norm", "student_init", "student_output",
)  # fmt: skip
NETWORK = {
    "evaluator": (),
    "teacher": ("depth", "width", "pooling", "preprocessing"),
    "text": ("text_variant", "text_dim"),
    **dict.fromkeys(STUDENTS, STUDENT_NETWORK),
}
"""The settings of NetworkConfig that each run depends on, itself."""

LATER = {"captions_together": 1, "compiled": False}
"""Settings of a training that came after the first runs, which lack them, and their defaults."""

PASSES = {"baseline": 3, "stage_one": 4, "stage_two": 6}
"""What a training step costs, in forward passes of a VGG trunk.

A forward and backward pass counts 3, 2 where no gradients of weights are needed: the student 3,
the teacher on the real picture 1, on the painted one 1 + 1.
"""


@dataclass
class Run:
    """A trained network: `model` in evaluation mode, `how` it came, its log and its folder."""

    name: str
    model: nn.Module
    how: str
    log: list[dict]
    config: dict[str, Any]
    folder: Path


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


# --- load, else train -----------------------------------------------------------------------


@devices.own_defaults()
def get(name: str, profile: Profile) -> Run:
    """Return the run `name`: loaded from the profile's own runs or the shipped ones, else trained.

    A run whose saved config differs from the profile's is another run: in the profile's own
    folder that is an error that names the setting, among the shipped ones it is passed over.
    """
    if name == "teacher" and profile.network.teacher_weights:
        return _converted(profile)
    if name == "text" and _published(profile):
        data = dataset(profile)
        return Run(name, PublishedText(data), "published", [], {}, data.folder)
    if processes.count() > 1:
        return _found(name, profile) or _train(name, profile, profile.runs / name)
    found = _found(name, profile)
    if found:
        return found
    with files.alone(profile.runs / name):
        return _found(name, profile) or _train(name, profile, profile.runs / name)


def student(name: str, profile: Profile) -> Run:
    """Return the run of a student, as `get` does; SDNError for another run, which cannot paint."""
    settings_of(name, profile)
    if name not in STUDENTS:
        raise SDNError(f"run {name!r} is no student: {near(name, STUDENTS)}")
    return get(name, profile)


def _found(name: str, profile: Profile) -> Run | None:
    """Return a run that the profile's own folder holds, or the shipped ones; None for none."""
    expected = expected_config(name, profile)
    own = profile.runs / name
    if (own / "weights.safetensors").exists():
        difference = first_difference(_read_config(own)["settings"], expected)
        if difference:
            raise SDNError(
                f"{own} was trained with other settings ({difference}): delete it, or choose "
                "another output_dir"
            )
        return load(name, profile, own)
    for shipped in sorted(profile.shipped.glob(f"*/{name}")):
        if not first_difference(_read_config(shipped)["settings"], expected):
            return load(name, profile, shipped)
    return None


@devices.own_defaults()
def load(name: str, profile: Profile, folder: Path) -> Run:
    """Return a run from its folder, without looking anywhere else.

    A student's file keeps the batch norm that it was trained with; the model has it folded away.
    """
    norm = name in STUDENTS and profile.network.student_norm
    model = build(name, profile, norm)
    checkpoints.load_weights(folder / "weights.safetensors", model)
    log = learning.log.read(folder / "log.jsonl")
    if name in STUDENTS:
        model.fold()
    model.eval().requires_grad_(False)
    return Run(name, model, "loaded", log, _read_config(folder), folder)


def _converted(profile: Profile) -> Run:
    n = profile.network
    path = profiles.ROOT / n.teacher_weights
    if not path.is_file():
        raise SDNError(
            f"{path} is missing: make it with data_scripts/convert_weights.py, or override "
            "network__teacher_weights"
        )
    model = weights.load(path, n.pooling, n.preprocessing)
    table = vgg.layers(n.depth, n.width)
    if model.table != table:
        raise SDNError(f"{path} holds a VGG{model.depth} of width 1, the profile has another")
    return Run("teacher", model, "converted", [], checkpoints.read_meta(path), path.parent)


def _published(profile: Profile) -> bool:
    return profile.photos is not None and "embeddings" in dataset(profile).arrays


class PublishedText(nn.Module):
    """Looks embeddings up that came with a data set; it reads no caption but theirs."""

    def __init__(self, data: prepared.Prepared) -> None:
        super().__init__()
        self.table = data.arrays["embeddings"]
        self.text_dim = self.table.shape[-1]
        self.places = {}
        for row, lines in enumerate(data.captions):
            self.places.update((line, (row, k)) for k, line in enumerate(lines))

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Return float32 embeddings (n, text_dim) of captions of the data set.

        Raises SDNError that quotes a caption which is not.
        """
        for line in captions:
            if line not in self.places:
                raise SDNError(
                    f"there is no published embedding of {line!r}: prepare the data set without "
                    "embeddings, and a reader is trained that reads any caption"
                )
        rows = [np.asarray(self.table[self.places[line]], dtype=np.float32) for line in captions]
        return torch.from_numpy(np.stack(rows)) if rows else torch.empty(0, self.text_dim)


@devices.own_defaults()
def train(name: str, profile: Profile, folder: Path | None = None) -> Run:
    """Train a run (and whatever it needs and cannot be loaded) and save it in `folder`.

    By default `folder` is the profile's own; an unfinished training found there is resumed.
    """
    settings_of(name, profile)
    folder = Path(folder or profile.runs / name)
    with files.alone(folder) if processes.count() == 1 else nullcontext():
        return _train(name, profile, folder)


def _train(name: str, profile: Profile, folder: Path) -> Run:
    config = settings_of(name, profile)
    for need in NEEDS[name]:
        get(need, profile)
    with processes.first_alone():
        settings = expected_config(name, profile)
    began = folder / "settings.json"
    if began.exists():
        remedy = f"delete {folder} and train again"
        difference = first_difference(files.read_json(began, remedy), settings)
        if difference:
            raise SDNError(
                f"{folder} holds an unfinished training with other settings ({difference}): "
                "delete it, or choose another output_dir"
            )
    if processes.rank() == 0:
        files.write_json(began, settings)
    clock, code = time.perf_counter(), machine.git_state(profiles.ROOT)
    with processes.first_alone():
        task, finish = make_task(name, profile)
    pictures = name in STUDENTS and processes.rank() == 0
    lapse = TimeLapse(name, profile, folder) if pictures else None
    log = learning.fit(task, config, folder, on_step=lapse, title=name)
    model = finish(task)
    facts = {
        "name": name,
        "profile": profile.name,
        "settings": settings,
        "command": f"sdn train {name} --profile {profile.name}",
        "hardware": machine.hardware(),
        "device": devices.describe(devices.best()),
        "precision": learning.ran_in(config, devices.best()),
        "processes": processes.count(),
        **code,
        "data": data_of(name, profile).checksum,
        "seconds": round(log[-1]["seconds"], 1),
        "seconds_with_setup": round(time.perf_counter() - clock, 1),
        "torch": torch.__version__,
        "weights": "float16",
    }
    if processes.rank() == 0:
        learning.log.write(folder / "log.jsonl", log)
        files.write_json(folder / "config.json", facts)
        # Last, as it is what says that the run is there.
        checkpoints.save_weights(folder / "weights.safetensors", model, {"name": name})
        (folder / "state.safetensors").unlink(missing_ok=True)
        began.unlink(missing_ok=True)
    processes.wait()
    # What a chapter shows is what it would have loaded: the float16 weights.
    return dataclasses.replace(load(name, profile, folder), how="trained")


class TimeLapse:
    """Pictures of the same eight unseen captions while a student trains, one row a moment.

    Called by `learning.fit` after every step; kept as `time_lapse.png` beside `time_lapse.json`,
    which holds the steps and captions.
    """

    COUNT = 8

    def __init__(self, name: str, profile: Profile, folder: Path) -> None:
        data = dataset(profile)
        rows = data.indices("test")
        self.rows = rows[np.linspace(0, len(rows) - 1, self.COUNT).astype(int)]
        self.captions = [max(data.captions[row], key=len) for row in self.rows]
        steps = settings_of(name, profile).steps
        self.moments = {0, steps} | {round(steps * 0.5 ** (k / 1.5)) for k in range(1, 11)}
        self.encoder = get("text", profile).model
        self.folder = folder
        self.frames: dict[int, np.ndarray] = {}
        if (folder / "time_lapse.json").exists():
            try:
                self.frames, _, _ = read_time_lapse(folder)
            except SDNError:
                pass  # pictures of earlier steps are lost; the training goes on

    def __call__(self, step: int, task: learning.Task) -> None:
        """Paint and save one row when `step` is one of the moments."""
        if step not in self.moments:
            return
        training_mode = task.student.training
        pictures = paint(task.student.eval(), self.encoder, self.captions)
        task.student.train(training_mode)
        self.frames[step] = to_uint8(pictures)
        steps = sorted(self.frames)
        sheet = np.stack([np.concatenate(list(self.frames[s]), axis=1) for s in steps])
        image = Image.fromarray(sheet.reshape(-1, *sheet.shape[2:]))
        with files.writing(self.folder / "time_lapse.png") as partial:
            image.save(partial, format="PNG", optimize=True)
        facts = {"steps": steps, "captions": self.captions, "rows": self.rows.tolist()}
        files.write_json(self.folder / "time_lapse.json", facts)


def read_time_lapse(folder: Path) -> tuple[dict[int, np.ndarray], list[str], list[int]]:
    """Return {step: uint8 (8, height, width, 3)}, the captions and their rows in the data.

    Raises SDNError that names a file which is missing or damaged.
    """
    remedy = "restore it, or train again"
    path, picture = folder / "time_lapse.json", folder / "time_lapse.png"
    facts = files.read_json(path, remedy)
    try:
        sheet = np.asarray(Image.open(picture).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise SDNError(f"{picture} cannot be read ({error}): {remedy}") from None
    captions, steps, rows = (facts.get(key) for key in ("captions", "steps", "rows"))
    if not all(isinstance(value, list) for value in (captions, steps, rows)):
        raise SDNError(f"{path} lists no captions, steps or rows: {remedy}")
    count = len(captions)
    size = sheet.shape[1] // max(1, count)
    if not count or sheet.shape[:2] != (len(steps) * size, count * size):
        raise SDNError(f"{path} and {picture} do not belong together: {remedy}")
    frames = {
        step: np.stack(np.split(sheet[row * size : (row + 1) * size], count, 1))
        for row, step in enumerate(steps)
    }
    return frames, captions, rows


@devices.own_defaults()
def rehearse(name: str, profile: Profile) -> Run:
    """Train only the first `profile.live_steps` steps of a run, before the reader's eyes.

    Seeds, batches and schedule are those of the whole training, so its log should lie on the
    beginning of the recorded one. Nothing is saved.
    """
    task, finish = make_task(name, profile, whole=False)
    settings = settings_of(name, profile)
    often = min(settings.log_every, profile.live_steps)
    settings = dataclasses.replace(settings, log_every=often)
    log = learning.fit(task, settings, stop_after=profile.live_steps, title=f"{name}, live")
    model = finish(task)
    if name in STUDENTS:
        model.fold()
    model.requires_grad_(False)
    return Run(name, model, "rehearsed", log, {}, profile.runs / name)


@devices.own_defaults()
def make_task(
    name: str, profile: Profile, whole: bool = True
) -> tuple[learning.Task, Callable[[learning.Task], nn.Module]]:
    """Return a run's task and the function that takes the finished network out of it.

    For a `whole` training of a student every caption is embedded beforehand.
    """
    data = data_of(name, profile)
    torch.manual_seed(settings_of(name, profile).seed)
    if name == "evaluator":
        network = build(name, profile)
        task = learning.AttributeTask(data, network.trunk, network.num_features, species=False)
        network.heads = task.heads
        return task, lambda t: network.eval()
    if name == "teacher":
        features = learning.TeacherFeatures(build("teacher", profile, norm=True))
        task = learning.AttributeTask(data, features, features.width)
        return task, lambda t: features.teacher.fold()
    needs = {need: get(need, profile) for need in NEEDS[name]}
    torch.manual_seed(settings_of(name, profile).seed)
    if name == "text":
        features = learning.TeacherFeatures(needs["teacher"].model)
        task = learning.TextTask(data, build("text", profile), features, features.width)

        def finish(t: learning.Task) -> nn.Module:
            some = [data.captions[row][0] for row in task.rows]
            task.encoder.calibrate(some)
            return task.encoder.eval()

        return task, finish
    student = build(name, profile, profile.network.student_norm)
    if name == "stage_two":
        checkpoints.load_weights(needs["stage_one"].folder / "weights.safetensors", student)
    settings = settings_of(name, profile)
    teacher, loss = None, distillation.stage("pixels")
    if name != "baseline":
        teacher = needs["teacher"].model
        loss = distillation.stage(name, weights={"image": settings.image_weight})
    table = embeddings(profile) if whole else None
    encoder, pairs = needs["text"].model, profile.photos is not None
    task = learning.DistillationTask(
        data, student, teacher, encoder, loss, table, pairs, settings.captions_together
    )
    return task, lambda t: t.student.eval()


def embeddings(profile: Profile) -> np.ndarray:
    """Return float16 embeddings (images, captions, text_dim) of every caption, cached on disk.

    The cache lies in the profile's own runs and is made again for other data or another encoder.
    """
    data, run = dataset(profile), get("text", profile)
    if run.how == "published":
        return data.arrays["embeddings"]
    path = profile.runs / "embeddings.safetensors"
    encoder = files.checksum(run.folder / "weights.safetensors")
    key = {"data": data.checksum, "encoder": encoder}
    with files.alone(path):
        if not _embedded(path, key):
            lines = [line for lines in data.captions for line in lines]
            parts = []
            with Progress("embedding", "captions") as progress, devices.borrowed(run.model):
                for start in range(0, len(lines), 2048):
                    parts.append(run.model.encode(lines[start : start + 2048]).half())
                    progress(min(start + 2048, len(lines)), len(lines))
            table = torch.cat(parts).view(len(data), -1, run.model.text_dim)
            checkpoints.save(path, {"embeddings": table}, key)
    return checkpoints.read(path)[0]["embeddings"].numpy()


def _embedded(path: Path, key: dict[str, str]) -> bool:
    """Say whether a cache of embeddings is there, whole, and that of these data and weights."""
    try:
        return checkpoints.read_meta(path) == key
    except checkpoints.CheckpointError:
        return False


def data_of(name: str, profile: Profile) -> prepared.Prepared:
    """Return what a run trains on: teacher and evaluator have birds, and species, of their own."""
    own = _own_data(name, profile)
    return painted(own) if own else dataset(profile)


def _own_data(name: str, profile: Profile) -> DataConfig | None:
    return {"teacher": profile.teacher_data, "evaluator": profile.judge_data}.get(name)


def _data_facts(name: str, profile: Profile) -> dict[str, Any]:
    own = _own_data(name, profile)
    if own or profile.photos is None:
        return dataclasses.asdict(own or profile.data)
    return {"prepared": dataset(profile).checksum}


@devices.own_defaults()
def build(name: str, profile: Profile, norm: bool = False) -> nn.Module:
    """Return the untrained network of a run; `norm` adds batch norm to a teacher or a student."""
    if name not in NAMES:
        raise SDNError(f"unknown run {name!r}: {near(name, NAMES)}")
    n = profile.network
    if name == "evaluator":
        return Evaluator(painted_birds.ATTRIBUTES)
    if name == "teacher":
        teacher = Teacher(n.depth, n.width, n.pooling, n.preprocessing, norm)
        return teacher.to(memory_format=torch.channels_last)
    if name == "text":
        return CharCNNRNN(n.text_variant, n.text_dim)
    student = Student(
        n.depth,
        n.width,
        profile.data.size,
        n.text_dim,
        n.fc_width,
        init=n.student_init,
        output=n.student_output,
        norm=norm,
    )
    return student.to(memory_format=torch.channels_last)


def settings_of(name: str, profile: Profile) -> TrainConfig:
    """Return a run's TrainConfig."""
    if name not in NAMES:
        raise SDNError(f"unknown run {name!r}: {near(name, NAMES)}")
    return getattr(profile, name)


def expected_config(name: str, profile: Profile) -> dict[str, Any]:
    """Return every setting that a run's weights depend on, those of the runs it needs included.

    {'data', 'network', 'training'}: {run: {setting: value}}, and no setting that changes nothing.
    """
    trained = dataclasses.asdict(settings_of(name, profile))
    for setting, default in LATER.items():
        if trained[setting] == default:
            del trained[setting]
    if trained["streams"] == "numbered":
        del trained["streams"]  # the first runs knew no other
    network = {key: getattr(profile.network, key) for key in NETWORK[name]}
    settings: dict[str, dict] = {"data": {}, "network": {name: network}, "training": {}}
    if name == "teacher" and profile.network.teacher_weights:
        network["sha256"] = get(name, profile).config["sha256"]
        return settings
    settings["data"][name] = _data_facts(name, profile)
    if name == "text" and _published(profile):
        return {**settings, "network": {name: "published embeddings"}}
    settings["training"][name] = trained
    for need in NEEDS[name]:
        for part, values in expected_config(need, profile).items():
            settings[part].update(values)
    return settings


def paint(
    student: nn.Module, encoder: CharCNNRNN, captions: Sequence[str], batch: int = 128
) -> Tensor:
    """Return pictures of captions, float32 (n, 3, size, size) RGB clamped to 0..1, on the CPU."""
    return paint_embeddings(student, encoder.encode(list(captions)), batch)


@torch.no_grad()
def paint_embeddings(student: nn.Module, text: Tensor, batch: int = 128) -> Tensor:
    """Return pictures of embeddings (n, text_dim), as `paint` does."""
    with devices.borrowed(student) as device:
        parts = [
            student(part.to(device))["image"].float().clamp(0, 1).cpu()
            for part in text.split(batch)
        ]
    return torch.cat(parts)


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Return pictures (n, 3, h, w) in 0..1 as uint8 (n, h, w, 3)."""
    return (pictures.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)


def _read_config(folder: Path) -> dict[str, Any]:
    path, remedy = folder / "config.json", f"delete {folder}, train again"
    config = files.read_json(path, remedy)
    if not isinstance(config.get("settings"), dict):
        raise SDNError(f"{path} says nothing of the run's settings: {remedy}")
    return config


def first_difference(found: dict, expected: dict) -> str:
    """Return the first setting that differs, 'network.width is 0.5, wanted 0.25', or ''."""
    expected = json.loads(json.dumps(expected))
    for key in sorted(set(found) | set(expected)):
        a, b = found.get(key), expected.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            inner = first_difference(a, b)
            if inner:
                return f"{key}.{inner}"
        elif a != b:
            return f"{key} is {a!r}, wanted {b!r}"
    return ""
