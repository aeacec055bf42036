"""Photographs' students before networks that taught none of them."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_photographs import CLASSES, EACH, prepare, profile_of

from sdn_lib import experiments, learning, profiles, runs
from sdn_lib.data.photographs import colours
from sdn_lib.errors import SDNError
from sdn_lib.experiments import held_back, impartial, publishing, showcase

NAMES = ("blue", "grey", "red")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attributes")
    primary = [f"{k} has_primary_color::{name}" for k, name in enumerate(NAMES, 2)]
    lines = ["1 has_bill_shape::cone", *primary]
    (folder / "attributes.txt").write_text("\n".join(lines))
    table = np.zeros((200, 4))
    table[:, 0], table[range(200), 1 + np.arange(200) % 3] = 99, 60
    np.savetxt(folder / "class_attribute_labels_continuous.txt", table)
    return folder


def test_the_primary_colour_of_a_kind(folder, shared):
    names, percents = colours.primary_colours(folder)
    assert tuple(names) == NAMES and percents.argmax(1)[:4].tolist() == [0, 1, 2, 0]
    names, percents = colours.primary_colours(shared / "datasets" / "cub_meta" / "attributes")
    assert len(names) == 15 and names[percents[13 - 1].argmax()] == "black"  # Bobolink


def test_a_part_of_the_archive_has_the_attributes_of_its_kinds(folder, tmp_path):
    names = folder / "attributes.txt"
    part = tmp_path / "attributes"
    part.mkdir()
    (part / names.name).write_bytes(names.read_bytes())
    rows = (folder / "class_attribute_labels_continuous.txt").read_text().splitlines()
    (part / "class_attribute_labels_continuous.txt").write_text(f"{rows[6]}\n{rows[2]}\n")
    with pytest.raises(SDNError, match=r"\(2, 4\) numbers for 4 attributes of 200 kinds"):
        colours.primary_colours(part)
    listed = tmp_path / "classes.txt"
    listed.write_text("7 007.Parakeet_Auklet\n3 003.Sooty_Albatross\n")
    whole, (_, percents) = (colours.primary_colours(at) for at in (folder, part))
    assert np.flatnonzero(np.isfinite(percents).all(1)).tolist() == [2, 6]
    np.testing.assert_array_equal(percents[[2, 6]], whole[1][[2, 6]])
    listed.write_text("7 007.Parakeet_Auklet\n201 201.Roc\n")
    with pytest.raises(SDNError, match=r"classes.txt has kinds beyond the 200"):
        colours.primary_colours(part)


def test_a_colour_is_named_by_its_word():
    assert colours.names_colour("a gray-bellied bird.", "grey")
    assert not colours.names_colour("a greyish bird", "grey")
    for caption in ("Red, and blue", "blue/red", "blue; red!", "a (red) bird"):
        assert colours.names_colour(caption, "red")


@pytest.mark.parametrize(
    ("table", "words"),
    [("1 2\n3\n", "no table of numbers"), ("1 2 3 4\n", r"\(1, 4\) numbers for 4 attributes")],
)
def test_bad_attributes_are_refused(folder, tmp_path, table, words):
    (tmp_path / "attributes.txt").write_bytes((folder / "attributes.txt").read_bytes())
    with pytest.raises(SDNError, match=r"class_attribute_labels_continuous.txt"):
        colours.primary_colours(tmp_path)
    (tmp_path / "class_attribute_labels_continuous.txt").write_text(table)
    with pytest.raises(SDNError, match=words):
        colours.primary_colours(tmp_path)


@pytest.fixture(scope="module")
def report(tmp_path_factory, folder):
    """An evaluation in which the judge sees the mean of a picture's quarters."""

    class Judge:
        about = "quarters"

        def __call__(self, images):
            quarters = images.float().unflatten(2, (2, -1)).unflatten(4, (2, -1)).mean((3, 5))
            return {"features": quarters.flatten(1)}

    home = tmp_path_factory.mktemp("impartial") / "birds"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.pretrained.networks, "efficientnet_network", lambda variant: Judge())
        cpu = nullcontext(torch.device("cpu"))
        patch.setattr(runs.pretrained.devices, "borrowed", lambda *_: cpu)
        prepare(home)
        p = profile_of(home, baseline__batch=4)
        yield SimpleNamespace(found=impartial.evaluate(p, attributes=folder), profile=p)


def test_all_are_judged_alike(report):
    found, test = report.found, (CLASSES - 4) * EACH
    assert list(found["scores"]) == ["real", "other_real", *runs.STUDENTS, "wrong caption", "mean"]
    for scores in found["scores"].values():
        for measure in ("r_precision", "colour"):
            value, low, high = scores[measure]
            assert 0 <= low <= value <= high <= 1
        assert scores["colour_captions"] <= test
    assert found["scores"]["real"]["frechet"] == pytest.approx(0, abs=1e-3)
    assert found["scores"]["mean"]["frechet"] > found["scores"]["real"]["frechet"] + 1
    assert found["scores"]["other_real"]["frechet"] > found["scores"]["real"]["frechet"] + 1
    assert f"before {EACH} of other kinds" in found["protocol"]["r_precision"]
    assert found["protocol"]["pictures"] == test and found["protocol"]["kinds"] == CLASSES - 4
    assert set(found["protocol"]["weights"]) == {"judge_text", "text", *runs.STUDENTS}
    json.dumps(found)
    pairs = [(row["of"], row["from"]) for row in found["differences"]]
    assert pairs[-2:] == [("stage_two", "stage_one"), ("stage_two", "wrong caption")]
    assert ("stage_one", "baseline") in pairs and len(pairs) == 4
    for row in found["differences"]:
        of, other = (found["scores"][row[key]] for key in ("of", "from"))
        for measure in impartial.MEASURES:
            value, low, high = row[measure]
            assert low <= high
            assert value == pytest.approx(of[measure][0] - other[measure][0], abs=1e-6)
    assert "99.5833% intervals" in found["protocol"]["differences"]  # of twelve comparisons
    table = impartial.to_table(found)
    assert "other_real" in table
    older = {who: scores for who, scores in found["scores"].items() if who != "other_real"}
    assert "other_real" not in impartial.to_table(found | {"scores": older})
    assert "stage_two" in table and f"{test} captions of {CLASSES - 4} unseen kinds" in table


def test_what_is_published_is_shown_without_the_photographs(report, tmp_path, monkeypatch, folder):
    own = {name: runs.get(name, report.profile).model for name in ("text", *runs.STUDENTS)}
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    with pytest.raises(SDNError, match="holds no trained teacher"):
        showcase.shipped(report.profile)
    kept = tmp_path / "results" / report.profile.name
    assert showcase.stored(report.profile) is None
    with pytest.raises(SDNError, match="captions.txt"):
        publishing.publish(report.profile, folder)
    kept.mkdir(parents=True)
    (kept / "captions.txt").write_text("a red bird\na blue bird\n")
    assert publishing.publish(report.profile, folder) == kept
    monkeypatch.setattr(runs, "dataset", None)
    found, captions, painted = showcase.stored(report.profile)
    assert captions == ["a red bird", "a blue bird"] and set(painted) == set(runs.STUDENTS)
    shipped = showcase.shipped(report.profile)
    assert set(shipped) == {"teacher", *own}
    facts = showcase.read_facts(report.profile)
    assert facts["train"] == {"photographs": 4 * EACH, "kinds": 4}
    assert facts["test"]["kinds"] == CLASSES - 4 and facts["facing"] is None
    assert not list(kept.glob("*/time_lapse.*"))  # people's captions
    for name, pictures in painted.items():
        made = runs.paint(own[name], shipped["text"].model, captions)
        np.testing.assert_array_equal(pictures, runs.to_uint8(made))
    assert set(found["gaps"]) == {"untrained", *runs.STUDENTS}
    assert set(found["gaps"]["stage_two"]) == {"heterogeneous", "homogeneous"}
    assert found["scores"]["stage_two"]["colour_captions"] > 0
    near = found["nearest_kind"]
    assert near["chance"] == pytest.approx((EACH - 1) / (2 * EACH - 1))
    assert 0 <= near["image"] <= 1 and 0 <= near["pool5"] <= 1
    held = found["held_back"]
    assert (held["kinds"], held["photographs"], held["among"]) == (2, 2 * EACH, EACH + 1)
    steps = report.profile.text.steps
    tried = [(reader["steps"], reader["naming"]) for reader in held["readers"]]
    assert tried == [(round(part * steps), naming) for part, naming in held_back.TRIED]
    for value, low, high in (held["bag_of_words"], *(r["r_precision"] for r in held["readers"])):
        assert low <= high and 0 <= value <= 1
    of_kinds, asked = showcase.read_free(report.profile)
    assert of_kinds["photographs"] == EACH // 2 and len(of_kinds["kinds"]) == CLASSES - 4
    assert set(of_kinds["loss"]) == {"student", "free", "mean", "photograph"}
    assert of_kinds["kinds"] == [f"kind {c}" for c in range(5, CLASSES + 1)]
    size = report.profile.data.size
    assert {x.shape for x in asked.values()} == {(CLASSES - 4, size, size, 3)}
    (kept / "captions.txt").write_text("a red bird\n")
    with pytest.raises(SDNError, match=r"painted-baseline.png does not hold 1 pictures"):
        showcase.stored(report.profile)
    (kept / "painted-baseline.png").write_text("no picture")
    with pytest.raises(SDNError, match="painted-baseline.png cannot be read"):
        showcase.stored(report.profile)


def test_networks_too_large_to_ship_leave_their_profile(report, tmp_path, monkeypatch, folder):
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    kept = tmp_path / "results" / report.profile.name
    kept.mkdir(parents=True)
    (kept / "captions.txt").write_text("a red bird\na blue bird\n")
    publishing.publish(report.profile, folder, networks=False)
    strips = {f"painted-{name}.png" for name in runs.STUDENTS}
    strips |= {"kinds-student.png", "kinds-free.png"}
    files = {"captions.txt", "data.json", "evaluation.json", "kinds.json", "profile.json"}
    assert {path.name for path in kept.iterdir()} == strips | files
    anywhere = dataclasses.replace(report.profile, output_dir=None)
    assert profiles.load(kept / "profile.json") == anywhere
    found, captions, painted = showcase.stored(report.profile)
    assert len(captions) == 2 and set(painted) == set(runs.STUDENTS)
    assert "held_back" not in found and set(found["gaps"]) == {"untrained", *runs.STUDENTS}


def test_some_students_are_judged_beside_those_that_ship(report, tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    kept = tmp_path / "results" / report.profile.name
    kept.mkdir(parents=True)
    (kept / "captions.txt").write_text("a red bird\n")
    networks = {n: runs.get(n, report.profile) for n in ("stage_two", "text")}

    def shipped(profile, names):
        assert profile.name == "birds64" and set(names) == set(networks)
        return networks

    monkeypatch.setattr(showcase, "shipped", shipped)
    (kept / "painted-baseline.png").write_text("of an earlier publication")
    both = "stage_one", "stage_two"
    publishing.publish(report.profile, networks=False, names=both, against="birds64")
    assert set(showcase.stored(report.profile)[2]) == set(both)
    assert {path.name for path in kept.glob("painted-*")} == {
        "painted-stage_one.png", "painted-stage_two.png"
    }  # fmt: skip
    found = json.loads((kept / "evaluation.json").read_text())
    assert "baseline" not in found["scores"] and set(found["trainings"]) == {
        "teacher", "text", "stage_one", "stage_two", "judge_text"
    }  # fmt: skip
    # Here the rival is the student itself.
    assert found["scores"]["birds64"] == found["scores"]["stage_two"]
    pairs = {(row["of"], row["from"]): row for row in found["differences"]}
    assert set(pairs) == {
        ("stage_two", "stage_one"), ("stage_two", "birds64"), ("stage_two", "wrong caption")
    }  # fmt: skip
    assert pairs["stage_two", "birds64"]["r_precision"] == [0, 0, 0]
    assert "together 95 %" in found["protocol"]["differences"]
    weights = {name: run.checksum[:16] for name, run in networks.items()}
    assert found["protocol"]["rivals"] == {"birds64": weights}
    publishing.publish(report.profile, names=("stage_two",))
    assert {path.parent.name for path in kept.glob("*/weights.safetensors")} == {
        "teacher", *networks
    }  # fmt: skip
    assert showcase.painting(report.profile) == ["text", "stage_two"]
    publishing.publish(report.profile, networks=False, names=("stage_one",))
    assert not [*kept.glob("kinds*"), *kept.glob("*/")]  # they are of stage two
    for names, told, words in (
        (("stage_one",), {"as_they_are": "x"}, "judge it, too"),
        (both, {"against": "cpu"}, "'cpu' has no photographs"),
    ):
        with pytest.raises(SDNError, match=words):
            publishing.publish(report.profile, networks=False, names=names, **told)


def test_the_networks_that_ship_are_those_of_their_profile(monkeypatch):
    p = profiles.load("birds64")
    shipped = showcase.shipped(p)
    assert set(shipped) == {"teacher", "text", *runs.STUDENTS}
    assert showcase.read_facts(p)["checksum"] == shipped["text"].config["data"]
    for name, run in shipped.items():
        data = SimpleNamespace(checksum=run.config["data"], arrays={})
        for module in (runs.settings, runs.pretrained):
            monkeypatch.setattr(module, "dataset", lambda _, data=data: data)
        expected = runs.expected_config(name, p)
        assert not runs.first_difference(run.config["settings"], expected), name


def test_the_wider_networks_that_ship_are_whole():
    p, wider = profiles.load("birds64"), profiles.ROOT / "results" / "birds64-wider"
    profile = profiles.load(wider / "profile.json")
    assert profile == profiles.load("birds64", name="birds64-wider", network__width=0.5)
    captions = showcase.read_own_captions(profile)
    assert captions == showcase.read_own_captions(p)
    assert showcase.painting(profile) == ["text", "stage_one", "stage_two"]
    networks = showcase.shipped(profile, ("teacher", *showcase.painting(profile)))
    for name, run in networks.items():
        assert run.config["data"] == showcase.read_facts(p)["checksum"]
        assert run.log[-1]["step"] == getattr(p, name).steps and not run.config["dirty"]
    report, _, painted = showcase.stored(profile)
    assert set(painted) == {"stage_one", "stage_two"} and not report["protocol"]["dirty"]
    for name, pictures in painted.items():
        made = runs.paint(networks[name].model, networks["text"].model, captions[:3])
        assert np.abs(runs.to_uint8(made).astype(int) - pictures[:3]).max() <= 2
    narrow = showcase.stored(p)[0]
    assert report["scores"]["birds64"] == narrow["scores"]["stage_two"]
    for shared in ("data", "pictures", "captions", "seed", "judge", "kernel"):
        assert report["protocol"][shared] == narrow["protocol"][shared]
    assert showcase.read_facts(profile) == showcase.read_facts(p)
    free = showcase.read_free(profile)[0]
    for judged in (report, free):
        for name, digits in judged["protocol"]["weights"].items():
            assert name == "judge_text" or networks[name].checksum.startswith(digits)
    assert free["kinds"] == showcase.read_free(p)[0]["kinds"]


def test_what_the_wider_students_painted_is_whole():
    p = profiles.load("birds64")
    larger = profiles.load(profiles.ROOT / "results" / "birds128" / "profile.json")
    wide = {"data__size": 128, "network__width": 1.0, "network__fc_width": 2048}
    assert larger == profiles.load("birds64", name="birds128", photos="data/birds-128", **wide)
    assert showcase.read_own_captions(larger) == showcase.read_own_captions(p)
    for pictures in showcase.read_painted(larger, ("stage_one", "stage_two")).values():
        assert pictures.shape == (20, 128, 128, 3)
    record = json.loads((showcase.folder_of(larger) / "timings.json").read_text())
    finished = {name for name, run in record["trainings"].items() if run["finished"]}
    assert finished == {"teacher", "text", "judge_text", "stage_one", "stage_two"}
    for name, run in record["trainings"].items():
        assert (name in finished) == (run["steps"] == getattr(larger, name).steps), name


def test_what_judging_needs_is_read_before_anything_is_trained(tmp_path, folder, monkeypatch):
    def never(*_):
        raise AssertionError("a network was asked for")

    prepare(tmp_path / "birds")
    p = profile_of(tmp_path / "birds")
    monkeypatch.setattr(runs, "student", never)
    monkeypatch.setattr(runs, "get", never)
    (tmp_path / "attributes.txt").write_bytes((folder / "attributes.txt").read_bytes())
    with pytest.raises(SDNError, match="class_attribute_labels_continuous.txt"):
        impartial.evaluate(p, attributes=tmp_path)
    data = runs.dataset(p)
    rows = (folder / "class_attribute_labels_continuous.txt").read_text().splitlines()
    part = tmp_path / "part" / "attributes"
    part.mkdir(parents=True)
    (part / "attributes.txt").write_bytes((folder / "attributes.txt").read_bytes())
    (part / "class_attribute_labels_continuous.txt").write_text("\n".join(rows[:4]))
    (part.parent / "classes.txt").write_text("1 a\n2 b\n3 c\n4 d\n")
    with pytest.raises(SDNError, match="tells nothing of kind 5"):
        impartial.evaluate(p, attributes=part)
    source = {"source": data.manifest["source"] | {"kind": "flowers"}}
    with monkeypatch.context() as patched, pytest.raises(SDNError, match="is not of CUB"):
        patched.setattr(runs, "dataset", lambda _: dataclasses.replace(data, manifest=source))
        impartial.evaluate(p, attributes=folder)
    monkeypatch.setattr(showcase, "read_own_captions", lambda profile: ["a red bird"])
    with pytest.raises(SDNError, match="class_attribute_labels_continuous.txt"):
        publishing.publish(p, tmp_path)
    with pytest.raises(SDNError, match="nowhere is no prepared data set"):
        publishing.publish(p, folder, str(tmp_path / "nowhere"))
    turned = SimpleNamespace(manifest={"source": {"facing": "right"}})
    with monkeypatch.context() as patched, pytest.raises(SDNError, match="turned to one side"):
        patched.setattr(publishing.both_ways, "same_photographs", lambda *_: turned)
        publishing.publish(p, folder, "turned")
    few = data.class_ids.copy()
    few[data.indices("test")[1:]] = few[-1]
    with monkeypatch.context() as patched, pytest.raises(SDNError, match="a single photograph"):
        patched.setattr(runs, "dataset", lambda _: dataclasses.replace(data, class_ids=few))
        impartial.evaluate(p, attributes=folder)

    def missing(variant):
        raise SDNError("install the extra metrics")

    monkeypatch.setattr(impartial.networks, "efficientnet_network", missing)
    with pytest.raises(SDNError, match="the extra metrics"):
        impartial.evaluate(p, attributes=folder)


def test_it_is_about_photographs(report):
    with pytest.raises(SDNError, match="has no photographs"):
        impartial.evaluate(profiles.load("smoke"))
    with pytest.raises(SDNError, match="experiments.impartial"):
        experiments.evaluate(dataclasses.replace(report.profile))


def test_readers_that_are_compared_meet_no_photograph_that_is_held_back(report, monkeypatch):
    data, met = runs.dataset(report.profile), []

    def note(task, settings, folder, title):
        met.append(set(task.data.class_ids[task.rows]))

    monkeypatch.setattr(learning, "fit", note)
    held_back.readings(report.profile)
    train = set(data.class_ids[data.indices("train")])
    assert len(met) == len(held_back.TRIED) and all(kinds == met[0] for kinds in met)
    assert met[0] < train and len(train - met[0]) == 2
    with pytest.raises(SDNError, match="has no photographs"):
        held_back.readings(profiles.load("smoke"))
