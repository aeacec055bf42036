"""What the commands of `sdn` do. Each takes the options that `cli` has read.

Heavy imports wait until a command needs them, so that `sdn --help` is quick.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdn_lib.captions import CaptionWarning, quoted, read_captions, remarks
from sdn_lib.errors import SDNError, counted

LARGEST = 8192
"""Pixels a side of a PNG of samples: more than this, some viewers refuse."""


def _profile(options: argparse.Namespace) -> Any:
    from sdn_lib import profiles

    return profiles.load(options.profile, output_dir=getattr(options, "output_dir", None))


def doctor(_: argparse.Namespace) -> int:
    """Say what is installed, on what hardware, and what is missing."""
    from sdn_lib import doctor

    return doctor.examine()


def data(options: argparse.Namespace) -> None:
    """Paint the profile's data set, unless it is there."""
    profile = _profile(options)
    from sdn_lib import runs

    data = runs.dataset(profile)
    counts = ", ".join(f"{len(data.indices(s)):,} {s}" for s in ("train", "test"))
    print(f"{data.folder}: {counted(len(data.images), 'image')} ({counts})")


def train(options: argparse.Namespace) -> None:
    """Train a run of the profile, and what it needs."""
    profile = _profile(options)
    from sdn_lib import runs

    run = runs.train(options.name, profile)
    if run.how == "loaded":
        print(f"{run.name} is there already: delete {run.folder} to train it again")
        return
    print(
        f"{run.name}: loss {run.log[-1]['total']:.4f} after "
        f"{counted(run.log[-1]['step'], 'step')}, saved in {run.folder}"
    )


def evaluate(options: argparse.Namespace) -> None:
    """Judge the profile's students on unseen species."""
    profile = _profile(options)
    from sdn_lib import experiments, files
    from sdn_lib.experiments import impartial, trainings

    names, photographs = _students(options), profile.photos is not None
    if options.trainings is not None and options.run:
        raise SDNError("--trainings judges every student: leave --run out")
    if options.attributes and (options.trainings is not None or not photographs):
        raise SDNError("--attributes is for photographs: leave it out")
    if options.json and Path(options.json).is_dir():
        raise SDNError(f"--json {options.json} is a folder: name a JSON file")
    if options.trainings is not None:
        report = trainings.evaluate_trainings(profile, options.trainings)
    elif photographs:
        report = impartial.evaluate(profile, names, options.attributes)
    else:
        report = experiments.evaluate(profile, names)
    to_table = impartial.to_table if photographs else experiments.to_table
    print(json.dumps(report, indent=1) if options.json == "" else to_table(report), flush=True)
    if options.json:
        files.write_json(options.json, report)


def publish(options: argparse.Namespace) -> None:
    """Measure a profile, keep it and its networks in results/."""
    profile = _profile(options)
    from sdn_lib import files, runs, show
    from sdn_lib.experiments import publishing

    names = _students(options)
    folder = publishing.publish(
        profile,
        options.attributes,
        options.as_they_are and os.path.abspath(options.as_they_are),
        networks=not options.scores_only,
        names=names,
        against=options.against,
    )
    overview = folder / "unseen_species.png"
    if profile.photos is None and set(names) == set(runs.STUDENTS):
        figure = show.rows_figure(*publishing.unseen(profile))
        with files.writing(overview) as partial:
            figure.savefig(partial, format="png", dpi=100)
    else:
        overview.unlink(missing_ok=True)
    print(folder)


def _students(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the students that are asked for, each once; all where none is."""
    from sdn_lib import runs

    return tuple(dict.fromkeys(options.run or runs.STUDENTS))


def generate(options: argparse.Namespace) -> None:
    """Paint every test caption of a profile of photographs."""
    profile = _profile(options)
    from sdn_lib.experiments import photographs

    print(photographs.generate(profile, options.run, options.folder))


def score(options: argparse.Namespace) -> None:
    """Score what `generate` painted, as JSON with its protocol."""
    profile = _profile(options)
    from sdn_lib.experiments import photographs
    from sdn_lib.judging import networks
    from sdn_lib.runs.pretrained import JUDGE

    inception = None
    if options.inception:
        path = None if options.inception == "download" else options.inception
        inception = networks.inception_network(path)
    efficientnet = networks.efficientnet_network(JUDGE) if options.efficientnet else None
    lpips = networks.lpips_network() if options.lpips else None
    report = photographs.score(profile, options.folder, inception, efficientnet, lpips)
    print(json.dumps(report, indent=1))


def sample(options: argparse.Namespace) -> None:
    """Paint captions with a trained student."""
    if options.scale < 1:
        raise SDNError(f"--scale {options.scale} is below 1: magnify by 1 or more")
    if options.out.suffix.lower() != ".png":
        raise SDNError(f"--out {options.out} is no PNG name: end it in .png")
    if options.out.is_dir():
        raise SDNError(f"--out {options.out} is a folder: name a PNG file")
    profile = _profile(options)
    from sdn_lib import files, runs
    from sdn_lib.experiments import showcase

    captions = _captions(options)
    columns = _columns(len(captions), profile.data.size, options.scale)
    for caption in captions:
        for remark in remarks(caption):
            _note(f"caption {quoted(caption)}: {remark}")

    student, encoder = showcase.painting_networks(options.run, profile, _note)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaptionWarning)  # noted above
        pictures = runs.paint(student, encoder, captions)
    sheet = runs.sheet_of(pictures, columns, options.scale)
    with files.writing(options.out) as partial:
        sheet.save(partial, format="PNG")
    rows = -(-len(captions) // columns)
    where = f", in {rows} rows" if rows > 1 else ""
    print(f"{options.out}: {counted(len(captions), 'picture')} by {options.run}{where}")


def _captions(options: argparse.Namespace) -> list[str]:
    """Return the captions of a command line and its file; SDNError for none, or one unreadable."""
    from sdn_lib import text

    captions = options.captions
    if len(captions) > 1 and all(len(caption.split()) == 1 for caption in captions):
        captions = [" ".join(captions)]
        joined = quoted(captions[0])
        _note(f"words without quotes are one caption, {joined}: put quotes around each of several")
    if options.file:
        captions = captions + read_captions(options.file)
    if not captions:
        raise SDNError("there is nothing to paint: give captions, or a file of them with --file")
    text.to_indices(captions)
    return captions


def _columns(count: int, size: int, scale: int) -> int:
    """Return how many pictures of `size` pixels stand in a row; SDNError for what PNGs cannot hold.

    One row, as long as it is not longer than LARGEST pixels.
    """
    across = LARGEST // (size * scale)
    if not across:
        raise SDNError(
            f"--scale {scale} makes a picture of {size * scale:,} pixels a side: "
            f"magnify by {LARGEST // size} or less"
        )
    if count > across**2:
        raise SDNError(
            f"{count:,} pictures are more than the {across**2:,} that a PNG of {LARGEST:,} pixels "
            f"a side holds at --scale {scale}: paint fewer, or magnify less"
        )
    return min(count, across)


def _note(message: str) -> None:
    print(f"note: {message}", file=sys.stderr)


def reproduce(options: argparse.Namespace) -> None:
    """Run the chapters in order and record what came out."""
    from sdn_lib.book.execute import reproduce
    from sdn_lib.machine import hardware, side_by_side

    workers = side_by_side(hardware(), 4) if options.workers is None else options.workers
    reproduce(
        options.profile,
        options.chapters,
        seed=options.seed,
        output_dir=options.output_dir,
        parameters=_parameters(options.parameter),
        fresh=options.fresh,
        workers=workers,
        report=lambda line: print(line, flush=True),
    )


def _parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return {name: value}; SDNError for a name that comes twice or has an option of its own."""
    names = [name for name, _ in pairs]
    for name in names:
        if name in ("profile", "seed", "output_dir"):
            option = name.replace("_", "-")
            raise SDNError(f"-p {name} has an option of its own: write --{option}")
        if names.count(name) > 1:
            raise SDNError(f"-p {name} comes twice: keep one")
    return {name: _value(text) for name, text in pairs}


def _value(text: str) -> Any:
    """Return a Python number, boolean or None as such, and anything else as text."""
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return text
    return value if isinstance(value, bool | int | float | None) else text


def ablate(options: argparse.Namespace) -> None:
    """Train and judge rows that change one part of the method."""
    from sdn_lib.book.grid import ablate

    ablate(
        options.profile,
        options.rows,
        options.seeds,
        folder=options.folder,
        output_dir=options.output_dir,
        workers=options.workers,
        report=lambda line: print(line, flush=True),
    )


def book(options: argparse.Namespace) -> None:
    """Render the executed chapters as HTML."""
    from sdn_lib.book.render import render

    render(options.profile, report=lambda line: print(line, flush=True))
