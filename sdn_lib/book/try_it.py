"""The page on which the reader's own caption is painted, and the networks that paint it there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sdn_lib import profiles, runs
from sdn_lib.book.pages import fill
from sdn_lib.experiments import showcase
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream
from sdn_lib.show import live

PAGE = "try_it.md"
NEAREST, ROUNDED = 2000, 50
"""Training captions among which the page looks for those like the reader's, and captions of unseen
species by which it says what rounded weights do."""

CAPTION = "a small finch with a red crown, a red breast and black wings, facing left on a branch"
EXAMPLES = (
    "a large owl with a white breast in the snow, facing right. it has a yellow beak",
    "a heron with a blue back, a white breast and a crest by the water",
    "this is a duck with a yellow breast and a green crown on the water, facing left",
    "a hummingbird with a purple crown and green wings among green leaves",
)


PHOTOGRAPHS = ("birds64-wider",)
"""Folders of results/ with networks of photographs, each for the boxes of a folder of its own."""


def try_page(page: Path, profile: Profile) -> str:
    """Return the page (book/try_it.md), in Markdown, with the form and what rounding does."""
    box = live.PaintBox(runs.painter(profile), CAPTION, EXAMPLES)
    mean, worst = rounding(profile)
    told = (
        f"The weights in these files are rounded to {live.weights.BITS} bits. Over {ROUNDED} "
        "captions of unseen birds the pictures differ from those of the unrounded networks by "
        f"{mean:.2f} of 255 grey values in the mean, and by {worst:.1f} in the worst place."
    )
    form = f"```{{raw}} html\n{box.to_html()}\n```"
    return fill(page, {"form": form, "rounding": told})


def rounding(profile: Profile) -> tuple[float, float]:
    """Return the mean and the largest difference, in 255ths, that the rounding of weights makes.

    Of all students' pictures of ROUNDED captions of unseen species.
    """
    data, encoder = runs.dataset(profile), runs.get("text", profile).model
    lines = [data.captions[row][-1] for row in data.indices("test")[:ROUNDED]]
    exact, rounded = (e.encode(lines) for e in (encoder, live.weights.quantised(encoder)))
    found = []
    for name in runs.STUDENTS:
        student = runs.student(name, profile).model
        made = runs.paint_embeddings(live.weights.quantised(student), rounded)
        found.append((made - runs.paint_embeddings(student, exact)).abs() * 255)
    return float(torch.stack(found).mean()), float(torch.stack(found).max())


def export_shipped(name: str, folder: Path) -> dict[str, int]:
    """Write networks of photographs that ship in a folder of results/ into another, likewise."""
    profile = profiles.load(profiles.ROOT / "results" / name / "profile.json")
    networks = showcase.shipped(profile, showcase.painting(profile))
    encoder = networks.pop("text").model
    return live.export(folder, encoder, {key: run.model for key, run in networks.items()})


def export_networks(profile: Profile, folder: Path) -> dict[str, int]:
    """Write the networks of a profile for the pages into a folder; return the sizes of the files.

    The very runs that its chapters loaded or trained.
    """
    data, encoder = runs.dataset(profile), runs.get("text", profile).model
    rows = data.indices("train")
    rows = np.sort(stream("nearest", 0).permutation(rows)[:NEAREST])
    captions = [data.captions[row][0] for row in rows]
    students = {name: runs.student(name, profile).model for name in runs.STUDENTS}
    return live.export(folder, encoder, students, captions)
