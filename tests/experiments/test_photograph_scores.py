from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from small_photographs import prepare, profile_of

from sdn_lib import cli, runs
from sdn_lib.errors import SDNError
from sdn_lib.experiments import photographs
from sdn_lib.runs import store


@pytest.fixture(scope="module")
def p(tmp_path_factory):
    home = tmp_path_factory.mktemp("scores")
    prepare(home / "data", embeddings=True)
    small = {"teacher__steps": 2, "stage_one__steps": 2, "teacher_data__species": 20}
    return profile_of(home / "data", teacher__batch=4, teacher_data__test_species=4, **small)


@pytest.fixture(scope="module")
def made(p, tmp_path_factory):
    return photographs.generate(p, "stage_one", tmp_path_factory.mktemp("scores") / "made")


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
        photographs.score(p, made)
    photographs.generate(p, "stage_one", made)
    assert [f.read_bytes() for f in files] == whole
    runs.get("stage_two", p)
    monkeypatch.setattr(runs, "paint", None)
    photographs.generate(p, "stage_one", made)
    with pytest.raises(SDNError, match="another student"):
        photographs.generate(p, "stage_two", made)


def test_scores_travel_with_their_protocol(p, made):
    def lpips(a, b):
        assert a.shape == b.shape and a.min() >= -1 and b.max() <= 1
        return (a - b).abs().mean()

    with pytest.warns(UserWarning, match="fid of 60 pictures is biased"):
        report = photographs.score(p, made, Fake(), Fake(), lpips)
    found = report["scores"]
    inception = {"is", "is_deviation", "fid", "kid"}
    assert set(found) == {"ssim", "psnr", "lpips", "frechet_efficientnet", *inception}
    assert found["frechet_efficientnet"] == found["fid"], "one formula, in whichever features"
    assert "captions of other classes" in report["left_out"]["r_precision"]
    assert all(np.isfinite(value) for value in found.values())
    facts = report["protocol"]
    assert facts["inception"] == Fake.about and facts["pictures"] == 60
    assert {"weights", "data", "seed", "versions", "crop", "resize", "colours"} <= set(facts)


def test_a_score_that_cannot_be_had_leaves_the_others(p, made):
    class Broken(Fake):
        def __call__(self, images):
            return {name: x[:, :1] * float("nan") for name, x in super().__call__(images).items()}

    with pytest.warns(UserWarning, match="fid of 60 pictures is biased"):
        report = photographs.score(p, made, Fake(), Broken())
    assert {"ssim", "fid"} <= set(report["scores"])
    assert "NaN" in report["left_out"]["frechet_efficientnet"]
    report = photographs.score(p, made, Broken(), None)
    assert "ssim" in report["scores"] and set(report["left_out"]) >= {"is, fid, kid"}


def test_without_inception_the_rest_is_scored(p, made, capsys):
    report = photographs.score(p, made)
    assert "fid" not in report["scores"] and "Inception" in report["left_out"]["is, fid, kid"]
    profile = made.parent / "profile.json"
    profile.write_text(p.to_json())
    assert cli.main(["score", str(made), "--profile", str(profile)]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == report["scores"]


def test_the_distance_beside_fid_is_that_of_the_judge(p, made, capsys, monkeypatch):
    asked = []

    def network(variant):
        asked.append(variant)
        return Fake()

    monkeypatch.setattr(photographs.networks, "efficientnet_network", network)
    profile = made.parent / "profile.json"
    profile.write_text(p.to_json())
    with pytest.warns(UserWarning, match="frechet_efficientnet of 60 pictures is biased"):
        assert cli.main(["score", str(made), "--profile", str(profile), "--efficientnet"]) == 0
    assert "frechet_efficientnet" in json.loads(capsys.readouterr().out)["scores"]
    assert asked == [runs.pretrained.JUDGE] != [runs.pretrained.IMAGENET]


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
    for module in (runs, store):
        monkeypatch.setattr(module, "dataset", lambda _: told)
    test = told.indices("test")
    made = np.repeat(pictures[test], 10, axis=0)
    for start in range(0, len(made), photographs.PART):
        np.save(photographs._part(tmp_path, start), made[start : start + photographs.PART])
    right = photographs.r_precision(p, tmp_path, among=10)
    for start in range(0, len(made), photographs.PART):
        np.save(photographs._part(tmp_path, start), made[::-1][start : start + photographs.PART])
    wrong = photographs.r_precision(p, tmp_path, among=10)
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
        photographs.score(p, made)
    path.write_bytes(whole)
