"""Text and students on photographs: no attributes, published embeddings or none."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from small_photographs import SIZE, prepare, profile_of

from sdn_lib import experiments, files, learning, profiles, runs
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.experiments import publishing, showcase
from sdn_lib.learning import checkpoints
from sdn_lib.runs import weights
from sdn_lib.teacher import Teacher


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("photographs")


@pytest.fixture(scope="module")
def teacher_file(home):
    torch.manual_seed(0)
    state = {}
    for number, conv in enumerate(Teacher(11).convs.values()):
        state |= {f"features.{number}.weight": conv.weight, f"features.{number}.bias": conv.bias}
    torch.save(state, home / "vgg11.pth")
    weights.convert(home / "vgg11.pth", home / "vgg11.safetensors", 11)
    return home / "vgg11.safetensors"


@pytest.fixture(scope="module")
def p(home, teacher_file):
    prepare(home / "plain")
    return profile_of(
        home / "plain",
        network__depth=11,
        network__width=1.0,
        network__teacher_weights=str(teacher_file),
    )


def test_text_and_both_stages_train_and_load(p):
    text = runs.get("text", p)
    assert set(text.log[-1]["losses"]) == {"joint_embedding", "naming"}
    for name in ("stage_one", "stage_two"):
        assert runs.get(name, p).how == "trained"
        assert runs.get(name, p).how == "loaded"
    pictures = runs.paint(runs.get("stage_two", p).model, text.model, ["any caption at all"])
    assert pictures.shape == (1, 3, SIZE, SIZE)
    facts = runs.expected_config("stage_two", p)
    assert facts["data"]["stage_two"] == {"prepared": runs.dataset(p).checksum}
    assert set(facts["network"]["teacher"]) >= {"sha256", "preprocessing"}
    assert "teacher" not in facts["training"] and "teacher" not in facts["data"]


def test_the_teacher_is_the_converted_file(p, teacher_file):
    run = runs.get("teacher", p)
    assert run.how == "converted" and run.config["file"] == "vgg11.pth"
    with pytest.raises(SDNError, match="is the converted file .*vgg11"):
        runs.keep({"teacher": run}, teacher_file.parent / "kept")
    assert not (teacher_file.parent / "kept").exists()
    deeper = dataclasses.replace(p.network, depth=13)
    with pytest.raises(SDNError, match="VGG11 of width 1, the profile has another"):
        runs.get("teacher", dataclasses.replace(p, network=deeper))
    absent = dataclasses.replace(p.network, teacher_weights="data/weights/absent.safetensors")
    with pytest.raises(SDNError, match="absent.safetensors is missing: .*convert_weights.py"):
        runs.get("teacher", dataclasses.replace(p, network=absent))


def test_an_epoch_is_every_pair(p):
    task, _ = runs.make_task("stage_one", p, whole=False)
    data = runs.dataset(p)
    assert task.size == len(data.indices("train")) * 10
    seen = []
    for step in range(task.size // 4):
        sample = task.sample(step, 0, 4)
        seen += [tuple(row.tolist()) for row in sample["characters"]]
    assert len(set(seen)) == task.size


def test_published_embeddings_are_looked_up(home, teacher_file, monkeypatch):
    data = prepare(home / "published", embeddings=True)
    p = profile_of(
        home / "published",
        network__depth=11,
        network__width=1.0,
        network__teacher_weights=str(teacher_file),
    )
    text = runs.get("text", p)
    assert text.how == "published"
    row = int(data.indices("test")[0])
    found = text.model.encode([data.captions[row][3]])
    np.testing.assert_array_equal(found[0].numpy(), data.arrays["embeddings"][row, 3])
    with pytest.raises(SDNError, match="no published embedding of 'a new caption'"):
        text.model.encode(["a new caption"])
    task, _ = runs.make_task("stage_one", p)
    sample = task.sample(0, 0, 4)
    table = torch.from_numpy(np.array(data.arrays["embeddings"])).flatten(0, 1)
    assert all((table == line).all(1).any() for line in sample["text"])
    assert runs.train_live("stage_one", p).how == "live"
    assert runs.get("stage_one", p).how == "trained"
    assert text.checksum == data.checksum
    assert runs.get("teacher", p).checksum == files.checksum(teacher_file)
    for name in ("text", "teacher"):
        with pytest.raises(SDNError, match=f"has its {name} from elsewhere"):
            runs.train(name, p)
    monkeypatch.setattr(showcase, "read_own_captions", lambda profile: ["a new caption"])
    with pytest.raises(SDNError, match="read no captions of our own"):
        publishing.publish(p)


def test_weights_that_nobody_converted_are_named(home, p):
    other = home / "other.safetensors"
    checkpoints.save(other, {"weight": torch.zeros(1)}, {"name": "teacher"})
    network = dataclasses.replace(p.network, teacher_weights=str(other))
    with pytest.raises(SDNError, match="other.safetensors does not say how.*make it with convert"):
        runs.expected_config("stage_one", dataclasses.replace(p, network=network))


def test_photographs_of_one_split_are_named(home):
    data = prepare(home / "whole")
    prepared.write(
        home / "half",
        images=np.asarray(data.images),
        captions=data.captions,
        class_ids=data.class_ids,
        names=data.names,
        splits=["train"] * len(data),
    )
    with pytest.raises(SDNError, match="half has no photographs to test on"):
        runs.dataset(profile_of(home / "half"))


def test_what_does_not_fit_is_named(home, p):
    with pytest.raises(SDNError, match="nowhere is no prepared data set"):
        runs.dataset(profile_of(home / "nowhere"))
    with pytest.raises(SDNError, match="32 pixels, the profile wants 64"):
        runs.dataset(profile_of(home / "plain", data__size=64))
    with pytest.raises(SDNError, match="no attributes"):
        experiments.evaluate(p)


def test_the_paper_s_schedule():
    birds, authors = profiles.load("birds"), profiles.load("authors")
    assert birds.stage_one.steps == birds.stage_two.steps == 8855 * 10 * 100 // 12
    assert authors.stage_two.steps == 8855 * 10 * 80 // 12
    assert profiles.load("flowers").stage_one.steps == 7034 * 10 * 100 // 12
    for p in (birds, authors):
        s = p.stage_two
        assert (s.batch, s.learning_rate, s.schedule, s.precision) == (12, 1e-4, "constant", "fp32")
    assert authors.network.preprocessing == "authors"
    assert birds.network.preprocessing == "imagenet"


def test_a_teacher_may_learn_from_the_photographs(home, monkeypatch, device):
    taught = prepare(home / f"taught-{device.type}").folder
    p = profile_of(taught, photo_teacher=True, teacher__batch=4)
    looked = np.random.default_rng(0).normal(size=(len(runs.dataset(p).indices("train")), 5))
    monkeypatch.setattr(runs.store.pretrained, "imagenet_features", lambda profile: looked)
    run = runs.get("teacher", p)
    assert run.how == "trained" and set(run.log[-1]["losses"]) == {"kind", "features"}
    assert run.config["settings"]["data"]["teacher"] == {"prepared": runs.dataset(p).checksum}
    assert run.config["settings"]["network"]["teacher"]["learns"] == "lite0"
    painted = dataclasses.replace(p, photo_teacher=False)
    with pytest.raises(SDNError, match="teacher was trained with other settings"):
        runs.get("teacher", painted)
    nowhere = dataclasses.replace(p, photos=None, output_dir=f"{home}/nowhere")
    monkeypatch.undo()
    with pytest.raises(SDNError, match="has no photographs to look at"):
        runs.train("teacher", nowhere)


def test_what_imagenet_sees_is_looked_at_once(home, monkeypatch):
    prepare(home / "looked")
    p, calls = profile_of(home / "looked", photo_teacher=True), []

    def network(variant):
        calls.append(variant)
        return lambda x: {"features": x.float().mean((2, 3))}

    monkeypatch.setattr(runs.pretrained.networks, "efficientnet_network", network)
    cpu = nullcontext(torch.device("cpu"))
    monkeypatch.setattr(runs.pretrained.devices, "borrowed", lambda *_: cpu)
    first, again = runs.pretrained.imagenet_features(p), runs.pretrained.imagenet_features(p)
    data = runs.dataset(p)
    wanted = data.images[data.indices("train")].mean((1, 2))
    np.testing.assert_allclose(first, wanted, rtol=1e-4)
    np.testing.assert_array_equal(first, again)
    assert calls == ["lite0"]


def test_larger_batches_see_as_many_samples_at_the_root_of_the_rate():
    one = profiles.load("birds").stage_one
    four = learning.larger_batch(one, 48)
    assert four.batch * four.steps == pytest.approx(one.batch * one.steps, rel=1e-4)
    assert four.learning_rate == pytest.approx(2e-4) and four.precision == "bf16"
    with pytest.raises(SDNError, match="batch 0"):
        learning.larger_batch(one, 0)
