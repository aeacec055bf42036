"""Results of record: networks, scores, and what the students paint of captions of our own.

`results/PROFILE` holds `captions.txt`, captions in words of our own; `evaluation.json`, scores
with their protocol; `painted-STUDENT.png`, what each student paints of the captions, side by side;
and the trained networks, with which a reader's own captions are painted. Photographs need not be
there to show it: no photograph is among it, and no caption of one. Of painted birds there is also
`unseen_species.png`, the README's picture.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from sdn_lib import devices, files, machine, profiles, runs
from sdn_lib.captions import read_captions
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.experiments import both_ways, evaluation, held_back, impartial
from sdn_lib.judging import scores
from sdn_lib.judging.gaps import heterogeneous_gap, homogeneous_gap, pooled_activations
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream
from sdn_lib.runs.pretrained import has_embeddings
from sdn_lib.text import CharCNNRNN

KEPT = ("teacher", "text", *runs.STUDENTS)
"""The networks that are shipped."""

TIME_LAPSE = ("time_lapse.json", "time_lapse.png")  # holds captions of its data

REMEDY = "restore it, or measure again with `sdn publish`"

GAP_PHOTOGRAPHS = 1000
"""Test photographs, at most, by which gaps are measured."""


def folder_of(profile: Profile) -> Path:
    """Return where the profile's results of record lie."""
    return profile.shipped / profile.name


def publish(
    profile: Profile,
    attributes: str | Path | None = None,
    as_they_are: str | None = None,
    networks: bool = True,
) -> Path:
    """Measure the profile's students, paint its captions, keep both and the networks.

    Of painted birds the scores are `evaluation.evaluate`'s; of photographs `impartial.evaluate`'s,
    the gaps, and `held_back.readings`. With `as_they_are`, a folder of the same photographs of
    which none was mirrored, another student is trained on those, see `both_ways`. Without
    `networks`, which may be too large to ship, no reader is compared and none is kept, but the
    profile. Returns the folder; SDNError where it has no `captions.txt`, or where embeddings came
    with the photographs.
    """
    if profile.photos is None and (attributes or as_they_are or not networks):
        raise SDNError(
            "attributes, photographs as they are and scores alone go with photographs: leave them "
            "out"
        )
    folder = folder_of(profile)
    captions, circumstances = read_own_captions(profile), _circumstances()
    if has_embeddings(profile):
        raise SDNError(
            f"the embeddings that came with {profile.photos} read no captions of our own: prepare "
            "the photographs without them, and a reader is trained"
        )
    if profile.photos is None:
        found = {name: runs.get(name, profile) for name in runs.NAMES}
        runs.keep(found, folder, TIME_LAPSE)
        report = evaluation.evaluate(profile)
        students = {name: found[name].model for name in runs.STUDENTS}
        _paint(students, found, captions, folder)
        _draw_unseen(profile, students, found["text"].model, folder / "unseen_species.png")
        files.write_json(folder / "evaluation.json", report | circumstances)
        return folder
    if as_they_are:
        both_ways.same_photographs(profile, as_they_are)  # before hours of training
    report = impartial.evaluate(profile, attributes=attributes)
    if networks:
        report["held_back"] = held_back.readings(profile)
    report["nearest_kind"] = nearest_kind(profile)
    found = {name: runs.get(name, profile) for name in (*KEPT, "judge_text")}
    report["trainings"] = {
        name: {key: run.config.get(key) for key in ("command", "seconds", "hardware", "commit")}
        for name, run in found.items()
    }
    students = {name: found[name].model for name in runs.STUDENTS}
    if as_they_are:
        students[both_ways.FOLDER] = both_ways.as_they_are(profile, as_they_are)
        rivals = {name: students[name] for name in ("stage_two", both_ways.FOLDER)}
        report["facing"] = both_ways.distances(profile, as_they_are, rivals)
    report["gaps"] = gaps(profile, students)
    _paint(students, found, captions, folder)
    if networks:
        runs.keep({name: found[name] for name in KEPT}, folder)
    else:
        files.write_text(folder / "profile.json", profile.to_json() + "\n")
    files.write_json(folder / "data.json", facts_of(runs.dataset(profile)))
    files.write_json(folder / "evaluation.json", report | circumstances)
    return folder


def _circumstances() -> dict[str, Any]:
    facts = {"hardware": machine.hardware(), "versions": machine.versions()}
    return facts | machine.git_state(profiles.ROOT)


def _paint(
    students: Mapping[str, Any],
    found: Mapping[str, runs.Run],
    captions: Sequence[str],
    folder: Path,
) -> None:
    for name, student in students.items():
        pictures = runs.paint(student, found["text"].model, captions)
        runs.write_strip(folder / f"painted-{name}.png", pictures)


def _draw_unseen(
    profile: Profile, students: Mapping[str, Any], encoder: CharCNNRNN, path: Path
) -> None:
    """Draw test pictures, evenly spaced, with what the students paint of their first captions."""
    data, columns = runs.dataset(profile), 6
    test = data.indices("test")
    rows = test[np.linspace(0, len(test) - 1, columns).astype(int)]
    captions = [data.captions[row][0] for row in rows]
    pictures = {"real": data.images[rows]}
    for name, title in runs.LABELS.items():
        painted = runs.paint(students[name], encoder, captions)
        pictures[title] = painted.permute(0, 2, 3, 1).numpy()
    figure = Figure(figsize=(1.5 * columns + 1, 1.5 * len(pictures) + 2), layout="constrained")
    axes = figure.subplots(len(pictures), columns)
    for k, caption in enumerate(captions):
        axes[0, k].set_title(textwrap.fill(caption, 20), fontsize=9)
    for line, (title, of) in zip(axes, pictures.items(), strict=True):
        line[0].set_ylabel(title, fontsize=11)
        for place, picture in zip(line, of, strict=True):
            place.imshow(picture)
            place.set(xticks=[], yticks=[], frame_on=False)
    with files.writing(path) as partial:
        figure.savefig(partial, format="png", dpi=100)


def facts_of(data: prepared.Prepared) -> dict[str, Any]:
    """Return what may be told of photographs without them: how many, of how many kinds, how shown.

    {'checksum', 'size', 'facing', 'train' and 'test': {'photographs', 'kinds'}}.
    """
    facts = {"checksum": data.checksum, "size": data.size}
    for split in prepared.SPLITS:
        rows = data.indices(split)
        kinds = len(np.unique(data.class_ids[rows]))
        facts[split] = {"photographs": len(rows), "kinds": kinds}
    return facts | {"facing": data.manifest["source"].get("facing")}


def read_facts(profile: Profile) -> dict[str, Any]:
    """Return what `facts_of` said of the photographs that the shipped networks learned from."""
    return files.read_json(folder_of(profile) / "data.json", REMEDY)


def shipped(profile: Profile) -> dict[str, runs.Run]:
    """Return the networks that ship with the profile, by name.

    Unlike `runs.get` it asks for no photographs. Raises SDNError where one is missing.
    """
    folder = folder_of(profile)
    for name in KEPT:
        if not (folder / name / "weights.safetensors").is_file():
            raise SDNError(f"{folder} holds no trained {name}: {REMEDY}")
    return {name: runs.load(name, profile, folder / name) for name in KEPT}


def painter(
    name: str, profile: Profile, note: Callable[[str], None]
) -> tuple[nn.Module, CharCNNRNN]:
    """Return a trained student and the text encoder that reads for it.

    Of photographs that are not prepared, where no training of one's own is there, those that ship
    with the profile; then `note` is told so.
    """
    if profile.photos is not None and not prepared.is_prepared(profiles.ROOT / profile.photos):
        kept = folder_of(profile)
        if name in runs.STUDENTS and (kept / name).is_dir() and not (profile.runs / name).exists():
            note(f"{profile.photos} is not prepared: the networks are those of {kept}")
            found = shipped(profile)
            return found[name].model, found["text"].model
    return runs.student(name, profile).model, runs.get("text", profile).model


def read_own_captions(profile: Profile) -> list[str]:
    """Return the captions in words of our own that the profile's students paint."""
    return read_captions(folder_of(profile) / "captions.txt")


@devices.own_defaults()
@torch.no_grad()
def gaps(
    profile: Profile, students: Mapping[str, Any]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return {student: {'heterogeneous', 'homogeneous': {layer: gap}}} on photographs of the test.

    As the teacher sees them; 'untrained' is the student before its first step.
    """
    data = runs.dataset(profile)
    rows = stream("gaps", 0).permutation(data.indices("test"))[:GAP_PHOTOGRAPHS]
    text = runs.get("text", profile).model.encode([data.captions[row][0] for row in rows])
    teacher, kinds = runs.get("teacher", profile).model, data.class_ids[rows]
    real = pooled_activations(teacher, runs.images(data, rows))
    torch.manual_seed(profile.seed)
    untrained = runs.build("stage_one", profile).eval()
    found = {}
    for name, student in {"untrained": untrained, **students}.items():
        made = pooled_activations(teacher, runs.paint_embeddings(student, text))
        found[name] = {
            "heterogeneous": heterogeneous_gap(text.numpy(), made),
            "homogeneous": homogeneous_gap(real, made, groups=kinds),
        }
    return found


@devices.own_defaults()
@torch.no_grad()
def nearest_kind(profile: Profile) -> dict[str, float]:
    """Return how often a test photograph's nearest neighbour is of its own kind, as it looks.

    By the cosine of the teacher's pooled activations at `pool5`, less their mean: 'pool5', and
    'image', which is the picture itself; and 'chance', that of any other photograph.
    """
    data = runs.dataset(profile)
    rows = data.indices("test")
    kinds = data.class_ids[rows]
    seen = pooled_activations(runs.get("teacher", profile).model, runs.images(data, rows))
    same = (kinds[:, None] == kinds).sum(1) - 1
    found = {"chance": float((same / (len(rows) - 1)).mean())}
    for layer in ("image", "pool5"):
        found[layer] = scores.own_kind_nearest(seen[layer], kinds)
    return found


def stored(profile: Profile) -> tuple[dict[str, Any], list[str], dict[str, np.ndarray]] | None:
    """Return the report, the captions and {student: uint8 (n, h, w, 3)}, None where none is kept.

    Raises SDNError where a file is damaged, or the strips do not fit the captions.
    """
    folder = folder_of(profile)
    if not (folder / "evaluation.json").exists():
        return None
    report = files.read_json(folder / "evaluation.json", REMEDY)
    names = (*runs.STUDENTS, *[both_ways.FOLDER] * ("facing" in report))
    return report, read_own_captions(profile), read_painted(profile, names)


def read_painted(profile: Profile, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return what students painted of the profile's captions: {student: uint8 (n, h, w, 3)}.

    Raises SDNError where a strip is damaged, or does not fit the captions.
    """
    folder, count = folder_of(profile), len(read_own_captions(profile))
    painted = {}
    for name in names:
        path = folder / f"painted-{name}.png"
        try:
            strip = np.asarray(Image.open(path).convert("RGB"))
        except OSError as error:
            raise SDNError(f"{path} cannot be read ({error}): {REMEDY}") from None
        if strip.shape[1] != count * strip.shape[0]:
            raise SDNError(f"{path} does not hold {count} pictures: {REMEDY}")
        painted[name] = np.stack(np.split(strip, count, axis=1))
    return painted
