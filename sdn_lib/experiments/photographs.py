"""Photographs' captions painted into a folder, and scored with the protocol beside the numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdn_lib import devices, files, runs
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.experiments.protocol import code, protocol
from sdn_lib.judging import networks, scores
from sdn_lib.judging.distances import frechet_distance
from sdn_lib.judging.pictures import structure
from sdn_lib.judging.probes import ridge_regression
from sdn_lib.learning.tasks import TeacherFeatures
from sdn_lib.profiles import Profile
from sdn_lib.progress import Progress

PART = 256

RANKED = 2000
"""Pictures, at most, whose own caption is looked for."""


def generate(profile: Profile, name: str, folder: str | Path) -> Path:
    """Paint every caption of every test picture with the student `name` into `folder`.

    Parts of 256 pictures, uint8 (n, size, size, 3), in the order of the captions; a part that is
    there is not painted again. Raises SDNError when `folder` holds pictures of another student.
    """
    folder = Path(folder)
    run, encoder = runs.student(name, profile), runs.get("text", profile)
    data = runs.dataset(profile)
    facts = {
        "run": name,
        "weights": run.checksum,
        "data": data.checksum,
        "captions": len(_captions(data)),
        "size": data.size,
    }
    about = folder / "generated.json"
    if about.exists():
        if files.read_json(about, f"delete {folder} and paint again") != facts:
            raise SDNError(f"{folder} holds pictures of another student: choose another folder")
    files.write_json(about, facts)
    captions = [data.captions[row][k] for row, k in _captions(data)]
    with (
        Progress("painting", "captions") as progress,
        devices.borrowed(run.model),
        devices.borrowed(encoder.model),
    ):
        for start in range(0, len(captions), PART):
            path = _part(folder, start)
            if not path.exists():
                painted = runs.paint(run.model, encoder.model, captions[start : start + PART])
                with files.writing(path) as partial, partial.open("wb") as file:
                    np.save(file, runs.to_uint8(painted))
            progress(min(start + PART, len(captions)), len(captions))
    return folder


@devices.own_defaults()
def score(
    profile: Profile,
    folder: str | Path,
    inception: Callable[[Tensor], dict[str, Tensor]] | None = None,
    efficientnet: Callable[[Tensor], dict[str, Tensor]] | None = None,
    lpips: Callable[[Tensor, Tensor], Tensor] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return every score of the pictures in `folder` that can be had, and why others cannot.

    {'scores': {name: value}, 'left_out': {name: reason}, 'protocol': ...}. `inception` and
    `efficientnet` map uint8 (n, 3, h, w) to {'features': (n, d)}, the first with 'logits' (n, 1008)
    too; `lpips` maps two float batches (n, 3, h, w) in -1..1 to their mean distance: see
    `judging.networks`. Of the EfficientNets take `runs.pretrained.JUDGE`: the other one has taught
    the teachers of birds64 and flowers64. Raises SDNError when pictures are missing.
    """
    folder, data, began = Path(folder), runs.dataset(profile), code()
    facts = _facts(folder, data)
    pairs = _captions(data)
    found = _pairwise(folder, data, lpips)
    left_out: dict[str, str] = {}

    def attempt(names: str, measure: Callable[[], dict[str, float]]) -> None:
        try:
            found.update(measure())
        except SDNError as error:
            left_out[names] = str(error)

    attempt("r_precision", lambda: {"r_precision": r_precision(profile, folder, seed=seed)})
    if inception is None:
        left_out["is, fid, kid"] = "no Inception weights: see judging.networks.inception_network"
    else:
        attempt("is, fid, kid", lambda: _inception_scores(inception, folder, data, seed))
    if efficientnet is None:
        left_out["frechet_efficientnet"] = "see judging.networks.efficientnet_network"
    else:
        attempt("frechet_efficientnet", lambda: _efficientnet_score(efficientnet, folder, data))
    if lpips is None:
        left_out["lpips"] = "see judging.networks.lpips_network"
    for name, least in scores.ENOUGH.items():
        if name in found and len(pairs) < least:
            warnings.warn(
                f"{name} of {len(pairs)} pictures is biased: it wants {least} or more", stacklevel=2
            )
    return {
        "scores": found,
        "left_out": left_out,
        "protocol": protocol(
            began,
            **facts,
            split="test",
            pictures=len(pairs),
            captions_an_image=len(data.captions[0]),
            real_pictures=len(data.indices("test")),
            resize=data.manifest["source"].get("resize"),
            crop=data.manifest["source"].get("crop"),
            colours="RGB, 8 bits",
            inception=getattr(inception, "about", None),
            efficientnet=getattr(efficientnet, "about", None),
            lpips=getattr(lpips, "about", None),
            inception_score="10 splits of shuffled pictures, population standard deviation",
            r_precision=f"of {min(len(pairs), RANKED):,} pictures, drawn: its own caption before "
            "99 of other classes, by the profile's own teacher and text encoder",
            seed=seed,
        ),
    }


def _pairwise(
    folder: Path, data: prepared.Prepared, lpips: Callable[[Tensor, Tensor], Tensor] | None
) -> dict[str, float]:
    """Return the means of SSIM, PSNR and LPIPS against the captions' own photographs."""
    parts, pairs = [], _captions(data)
    for start, made in _parts(folder, len(pairs)):
        rows = [row for row, _ in pairs[start : start + len(made)]]
        real = np.asarray(data.images[rows])
        part = structure(made / 255.0, real / 255.0)
        if lpips is not None:
            with networks.borrowed(lpips) as device:
                part["lpips"] = float(lpips(_signed(made).to(device), _signed(real).to(device)))
        parts.append((part, len(made)))
    counts = np.array([count for _, count in parts], dtype=float)
    return {k: float(np.average([part[k] for part, _ in parts], weights=counts)) for k in part}


def r_precision(
    profile: Profile, folder: str | Path, among: int = 100, seed: int = 0
) -> float:
    """Return how often a picture's own caption is the nearest of `among`, others of other classes.

    Of RANKED pictures, drawn, or of all where there are fewer; chance is 1 / among.
    Pictures are brought to the captions' space by ridge regression of caption embeddings on the
    teacher's pooled top layer, fitted on the real training pictures. The teacher takes part in
    stage two, so compare students with care. See
    `judging.scores.own_caption_nearest`.
    """
    data = runs.dataset(profile)
    teacher, encoder = runs.get("teacher", profile).model, runs.get("text", profile).model
    features = TeacherFeatures(teacher)
    draw = np.random.default_rng(seed)

    @torch.no_grad()
    def looks(images: np.ndarray) -> np.ndarray:
        with devices.borrowed(teacher) as device:
            return networks.outputs(lambda x: {"": features(x / 255)}, [images], device)[""]

    def texts(pairs: list[tuple[int, int]]) -> np.ndarray:
        return encoder.encode([data.captions[row][k] for row, k in pairs]).numpy()

    train = data.indices("train")
    train = np.sort(train[draw.permutation(len(train))[:4000]])
    x, y = looks(data.images[train]), texts([(row, 0) for row in train])
    regression = ridge_regression(x, y, 0.1 * len(x))

    pairs = _captions(data)
    chosen = np.sort(draw.permutation(len(pairs))[:RANKED])
    parts = _parts(Path(folder), len(pairs))
    made = np.concatenate([m[chosen[chosen // PART == at // PART] - at] for at, m in parts])
    classes = data.class_ids[[pairs[i][0] for i in chosen]]
    captions = texts([pairs[i] for i in chosen]) - y.mean(0)
    nearest = scores.own_caption_nearest(regression(looks(made)), captions, classes, draw, among)
    return float(nearest.mean())


def _signed(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _outputs(
    network: Callable[[Tensor], dict[str, Tensor]], folder: Path, data: prepared.Prepared
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what `network` makes of all painted and of all real test pictures."""
    rows = data.indices("test")
    painted = (made for _, made in _parts(folder, len(_captions(data))))
    real = (np.asarray(data.images[rows[i : i + PART]]) for i in range(0, len(rows), PART))
    with networks.borrowed(network) as device:
        return networks.outputs(network, painted, device), networks.outputs(network, real, device)


def _inception_scores(
    inception: Callable, folder: Path, data: prepared.Prepared, seed: int
) -> dict[str, float]:
    made, real = _outputs(inception, folder, data)
    mean, deviation = scores.inception_score(made["logits"], seed=seed)
    return {
        "is": mean,
        "is_deviation": deviation,
        "fid": frechet_distance(real["features"], made["features"]),
        "kid": scores.kernel_inception_distance(real["features"], made["features"], seed),
    }


def _efficientnet_score(
    efficientnet: Callable, folder: Path, data: prepared.Prepared
) -> dict[str, float]:
    made, real = _outputs(efficientnet, folder, data)
    return {"frechet_efficientnet": frechet_distance(real["features"], made["features"])}


def _captions(data: prepared.Prepared) -> list[tuple[int, int]]:
    return [(int(row), k) for row in data.indices("test") for k in range(len(data.captions[row]))]


def _part(folder: Path, start: int) -> Path:
    return folder / f"pictures-{start:06d}.npy"


def _parts(folder: Path, count: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, count, PART):
        path = _part(folder, start)
        if not path.is_file():
            raise SDNError(f"{path} is missing: run generate again, it goes on from there")
        try:
            made = np.load(path)
        except (ValueError, EOFError, OSError) as error:
            raise SDNError(f"{path} is damaged ({error}): delete it, run generate again") from None
        if len(made) != min(PART, count - start):
            raise SDNError(f"{path} holds {len(made)} pictures: delete it, run generate again")
        yield start, made


def _facts(folder: Path, data: prepared.Prepared) -> dict[str, Any]:
    about = folder / "generated.json"
    if not about.is_file():
        raise SDNError(f"{about} is missing: paint the captions into {folder} with generate")
    facts = files.read_json(about, f"delete {folder} and paint again")
    if facts.get("data") != data.checksum:
        raise SDNError(f"{folder} was painted for other data than the profile's: paint it again")
    return facts
