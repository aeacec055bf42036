"""The seven trained things of the book, and the rule of every chapter: load, else train.

A profile of photographs has one more, `judge_text`: another text encoder, trained against another
network's view of the pictures, by which no student was taught.

================ ============================================================================
evaluator        judges pictures; another architecture and seed than the teacher
second_evaluator judges them once more; of a third architecture
teacher          the VGG trunk, trained on attributes and species, batch norm folded away
text             the char-CNN-RNN, trained by two games on what the teacher sees
stage_one        the student after stage one
stage_two        the same student after stage two, which starts from stage one's weights
baseline         a student that sees pixels alone, at the cost of both stages together
================ ============================================================================
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdn_lib import devices, distillation, files, learning, machine, processes, profiles
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError, near
from sdn_lib.learning import checkpoints
from sdn_lib.profiles import Profile
from sdn_lib.progress import Progress
from sdn_lib.runs import pretrained
from sdn_lib.runs.data import EVALUATORS, data_of, dataset
from sdn_lib.runs.networks import (
    build,
    build_encoder,
    build_evaluator,
    build_student,
    build_teacher,
)
from sdn_lib.runs.sampling import painter_of
from sdn_lib.runs.settings import (
    NEEDS,
    STAGE,
    STUDENTS,
    begin_training,
    expected_config,
    first_difference,
    naming,
    train_config,
)
from sdn_lib.runs.time_lapse import TimeLapse
from sdn_lib.student import Student

FILES = ("config.json", "log.jsonl", "weights.safetensors")
"""The files of a finished run, weights last."""


@dataclass
class Run:
    """A trained network: `model` in evaluation mode, `how` it came, its log and its folder.

    `file` has its weights where these are not the folder's own.
    """

    name: str
    model: Any
    how: str
    log: list[dict]
    config: dict[str, Any]
    folder: Path
    file: Path | None = None

    @property
    def checksum(self) -> str:
        """The SHA-256 of its weights' file, or of the data with which its embeddings came."""
        if isinstance(self.model, pretrained.PublishedText):
            return self.model.checksum
        return files.checksum(self.file or self.folder / FILES[-1])


@devices.own_defaults()
def get(name: str, profile: Profile) -> Run:
    """Return the run `name`: loaded from the profile's own runs or the shipped ones, else trained.

    A run whose saved config differs from the profile's is another run: in the profile's own
    folder that is an error that names the setting, among the shipped ones it is passed over.
    """
    if elsewhere := _from_elsewhere(name, profile):
        return elsewhere
    if processes.count() > 1:
        return _found(name, profile) or _train(name, profile)
    found = _found(name, profile)
    if found:
        return found
    with files.alone(profile.runs / name):
        return _found(name, profile) or _train(name, profile)


def student(name: str, profile: Profile) -> Run:
    """Return the run of a student, as `get` does; SDNError for another run, which cannot paint."""
    train_config(name, profile)
    if name not in STUDENTS:
        raise SDNError(f"run {name!r} is no student: {near(name, STUDENTS)}")
    return get(name, profile)


def _from_elsewhere(name: str, profile: Profile) -> Run | None:
    """Return a converted teacher or published embeddings, where the profile has them."""
    if name == "teacher" and profile.network.teacher_weights:
        model, path = pretrained.converted_teacher(profile), pretrained.teacher_file(profile)
        return Run(name, model, "converted", [], checkpoints.read_meta(path), path.parent, path)
    if name == "text" and pretrained.has_embeddings(profile):
        data = dataset(profile)
        return Run(name, pretrained.PublishedText(data), "published", [], {}, data.folder)
    return None


def _own(name: str, profile: Profile) -> Run | None:
    """Return the finished run in the profile's own folder, or None; SDNError for other settings."""
    own = profile.runs / name
    if not (own / FILES[-1]).exists():
        return None
    found = _read_config(own)["settings"]
    if difference := first_difference(found, expected_config(name, profile)):
        raise SDNError(
            f"{own} was trained with other settings ({difference}): delete it, or choose "
            "another output_dir"
        )
    return load(name, profile, own)


def _found(name: str, profile: Profile) -> Run | None:
    """Return a run that the profile's own folder holds, or the shipped ones; None for none."""
    if own := _own(name, profile):
        return own
    expected = expected_config(name, profile)
    for shipped in sorted(profile.shipped.glob(f"*/{name}")):
        if not (shipped / FILES[-1]).exists():
            continue  # left by a copy that was cut off
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
    if isinstance(model, Student):
        model.fold()
    model.eval().requires_grad_(False)
    return Run(name, model, "loaded", log, _read_config(folder), folder)


def _read_config(folder: Path) -> dict[str, Any]:
    path, remedy = folder / "config.json", f"delete {folder}, train again"
    config = files.read_json(path, remedy)
    if not isinstance(config.get("settings"), dict):
        raise SDNError(f"{path} says nothing of the run's settings: {remedy}")
    return config


@devices.own_defaults()
def train(name: str, profile: Profile) -> Run:
    """Train a run (and whatever it needs and cannot be loaded) and save it with the profile's own.

    An unfinished training found there is resumed, a finished one loaded. Raises SDNError for a
    finished one of other settings, for a run that the profile has from elsewhere, and for an
    evaluator of birds where it has photographs.
    """
    train_config(name, profile)
    if profile.photos is not None and name in EVALUATORS:
        raise SDNError(
            f"{name} judges painted birds, and profile {profile.name!r} has photographs: do not "
            "train it, `sdn evaluate` judges them by other networks"
        )
    if _from_elsewhere(name, profile):
        raise SDNError(
            f"profile {profile.name!r} has its {name} from elsewhere, so it is not trained: see "
            "network__teacher_weights, or the embeddings that came with the photographs"
        )
    with files.alone(profile.runs / name) if processes.count() == 1 else nullcontext():
        return _own(name, profile) or _train(name, profile)


def _train(name: str, profile: Profile) -> Run:
    config, folder = train_config(name, profile), profile.runs / name
    for need in NEEDS[name]:
        get(need, profile)
    with processes.first_alone():
        settings = expected_config(name, profile)
    began = begin_training(folder, settings)
    clock, code = time.perf_counter(), machine.git_state(profiles.ROOT)
    with processes.first_alone():
        task, finish = make_task(name, profile)
    lapse = None
    if name in STUDENTS and processes.rank() == 0:
        lapse = TimeLapse(dataset(profile), get("text", profile).model, config.steps, folder)
    log = learning.fit(task, config, folder, on_step=lapse, title=name)
    model = finish()
    facts = {
        "name": name,
        "profile": profile.name,
        "settings": settings,
        "command": f"sdn train {name} --profile {naming(profile)}",
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


def keep(found: Mapping[str, Run], folder: Path, also: Sequence[str] = ()) -> None:
    """Copy runs into `folder`, each into a folder of its name, with files that some have `also`.

    The weights come last, and old ones go first: no run has the settings of another. Raises
    SDNError, before anything is written, for a run that was not trained here.
    """
    for name, run in found.items():
        if run.file is not None:
            raise SDNError(f"{name} is the converted file {run.file}: what was trained is kept")
    for name, run in found.items():
        if run.folder == folder / name:
            continue
        (folder / name / FILES[-1]).unlink(missing_ok=True)
        for path in (run.folder / part for part in (*also, *FILES)):
            if path.exists():
                with files.writing(folder / name / path.name) as partial:
                    shutil.copyfile(path, partial)


def painter(profile: Profile) -> Callable[[str], dict[str, np.ndarray]]:
    """Return what paints a caption with every student: {student: uint8 (h, w, 3)}."""
    students = {name: get(name, profile).model for name in STUDENTS}
    return painter_of(get("text", profile).model, students)


@devices.own_defaults()
def train_live(name: str, profile: Profile) -> Run:
    """Train only the first `profile.live_steps` steps of a run, before the reader's eyes.

    Seeds, batches and schedule are those of the whole training, so its log should lie on the
    beginning of the recorded one. Nothing is saved, and a text encoder is not calibrated.
    """
    task, finish = make_task(name, profile, whole=False)
    settings = train_config(name, profile)
    often = min(settings.log_every, profile.live_steps)
    settings = dataclasses.replace(settings, log_every=often)
    log = learning.fit(task, settings, stop_after=profile.live_steps, title=f"{name}, live")
    model = finish()
    if isinstance(model, Student):
        model.fold()
    model.requires_grad_(False)
    return Run(name, model, "live", log, {}, profile.runs / name)


@devices.own_defaults()
def make_task(
    name: str, profile: Profile, whole: bool = True, data: prepared.Prepared | None = None
) -> tuple[learning.Task, Callable[[], nn.Module]]:
    """Return a run's task and the function that takes the finished network out of it.

    For a `whole` training of a student every caption is embedded beforehand (also for a short one
    where the embeddings came with the data), and after one of the text encoder its embeddings are
    calibrated. `data` are other pictures of the same captions.
    """
    settings = train_config(name, profile)
    if settings.batch < 2 and (name not in STUDENTS or profile.network.student_norm):
        raise SDNError(f"{name}.batch is 1: what it learns compares pictures, give it 2 or more")
    if data is None:
        data = data_of(name, profile, whole)
    needs = {need: get(need, profile) for need in NEEDS[name]}
    torch.manual_seed(settings.seed)
    if name in EVALUATORS:
        evaluator = build_evaluator(name)
        trunk, width = evaluator.trunk, evaluator.num_features
        attributes = learning.AttributeTask(data, trunk, width, species=False, noise=settings.noise)
        evaluator.heads = attributes.heads
        return attributes, evaluator.eval
    if name == "teacher":
        top = learning.TeacherFeatures(build_teacher(profile, norm=True))
        if profile.photo_teacher:
            wanted = pretrained.imagenet_features(profile)
            kinds = learning.PhotographTask(data, top, top.width, wanted, settings.noise)
            return kinds, top.teacher.fold
        naming = learning.AttributeTask(data, top, top.width, noise=settings.noise)
        return naming, top.teacher.fold
    if name in ("text", "judge_text"):
        if name == "text":
            seen = learning.view(data, learning.TeacherFeatures(needs["teacher"].model))
        else:
            seen = torch.from_numpy(pretrained.imagenet_features(profile, pretrained.JUDGE))
        encoder = build_encoder(profile)
        reading = learning.TextTask(data, encoder, seen)

        def calibrated() -> nn.Module:
            encoder.calibrate([data.captions[row][0] for row in reading.rows])
            return encoder.eval()

        return reading, calibrated if whole else encoder.eval
    student = build_student(profile, profile.network.student_norm)
    if name == "stage_two":
        checkpoints.load_weights(needs["stage_one"].folder / "weights.safetensors", student)
    teacher, loss = None, distillation.stage(STAGE[name])
    if name != "baseline":
        teacher = needs["teacher"].model
        loss = distillation.stage(STAGE[name], weights={"image": settings.image_weight})
    table = embeddings(profile) if whole or needs["text"].how == "published" else None
    task = learning.DistillationTask(
        data,
        student,
        teacher,
        needs["text"].model,
        loss,
        table,
        pairs=profile.photos is not None,
        together=settings.captions_together,
    )
    return task, student.eval


def embeddings(profile: Profile) -> np.ndarray:
    """Return embeddings (images, captions, text_dim) of every caption.

    Those that came with the data as they are, float16 or float32. Others are float16, cached in the
    profile's own runs, and made again for other data or another encoder.
    """
    data, run = dataset(profile), get("text", profile)
    if run.how == "published":
        return data.arrays["embeddings"]
    path = profile.runs / "embeddings.safetensors"
    key = {"data": data.checksum, "encoder": run.checksum}

    def embed() -> Tensor:
        lines = [line for lines in data.captions for line in lines]
        parts = []
        with Progress("embedding", "captions") as progress, devices.borrowed(run.model):
            for start in range(0, len(lines), 2048):
                parts.append(run.model.encode(lines[start : start + 2048]).half())
                progress(min(start + 2048, len(lines)), len(lines))
        return torch.cat(parts).view(len(data), -1, run.model.text_dim)

    return checkpoints.cached(path, "embeddings", key, embed).numpy()
