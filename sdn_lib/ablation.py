"""What each part of the method contributes: rows that change one thing, at equal cost.

`ROWS` is the whole grid. Every row trains a student from nothing with the same budget of network
passes, on the profile's data, with its teacher and text encoder, and is judged on captions of
unseen species by an evaluator that is no teacher. The picture's own term is always there.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sdn_lib import distillation, evaluation, gaps, machine, runs, training, vgg
from sdn_lib.data import prepared
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError, near
from sdn_lib.profiles import ROOT, Profile
from sdn_lib.teacher import Teacher

PASSES = {**runs.PASSES, "pixels": runs.PASSES["baseline"], "both": 6}
SHARE = 8
"""A row costs this part of what a student of the book did."""

SHOWN = 6


@dataclass(frozen=True)
class Row:
    """One row: `plan` lists (mode, share of the cost), the rest is what the losses compare.

    A mode is 'pixels', 'stage_one', 'stage_two' or 'both' (their sum). `teacher` is 'trained',
    'random' (untrained weights) or 'shuffled' (each layer's weights in random order).
    """

    about: str
    plan: tuple[tuple[str, float], ...] = (("stage_one", 0.5), ("stage_two", 0.5))
    levels: tuple[str, ...] = vgg.LEVELS
    teacher: str = "trained"
    distance: str = "l1"
    pooling: str = "avg"
    normalised: bool = False
    captions: int | None = None
    mirrored: bool = True


ROWS = {
    "full": Row("stage one, then stage two, all levels"),
    "pixels": Row("the picture's own term alone", plan=(("pixels", 1),)),
    "one": Row("stage one alone", plan=(("stage_one", 1),)),
    "two": Row("stage two alone", plan=(("stage_two", 1),)),
    "both": Row("both stages at once", plan=(("both", 1),)),
    "high": Row("the high level alone", levels=("high",)),
    "mid": Row("the mid level alone", levels=("mid",)),
    "low": Row("the low level alone", levels=("low",)),
    "high_mid": Row("without the low level", levels=("mid", "high")),
    "high_low": Row("without the mid level", levels=("low", "high")),
    "mid_low": Row("without the high level", levels=("low", "mid")),
    "l2": Row("squared differences", distance="l2"),
    "max": Row("the teacher pools by maximum", pooling="max"),
    "normalised": Row("every layer's term begins at the same size", normalised=True),
    "one_caption": Row("one caption a picture in place of all", captions=1),
    "random": Row("a teacher with random weights", teacher="random"),
    "shuffled": Row("a teacher with its weights in random order", teacher="shuffled"),
    "plain": Row("no symmetry: stage two alone", plan=(("stage_two", 1),), mirrored=False),
}


class PlainStudent(nn.Module):
    """A painter without the mirror: equal convolutions of one width, an upsampling before each.

    `student(text)` returns {'image'} alone. `channels` is chosen so that it has as many weights as
    the mirrored student, to a percent or so.
    """

    def __init__(self, text_dim: int, fc_width: int, size: int, weights: int) -> None:
        super().__init__()
        self.side, ups = 4, (size // 4).bit_length() - 1

        def too_many(channels: int) -> int:
            dense = fc_width * (text_dim + channels * self.side**2)
            return abs(dense + 9 * channels * (ups * channels + 3) - weights)

        self.channels = min(range(1, 2048), key=too_many)
        self.dense = nn.Sequential(
            *_block(nn.Linear(text_dim, fc_width), nn.BatchNorm1d(fc_width)),
            *_block(
                nn.Linear(fc_width, self.channels * self.side**2),
                nn.BatchNorm1d(self.channels * self.side**2),
            ),
        )
        layers: list[nn.Module] = []
        for _ in range(ups):
            conv = nn.Conv2d(self.channels, self.channels, 3, padding=1)
            layers += [nn.Upsample(scale_factor=2), *_block(conv, nn.BatchNorm2d(self.channels))]
        self.body = nn.Sequential(*layers, nn.Conv2d(self.channels, 3, 3, padding=1))
        with torch.no_grad():
            self.body[-1].weight.mul_(0.1)
            self.body[-1].bias.fill_(0.5)

    def forward(self, text: Tensor) -> dict[str, Tensor]:
        """Return {'image': (batch, 3, size, size)} of text (batch, text_dim)."""
        x = self.dense(text.float()).view(len(text), self.channels, self.side, self.side)
        return {"image": self.body(x)}


def _block(layer: nn.Module, norm: nn.Module) -> tuple[nn.Module, ...]:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer, norm, nn.ReLU(inplace=True)


class AblationTask(runs.DistillationTask):
    """A student under one mode of a row; the losses are those of `distillation`."""

    def __init__(self, row: Row, mode: str, data, student, teacher, table, weights) -> None:
        known = mode if mode in ("pixels", "stage_one", "stage_two") else "stage_two"
        super().__init__(data, student, teacher, None, known, table)
        self.captions = row.captions or self.captions
        self.row, self.mode, self.weights = row, mode, weights

    def forward(self, images: Tensor, text: Tensor) -> LayerLosses:
        """Return the mode's losses by layer; in 'both' those of stage two end in '_seen'."""
        teacher, losses = self._frozen[0], LayerLosses()
        made = self.student(text)
        if self.mode == "pixels":
            return distillation.layer_losses({"image": made["image"]}, {"image": images})
        level = {layer.name: layer.level for layer in teacher.table}
        keep = [n for n in teacher.names if n == "image" or level[n] in self.row.levels]
        sides = {}
        if self.mode in ("stage_one", "both"):
            sides[""] = made
        if self.mode in ("stage_two", "both"):
            sides["_seen" if sides else ""] = teacher(made["image"])
        with torch.no_grad():
            real = teacher(images)
        for suffix, got in sides.items():
            found = distillation.layer_losses(
                got, real, layers=keep, weights=self.weights, distance=self.row.distance
            )
            losses.update({name + suffix: loss for name, loss in found.items()})
        return losses


def teacher_of(row: Row, profile: Profile, seed: int) -> Teacher:
    """Return the row's teacher: the profile's, or one of the controls, frozen."""
    if row.teacher not in ("trained", "random", "shuffled"):
        known = ("trained", "random", "shuffled")
        raise SDNError(f"unknown teacher {row.teacher!r}: {near(row.teacher, known)}")
    n = profile.network
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    teacher = Teacher(n.depth, n.width, row.pooling, n.preprocessing)
    if row.teacher != "random":
        teacher.load_state_dict(runs.get("teacher", profile).model.state_dict())
    if row.teacher == "shuffled":
        with torch.no_grad():
            for conv in teacher.convs.values():
                order = torch.randperm(conv.weight.numel(), generator=draw)
                conv.weight.copy_(conv.weight.flatten()[order].view_as(conv.weight))
    return teacher.freeze().to(memory_format=torch.channels_last)


def student_of(row: Row, profile: Profile, seed: int) -> nn.Module:
    """Return the row's untrained student."""
    torch.manual_seed(seed)
    mirrored = runs.build("stage_two", profile, profile.network.student_norm)
    if row.mirrored:
        return mirrored
    count = sum(p.numel() for p in runs.build("stage_two", profile).parameters())
    n = profile.network
    plain = PlainStudent(n.text_dim, n.fc_width, profile.data.size, count)
    return plain.to(memory_format=torch.channels_last)


def budget(profile: Profile) -> int:
    """Return the network passes that a row may spend."""
    return PASSES["baseline"] * profile.baseline.steps // SHARE


def run(name: str, seed: int, profile: Profile, folder: Path) -> dict[str, Any]:
    """Train and judge one row with one seed, or return what an earlier call kept in `folder`.

    Kept as NAME-SEED.json and .png. A file of other settings is an error that names the first.
    """
    if name not in ROWS:
        raise SDNError(f"unknown row {name!r}: {near(name, ROWS)}")
    row, path = ROWS[name], folder / f"{name}-{seed}.json"
    data = runs.dataset(profile)
    fixed = {n: runs.get(n, profile) for n in ("evaluator", "teacher", "text")}
    settings = {
        "row": json.loads(json.dumps(dataclasses.asdict(row))),
        "seed": seed,
        "budget": budget(profile),
        "batch": profile.stage_one.batch,
        "data": data.checksum,
        **{n: prepared.sha256(r.folder / "weights.safetensors") for n, r in fixed.items()},
    }
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["settings"] != settings:
            wrong = next(k for k in settings if kept["settings"].get(k) != settings[k])
            raise SDNError(f"{path} was made with another {wrong}: delete it, or name a --folder")
        return kept
    code, began = machine.git_state(ROOT), time.perf_counter()
    teacher, student = teacher_of(row, profile, seed), student_of(row, profile, seed)
    table, steps, last = runs.embeddings(profile), {}, {}
    for mode, share in row.plan:
        plan = dataclasses.replace(
            profile.stage_two if mode == "stage_two" and len(row.plan) > 1 else profile.stage_one,
            steps=max(2, round(share * settings["budget"] / PASSES[mode])),
            seed=seed,
        )
        weights = {"image": profile.stage_one.image_weight}
        task = AblationTask(row, mode, data, student, teacher, table, weights)
        if row.normalised and mode != "pixels":
            task.weights = _equal(task, seed, plan.batch)
        log = training.fit(task, plan, title=f"{name} {seed}, {mode}")
        steps[mode], last[mode] = plan.steps, log[-1]["total"]
    student.eval().requires_grad_(False)
    scores, strip = judge(student, profile, fixed)
    facts = {
        "settings": settings,
        "steps": steps,
        "last_loss": last,
        **scores,
        "seconds": round(time.perf_counter() - began, 1),
        "command": f"sdn ablate {name} --seeds {seed} --profile {profile.name}",
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        **code,
    }
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(strip).save(folder / f"{name}-{seed}.png", optimize=True)
    runs.write_json(path, facts)
    return facts


@torch.no_grad()
def _equal(task: AblationTask, seed: int, batch: int) -> dict[str, float]:
    """Return weights that make every layer's term begin as large as their mean."""
    task.weights = {}
    losses = task(**task.sample(0, seed, batch))
    found = {name.removesuffix("_seen"): float(loss) for name, loss in losses.items()}
    mean = float(np.mean(list(found.values())))
    return {name: mean / value for name, value in found.items() if value > 0}


@torch.no_grad()
def judge(
    student: nn.Module, profile: Profile, fixed: dict[str, runs.Run]
) -> tuple[dict[str, Any], np.ndarray]:
    """Return a student's scores on captions of unseen species, and its pictures of a few of them.

    Accuracy and Fréchet distance as in `runs.evaluate`, with the profile's first evaluation seed;
    both gaps as the profile's own teacher sees the pictures, with their intervals.
    """
    data = runs.dataset(profile)
    rows = data.indices("test")[: profile.evaluation.images]
    draw = np.random.default_rng([profile.evaluation.seeds[0], 7])
    chosen = draw.integers(len(data.captions[rows[0]]), size=len(rows))
    captions = [data.captions[row][c] for row, c in zip(rows, chosen, strict=True)]
    mentions = np.asarray(data.arrays["mentions"][rows, chosen])
    text = fixed["text"].model.encode(captions)
    made = torch.cat([student(part)["image"].float().clamp(0, 1) for part in text.split(128)])
    real = runs.images(data, rows)
    features, guess = evaluation.judge(fixed["evaluator"].model, made)
    others, _ = evaluation.judge(fixed["evaluator"].model, real)
    attributes = np.asarray(data.arrays["attributes"][rows])
    few = slice(0, 500)
    teacher = fixed["teacher"].model
    seen, view = (gaps.pooled_activations(teacher, x[few]) for x in (made, real))
    words = text[few].numpy()
    pools = [name for name in view if name == "image" or name.startswith("pool")]

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return 1 - gaps.linear_cka(a, b)

    scores = {
        "attributes": evaluation.attribute_accuracy(guess, attributes, mentions),
        "frechet": evaluation.frechet_distance(others, features),
        "heterogeneous": {n: gaps.interval(apart, words, seen[n], paired=True) for n in pools},
        "homogeneous": {n: gaps.interval(gaps.kernel_distance, view[n], seen[n]) for n in pools},
    }
    shown = np.linspace(0, len(rows) - 1, SHOWN).astype(int)
    return scores, np.concatenate(list(runs.to_uint8(made[shown])), axis=1)


def ablate(
    profile: Profile,
    names: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    folder: Path | None = None,
    report: Callable[[str], None] = print,
) -> dict[str, list[dict[str, Any]]]:
    """Run rows of the grid (all of them by default) and return {name: one result a seed}.

    What `folder` (results/ablation by default, of the profile's own name) holds is not run again.
    """
    folder = folder or ROOT / "results" / "ablation" / profile.name
    names = list(names or ROWS)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            facts = run(name, seed, profile, folder)
            found[name].append(facts)
            report(
                f"{name:12} seed {seed}  accuracy {facts['attributes']['mean']:.3f}  "
                f"Frechet {facts['frechet']:7.1f}  {machine.seconds(facts['seconds'])}"
            )
    return found
