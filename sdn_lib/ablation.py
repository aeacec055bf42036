"""What each part of the method contributes: rows that change one thing, at equal cost.

`ROWS` is the whole grid. Every row trains a student from nothing with the same budget of network
passes, on the profile's data, with its teacher and text encoder, and is judged on captions of
unseen species by an evaluator that is no teacher. The picture's own term is always there.
`sdn ablate` runs them, each in a notebook of its own (book/rows/row.ipynb).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
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
    profiles,
    runs,
    vgg,
)
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError, near
from sdn_lib.experiments.examination import draw_exam, mark
from sdn_lib.judging.pictures import detail
from sdn_lib.judging.statistics import DIRECTION, holm, mean_interval, paired_t_test
from sdn_lib.profiles import Profile, TrainConfig
from sdn_lib.teacher import Teacher

PASSES = {**distillation.STEP_COST, "both": 6}
MODES = ("pixels", "stage_one", "stage_two", "both")
TEACHERS = ("trained", "random", "shuffled")
SHARE = 12
"""A row costs this part of what a student of the book did."""

SHOWN = 6
"""How many of its pictures a row's strip shows."""


@dataclass(frozen=True)
class Row:
    """One row: `plan` lists (mode, share of the cost), the rest is what the losses compare.

    A mode is 'pixels', 'stage_one', 'stage_two' or 'both' (their sum). `teacher` is 'trained',
    'random' (untrained weights) or 'shuffled' (each layer's weights in random order). `cost` is in
    units of the grid's budget.
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
    cost: float = 1.0

    def __post_init__(self) -> None:
        for name, given, known in (
            ("mode", [mode for mode, _ in self.plan], MODES),
            ("level", self.levels, vgg.LEVELS),
            ("teacher", [self.teacher], TEACHERS),
            ("distance", [self.distance], distillation.DISTANCES),
        ):
            for value in set(given) - set(known):
                raise SDNError(f"a row has no {name} {value!r}: {near(value, known)}")


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
    "brief": Row("all levels, at a tenth of the others' cost", cost=0.1),
}


class PlainStudent(nn.Module):
    """A painter without the mirror: from 2 x 2, channels halve wherever the picture's side doubles.

    `student(text)` returns {'image'} alone. `channels`, those at 2 x 2, are chosen so that it has
    about `weights` weights. Source: the generator of DCGAN (Radford et al. 2016), with nearest
    upsampling.
    """

    def __init__(self, text_dim: int, fc_width: int, size: int, weights: int) -> None:
        super().__init__()
        doublings = (size // 2).bit_length() - 1

        def widths(channels: int) -> list[int]:
            return [max(8, channels >> k) for k in range(doublings + 1)]

        def strays(channels: int) -> int:
            dense = fc_width * (text_dim + 4 * channels)
            pairs = itertools.pairwise([*widths(channels), 3])
            return abs(dense + 9 * sum(a * b for a, b in pairs) - weights)

        self.channels = min(range(8, 2048), key=strays)
        self.dense = nn.Sequential(
            *_block(nn.Linear(text_dim, fc_width), nn.BatchNorm1d(fc_width)),
            *_block(nn.Linear(fc_width, 4 * self.channels), nn.BatchNorm1d(4 * self.channels)),
        )
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths(self.channels)):
            conv = nn.Conv2d(a, b, 3, padding=1)
            layers += [nn.Upsample(scale_factor=2), *_block(conv, nn.BatchNorm2d(b))]
        self.body = nn.Sequential(*layers, nn.Conv2d(widths(self.channels)[-1], 3, 3, padding=1))
        with torch.no_grad():
            self.body[-1].weight.mul_(0.1)
            self.body[-1].bias.fill_(0.5)

    def forward(self, text: Tensor) -> dict[str, Tensor]:
        """Return {'image': (batch, 3, size, size)} of text (batch, text_dim)."""
        x = self.dense(text.float()).view(len(text), self.channels, 2, 2)
        return {"image": self.body(x)}


def _block(layer: nn.Module, norm: nn.Module) -> tuple[nn.Module, ...]:
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer, norm, nn.ReLU(inplace=True)


class AblationTask(learning.DistillationTask):
    """A student under one mode of a row: its captions, embedded as in a table of all of them."""

    def __init__(self, row: Row, data, student, teacher, loss, table, encoder=None) -> None:
        super().__init__(data, student, teacher, encoder, loss, table)
        self.captions = row.captions or self.captions

    @torch.no_grad()
    def embed(self, characters: Tensor) -> Tensor:
        """Return embeddings (n, text_dim) in full precision and rounded, as a table of them is."""
        with torch.autocast(characters.device.type, enabled=False):
            return super().embed(characters).half().float()


def both_stages(
    student: nn.Module, teacher: Teacher, text: Tensor, image: Tensor, **options
) -> LayerLosses:
    """Return the losses of both stages for one pass of the student; stage two's end in '_seen'."""
    made = student(text)
    seen = teacher(made["image"])
    with torch.no_grad():
        real = teacher(image)
    losses = distillation.layer_losses(made, real, **options)
    again = distillation.layer_losses(seen, real, **options)
    return LayerLosses({**losses, **{f"{name}_seen": loss for name, loss in again.items()}})


def loss_of(
    row: Row, mode: str, depth: int, weights: Mapping[str, float] | None = None
) -> Callable[..., LayerLosses]:
    """Return what a row's student learns from in a mode: a stage with the row's options."""
    if mode == "pixels":
        return distillation.stage(mode)
    level = vgg.level_of(depth)
    kept = [name for name in level if name == "image" or level[name] in row.levels]
    options = {"layers": kept, "weights": weights, "distance": row.distance}
    if mode == "both":
        return partial(both_stages, **options)
    return distillation.stage(mode, **options)


def teacher_of(row: Row, profile: Profile, seed: int) -> Teacher:
    """Return the row's teacher, frozen: the profile's, or one of the controls.

    The controls' layers are scaled until pictures differ there as much as in the trained teacher:
    a loss that is larger or smaller would be another difference than the one in question.
    """
    n, data = profile.network, runs.dataset(profile)
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    teacher = Teacher(n.depth, n.width, row.pooling, n.preprocessing)
    trained = runs.get("teacher", profile).model
    if row.teacher != "random":
        teacher.load_state_dict(trained.state_dict())
    if row.teacher == "shuffled":
        with torch.no_grad():
            for conv in teacher.convs.values():
                order = torch.randperm(conv.weight.numel(), generator=draw)
                conv.weight.copy_(conv.weight.flatten()[order].view_as(conv.weight))
    if row.teacher != "trained":
        _scale(teacher, trained, runs.images(data, data.indices("train")[:128]))
    return teacher.freeze().to(memory_format=torch.channels_last)


@torch.no_grad()
def _scale(teacher: Teacher, like: Teacher, pictures: Tensor) -> None:
    """Scale each convolution until pictures differ after it as much as they do in `like`."""
    wanted = {name: _contrast(x) for name, x in like(pictures).items()}
    for name, conv in teacher.convs.items():
        factor = wanted[name] / _contrast(teacher(pictures)[name])
        if not factor.isfinite():
            raise SDNError(f"{name} of the control is the same for all pictures: another seed")
        conv.weight.mul_(factor)
        conv.bias.mul_(factor)


def _contrast(x: Tensor) -> Tensor:
    """Return the mean absolute difference of an activation between one picture and the next."""
    return (x - x.roll(1, 0)).abs().mean()


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
    """Return the network passes that a row of cost 1 may spend."""
    return PASSES["pixels"] * profile.baseline.steps // SHARE


def shown_rows(count: int) -> np.ndarray:
    """Return which of `count` pictures a strip shows: a few, evenly spaced."""
    return np.linspace(0, count - 1, SHOWN).astype(int)


FIXED = ("evaluator", "teacher", "text")
"""The networks that every row shares."""


def kept(name: str, seed: int, profile: Profile, folder: Path) -> dict[str, Any] | None:
    """Return what an earlier `run` kept in `folder`, or None.

    Raises SDNError for an unknown row, and for a file of other settings, naming the first.
    """
    if name not in ROWS:
        raise SDNError(f"unknown row {name!r}: {near(name, ROWS)}")
    path = folder / f"{name}-{seed}.json"
    if not path.exists():
        return None
    facts, settings = _read(path), settings_of(name, seed, profile)
    kept_settings = facts["settings"]
    was = {**kept_settings, "row": kept_settings["row"] | {"about": ROWS[name].about}}
    different = [key for key in settings if was.get(key) != settings[key]]
    if different:
        how = runs.first_difference(was, settings)
        raise SDNError(
            f"{path} was made with another {different[0]} ({how}): delete it, or name a --folder"
        )
    return facts


def settings_of(name: str, seed: int, profile: Profile) -> dict[str, Any]:
    """Return what a row's result depends on, but for the code and the machine."""
    row, n = ROWS[name], profile.network
    weights = {n: runs.get(n, profile).folder / "weights.safetensors" for n in FIXED}
    return {
        "row": json.loads(json.dumps(dataclasses.asdict(row))),
        "seed": seed,
        "budget": round(row.cost * budget(profile)),
        "batch": profile.stage_one.batch,
        "training": {
            mode: {key: getattr(_plan(profile, row, mode, 2, seed), key) for key in TRAINING}
            for mode, _ in row.plan
        },
        "network": {key: getattr(n, key) for key in runs.settings.STUDENT_NETWORK},
        "size": profile.data.size,
        "data": runs.dataset(profile).checksum,
        **{n: files.checksum(path) for n, path in weights.items()},
    }


TRAINING = ("learning_rate", "schedule", "clip", "precision", "image_weight", "streams")
"""The settings of a row's trainings that come from the profile, beside the batch."""


def _plan(profile: Profile, row: Row, mode: str, steps: int, seed: int) -> TrainConfig:
    """Return the training of one mode of a row: stage two at its own rate where it is second."""
    second = mode == "stage_two" and len(row.plan) > 1
    return dataclasses.replace(
        profile.stage_two if second else profile.stage_one,
        steps=steps,
        seed=seed,
        image_weight=profile.stage_one.image_weight,
    )


@devices.own_defaults()
def run(name: str, seed: int, profile: Profile, folder: Path) -> dict[str, Any]:
    """Train and judge one row with one seed, or return what an earlier call kept in `folder`.

    Kept as NAME-SEED.json and .png.
    """
    if facts := kept(name, seed, profile, folder):
        return facts
    row, settings = ROWS[name], settings_of(name, seed, profile)
    data, fixed = runs.dataset(profile), {n: runs.get(n, profile) for n in FIXED}
    code, began = machine.git_state(profiles.ROOT), time.perf_counter()
    teacher, student = teacher_of(row, profile, seed), student_of(row, profile, seed)
    # All captions are embedded at once only where many will be met.
    met = settings["budget"] // min(PASSES.values()) * settings["batch"]
    brief = met < sum(map(len, data.captions)) // 16
    table = None if brief else runs.embeddings(profile)
    steps, last = {}, {}
    for mode, share in row.plan:
        count = max(2, round(share * settings["budget"] / PASSES[mode]))
        plan = _plan(profile, row, mode, count, seed)
        loss = partial(loss_of, row, mode, profile.network.depth)
        encoder = fixed["text"].model
        task = AblationTask(
            row, data, student, teacher, loss({"image": plan.image_weight}), table, encoder
        )
        if row.normalised and mode != "pixels":
            task.loss = loss()
            task.loss = loss(equal_weights(task, seed, plan.batch))
        log = learning.fit(task, plan, title=f"{name} {seed}, {mode}")
        steps[mode], last[mode] = plan.steps, log[-1]["total"]
    student.eval().requires_grad_(False)
    exam = draw_exam(profile)
    pictures = runs.paint_embeddings(student, exam.text)
    scores = mark(pictures, exam, fixed["evaluator"].model, fixed["teacher"].model)
    facts = {
        "settings": settings,
        "steps": steps,
        "last_loss": last,
        **scores,
        "seconds": round(time.perf_counter() - began, 1),
        "threads": torch.get_num_threads(),
        "device": devices.describe(devices.best()),
        "precision": learning.ran_in(profile.stage_one, devices.best()),
        "command": f"sdn ablate {name} --seeds {seed} --profile {profile.name}",
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        **code,
    }
    with files.writing(folder / f"{name}-{seed}.png") as strip_path:
        strip = np.concatenate(list(runs.to_uint8(pictures[shown_rows(len(pictures))])), axis=1)
        Image.fromarray(strip).save(strip_path, format="PNG", optimize=True)
    files.write_json(folder / f"{name}-{seed}.json", facts)
    return facts


@torch.no_grad()
def equal_weights(task: AblationTask, seed: int, batch: int) -> dict[str, float]:
    """Return weights that make every term of an unweighted loss begin as large as their mean."""
    losses = task(**task.sample(0, seed, batch))
    found = {name.removesuffix("_seen"): float(loss) for name, loss in losses.items()}
    mean = float(np.mean(list(found.values())))
    return {name: mean / value for name, value in found.items() if value > 0}


def folder_of(profile: Profile) -> Path:
    """Return where the profile's rows are kept by default."""
    return profiles.ROOT / "results" / "ablation" / profile.name


def stored(profile: Profile) -> dict[str, list[dict[str, Any]]]:
    """Return {row: its results by seed} as kept for the profile, or for `cpu` where it has none.

    Raises SDNError when there is neither, or when a file is no JSON.
    """
    for folder in (folder_of(profile), folder_of(profile).with_name("cpu")):
        files = sorted(folder.glob("*-[0-9]*.json"))
        if files:
            break
    else:
        raise SDNError(f"{folder} holds no rows: run `sdn ablate --profile {profile.name}`")
    found: dict[str, list[dict[str, Any]]] = {}
    for path in files:
        found.setdefault(path.stem.rpartition("-")[0], []).append(_read(path) | {"file": path})
    return {name: found[name] for name in ROWS if name in found}


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise SDNError(f"{path} is no JSON ({error}): delete it and run it again") from None


MEASURES: dict[str, tuple[str, int, Callable[[dict[str, Any]], float]]] = {
    "accuracy": (
        "attribute accuracy", DIRECTION["accuracy"], lambda facts: facts["attributes"]["mean"]
    ),
    "frechet": ("Fréchet distance", DIRECTION["frechet"], lambda facts: facts["frechet"]),
    "captions": (
        "heterogeneous gap", DIRECTION["heterogeneous"],
        lambda facts: facts["heterogeneous"]["pool5"][0],
    ),
    "detail": ("fine detail", DIRECTION["detail"], lambda facts: detail(facts["spectrum"])),
}  # fmt: skip
"""{measure: (what it is called, 1 where more is better and -1 where less is, how it is read)}."""


@dataclass(frozen=True)
class Claim:
    """A claim and what must be so if it holds: (row, rival, measure), the row being better."""

    said: str
    tests: tuple[tuple[str, str, str], ...]


CLAIMS = {
    "teacher": Claim(
        "A network trained to discriminate can guide the training of a painter",
        (
            ("full", "pixels", "accuracy"),
            ("full", "pixels", "frechet"),
            ("full", "random", "accuracy"),
            ("full", "random", "frechet"),
            ("full", "shuffled", "accuracy"),
            ("full", "shuffled", "frechet"),
        ),
    ),
    "high": Claim(
        "The high level teaches what the text means (heterogeneous gap)",
        (
            ("high", "pixels", "accuracy"),
            ("full", "mid_low", "accuracy"),
            ("high", "mid", "accuracy"),
            ("high", "low", "accuracy"),
        ),
    ),
    "geometry": Claim(
        "The same, as the teacher's last layer sees it (no independent judge)",
        (
            ("high", "pixels", "captions"),
            ("full", "mid_low", "captions"),
            ("high", "mid", "captions"),
            ("high", "low", "captions"),
        ),
    ),
    "mid": Claim(
        "The mid level teaches structure (homogeneous gap)",
        (
            ("mid", "pixels", "frechet"),
            ("full", "high_low", "frechet"),
        ),
    ),
    "low": Claim(
        "The low level teaches detail (homogeneous gap)",
        (
            ("low", "pixels", "frechet"),
            ("full", "high_mid", "frechet"),
            ("low", "pixels", "detail"),
            ("full", "high_mid", "detail"),
        ),
    ),
    "symmetry": Claim(
        "A student with the mirrored structure receives the knowledge better",
        (
            ("two", "plain", "accuracy"),
            ("two", "plain", "frechet"),
            ("full", "plain", "accuracy"),
            ("full", "plain", "frechet"),
        ),
    ),
    "stages": Claim(
        "Two stages are better than one at the same cost",
        (
            ("full", "one", "accuracy"),
            ("full", "one", "frechet"),
            ("full", "two", "accuracy"),
            ("full", "two", "frechet"),
        ),
    ),
}
"""The abstract's claims, in our words."""


def differences(
    found: Mapping[str, list[dict[str, Any]]], row: str, rival: str, measure: str
) -> list[float]:
    """Return by how much `row` is better than `rival`, once a seed that both have.

    Runs of the same seed saw the same batches. Raises SDNError where no seed is shared, a row is
    missing, or two runs of a row have the same seed.
    """
    if measure not in MEASURES:
        raise SDNError(f"unknown measure {measure!r}: {near(measure, MEASURES)}")
    for name in (row, rival):
        if name not in found:
            raise SDNError(f"no run of row {name!r} is stored: run `sdn ablate {name}`")
        seeds = [facts["settings"]["seed"] for facts in found[name]]
        if len(set(seeds)) < len(seeds):
            raise SDNError(f"row {name!r} has two runs of one seed: {sorted(seeds)}")
    _, sign, read = MEASURES[measure]
    ours, theirs = ({f["settings"]["seed"]: read(f) for f in found[n]} for n in (row, rival))
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        raise SDNError(f"rows {row!r} and {rival!r} share no seed")
    return [float(sign * (ours[seed] - theirs[seed])) for seed in shared]


def compare(
    found: Mapping[str, list[dict[str, Any]]], row: str, rival: str, measure: str
) -> tuple[float, float, float]:
    """Return by how much `row` is better than `rival`, with its 95 % interval over seeds.

    The interval is that of one comparison alone; `p_values` judges several at once.
    """
    return mean_interval(differences(found, row, rival, measure))


def p_values(
    found: Mapping[str, list[dict[str, Any]]], tests: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], float]:
    """Return {(row, rival, measure): p}, the two-sided paired t tests together, by Holm's method.

    1 for a single seed.
    """
    tests = list(dict.fromkeys(tests))
    corrected = holm(paired_t_test([differences(found, *test) for test in tests]))
    return dict(zip(tests, corrected.tolist(), strict=True))


VERDICTS = ("supported", "not supported", "mixed", "undecided here")
LEVEL = 0.05
"""How often some claim may be decided although nothing differs."""


def verdicts(
    found: Mapping[str, list[dict[str, Any]]], claims: Mapping[str, Claim] = CLAIMS
) -> dict[str, str]:
    """Return {claim: one of VERDICTS}, all claims judged together.

    The family is every comparison of every claim, corrected by `p_values`; one below LEVEL is for
    the claim or against it. Supported: all are for it. Not supported: some are against it, none for
    it. Mixed: some are for it and some against it. Anything else is undecided.
    """
    sure = p_values(found, [test for claim in claims.values() for test in claim.tests])
    said = {}
    for name, claim in claims.items():
        signs = [
            np.sign(np.mean(differences(found, *test))) if sure[test] < LEVEL else 0
            for test in claim.tests
        ]
        if all(sign > 0 for sign in signs):
            said[name] = "supported"
        elif min(signs) < 0:
            said[name] = "mixed" if max(signs) > 0 else "not supported"
        else:
            said[name] = "undecided here"
    return said


def verdict(found: Mapping[str, list[dict[str, Any]]], claim: Claim) -> str:
    """Return the verdict on one claim: as one of CLAIMS where it is one of them, else by itself."""
    for name, known in CLAIMS.items():
        if known == claim:
            return verdicts(found)[name]
    return verdicts(found, {"": claim})[""]


def chance_grid(seeds: int, draw: np.random.Generator) -> dict[str, list[dict[str, Any]]]:
    """Return results of rows among which nothing differs: every score is a standard normal draw.

    As `stored` returns them, with what MEASURES read. What the verdicts make of many such grids is
    how often they err.
    """
    names = {name for claim in CLAIMS.values() for test in claim.tests for name in test[:2]}

    def facts(seed: int) -> dict[str, Any]:
        accuracy, frechet, captions, waves = draw.normal(size=4).tolist()
        return {
            "settings": {"seed": seed},
            "attributes": {"mean": accuracy},
            "frechet": frechet,
            "heterogeneous": {"pool5": (captions,)},
            "spectrum": (1.0, 10 ** (20 + waves)),
        }

    return {name: [facts(seed) for seed in range(seeds)] for name in sorted(names)}
