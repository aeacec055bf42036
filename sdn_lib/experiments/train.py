"""Training and judging one row with one seed."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdn_lib import devices, files, learning, machine, profiles, runs
from sdn_lib.distillation import STEP_COST
from sdn_lib.experiments.controls import student_of, teacher_of
from sdn_lib.experiments.examination import draw_exam, mark
from sdn_lib.experiments.losses import RowTask, equal_weights, loss_of
from sdn_lib.experiments.results import FIXED, mode_training, row_settings, stored_row
from sdn_lib.experiments.rows import ROWS
from sdn_lib.profiles import Profile

SHOWN = 6
"""How many of its pictures a row's strip shows."""


@devices.own_defaults()
def train_row(
    name: str, seed: int, profile: Profile, folder: Path, draws: int = 100
) -> dict[str, Any]:
    """Train and judge one row with one seed, or return what an earlier call kept in `folder`.

    Kept as NAME-SEED.json and .png. Its intervals come from `draws`, see `mark`.
    """
    if facts := stored_row(name, seed, profile, folder):
        return facts
    row, settings = ROWS[name], row_settings(name, seed, profile)
    data, fixed = runs.dataset(profile), {n: runs.get(n, profile) for n in FIXED}
    teacher, student = teacher_of(row, profile, seed), student_of(row, profile, seed)
    code, began = machine.git_state(profiles.ROOT), time.perf_counter()
    # All captions are embedded at once only where many will be met.
    met = settings["budget"] // min(STEP_COST.values()) * settings["batch"]
    brief = met < sum(map(len, data.captions)) // 16
    table = None if brief else runs.embeddings(profile)
    steps, last = {}, {}
    for mode, share in row.plan:
        count = max(2, round(share * settings["budget"] / STEP_COST[mode]))
        training = mode_training(profile, row, mode, count, seed)
        loss = partial(loss_of, row, mode, profile.network.depth)
        encoder = fixed["text"].model
        weighted = loss({"image": training.image_weight})
        task = RowTask(row, data, student, teacher, encoder, weighted, table)
        if row.normalised and mode != "pixels":
            task.loss = loss()
            task.loss = loss(equal_weights(task, seed, training.batch))
        log = learning.fit(task, training, title=f"{name} {seed}, {mode}")
        steps[mode], last[mode] = training.steps, log[-1]["total"]
    student.eval().requires_grad_(False)
    exam = draw_exam(profile)
    pictures = runs.paint_embeddings(student, exam.text)
    judges = fixed["evaluator"].model, fixed["teacher"].model
    scores = mark(pictures, exam, *judges, draws=draws)
    facts = {
        "settings": settings,
        "steps": steps,
        "last_loss": last,
        **scores,
        "seconds": round(time.perf_counter() - began, 1),
        "threads": torch.get_num_threads(),
        "device": devices.describe(devices.best()),
        "precision": learning.ran_in(profile.stage_one, devices.best()),
        "command": f"sdn ablate {name} --seeds {seed} --profile {runs.naming(profile)}",
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        **code,
    }
    runs.write_strip(folder / f"{name}-{seed}.png", pictures[shown_rows(len(pictures))])
    files.write_json(folder / f"{name}-{seed}.json", facts)
    return facts


def shown_rows(count: int) -> np.ndarray:
    """Return which of `count` pictures a strip shows: a few, evenly spaced."""
    return np.linspace(0, count - 1, SHOWN).astype(int)
