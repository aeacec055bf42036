from __future__ import annotations

import json
import pickle
import runpy
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from sdn_lib.data import photographs, prepared
from sdn_lib.data.photographs import flowers, splits
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parents[2]
LABELS = [77, 77, 5, 30, 5]
NAMES = [f"jpg/image_{i:05d}" for i in range(1, 6)]
TOLD = "text_c10/class_00030/image_00004.txt"


def label(raw, labels):
    savemat(raw / "imagelabels.mat", {"labels": np.array([labels])})


@pytest.fixture
def raw(tmp_path):
    """A folder of five images of three classes, class 5 for testing."""
    folder = tmp_path / "raw"
    (folder / "jpg").mkdir(parents=True)
    label(folder, np.array(LABELS, np.uint8))
    for i, own in enumerate(LABELS, 1):
        Image.new("RGB", (20 + i, 30), (40 * i, 0, 0)).save(folder / f"jpg/image_{i:05d}.jpg")
        told = folder / f"text_c10/class_{own:05d}/image_{i:05d}.txt"
        told.parent.mkdir(parents=True, exist_ok=True)
        told.write_text("".join(f"flower {i} has {n} petals.\n" for n in range(10)))
    return folder


def prepare(raw, tmp_path, **options):
    reading = flowers.read(raw, subset=True)
    return photographs.prepare(reading, tmp_path / "out" / "set", size=8, processes=1, **options)


# --- the real files -----------------------------------------------------------------------------


def test_the_official_split(shared):
    meta = shared / "datasets" / "flowers102_meta"
    labels = loadmat(meta / "imagelabels.mat")["labels"][0].tolist()
    split = splits.read_split(meta, list(range(8189)), labels, flowers.TEST_CLASSES).splits
    assert {s: split.count(s) for s in ("train", "test")} == flowers.COUNTS
    published = json.loads((meta / "class_split.json").read_text())
    assert list(flowers.TEST_CLASSES) == published["test_classes"]
    rest = published["train_classes"] + published["val_classes"]
    assert sorted(rest + list(flowers.TEST_CLASSES)) == list(flowers.CLASSES)


def test_the_whole_labels_are_read(shared, tmp_path):
    labels = shared / "datasets" / "flowers102_meta" / "imagelabels.mat"
    (tmp_path / "imagelabels.mat").symlink_to(labels)
    (tmp_path / "jpg").mkdir()
    own = np.flatnonzero(loadmat(labels)["labels"][0] == 77) + 1
    (tmp_path / "text_c10/class_00077").mkdir(parents=True)
    for i in own:
        (tmp_path / f"text_c10/class_00077/image_{i:05d}.txt").write_text("a flower.\n" * 10)
        (tmp_path / f"jpg/image_{i:05d}.jpg").touch()
    reading = flowers.read(tmp_path, classes=[77])
    assert reading.names == [f"jpg/image_{i:05d}" for i in own] and reading.names[0][-5:] == "00001"
    assert reading.source["splits"] == {"train": len(own), "test": 0}
    assert reading.source["md5"] == {"imagelabels.mat": "e0620be6f572b9609742df49c70aed4d"}
    with pytest.raises(SDNError, match=f"jpg is missing .{8189 - len(own)} such files"):
        flowers.read(tmp_path)


# --- a tiny folder ------------------------------------------------------------------------------


def test_round_trip(raw, tmp_path):
    made = prepare(raw, tmp_path)
    assert made.names == NAMES and made.class_ids.tolist() == LABELS
    assert made.splits == ["train", "train", "test", "train", "test"]
    assert made.captions[3] == [f"flower 4 has {n} petals." for n in range(10)]
    assert made.images.shape == (5, 8, 8, 3) and abs(int(made.images[3, 4, 4, 0]) - 160) < 6
    source = made.manifest["source"]
    assert source["kind"] == "flowers" and source["splits"] == {"train": 3, "test": 2}
    assert source["splits_from"] == "list of test classes"


def test_short_and_spoilt_caption_files_are_mended_and_counted(raw, tmp_path):
    (raw / TOLD).write_text("Pink\ufffd\ufffdpetals. \r\n\n  \n\ufffd\ufffd\nno scent.", "utf-8")
    made = prepare(raw, tmp_path)
    assert made.captions[3] == ["Pink petals.", "no scent."] * 5
    assert made.manifest["source"]["captions_mended"] == 2
    assert made.manifest["source"]["files_repeated_to_ten"] == 1


def pickled(raw, train=(3, 0, 1), test=(4, 2)):
    """Add splits in StackGAN's format, each image's embedding its own row."""
    for split, rows in {"train": train, "test": test}.items():
        (raw / split).mkdir()
        told = [np.full((10, 1024), row, np.float32) for row in rows]
        for name, value in {
            "filenames": [NAMES[row] for row in rows],
            "class_info": [LABELS[row] for row in rows],
            "char-CNN-RNN-embeddings": told,
        }.items():
            (raw / split / f"{name}.pickle").write_bytes(pickle.dumps(value, 2))


def test_the_pickles_of_a_part_list_its_images_alone(raw):
    pickled(raw, train=(0, 1), test=(4, 2))
    (raw / "jpg/image_00004.jpg").unlink()
    reading = flowers.read(raw, subset=True)
    assert reading.splits == ["train", "train", "test", "test"]
    assert reading.embeddings[:, 0, 0].tolist() == [0, 1, 2, 4]


def test_embeddings_are_a_list_in_the_pickles_order(raw, tmp_path):
    pickled(raw)
    made = prepare(raw, tmp_path)
    assert made.arrays["embeddings"].shape == (5, 10, 1024)
    assert (made.arrays["embeddings"] == np.arange(5)[:, None, None]).all()
    assert made.manifest["source"]["splits_from"] == "pickles"


def test_classes_need_only_their_own_files(raw):
    (raw / "jpg/image_00004.jpg").unlink()
    (raw / TOLD).unlink()
    reading = flowers.read(raw, subset=True, classes=[5])
    assert reading.names == [NAMES[2], NAMES[4]] and reading.source["classes"] == [5]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: (raw / "jpg/image_00006.jpg").touch(), "image_00006.jpg belongs to no image"),
        (
            lambda raw: (raw / "text_c10/class_00030/image_00001.txt").touch(),
            "class_00030/image_00001.txt belongs to no image",
        ),
        (lambda raw: (raw / TOLD).write_text(" \n\n"), "image_00004.txt has 0 captions"),
        (lambda raw: (raw / TOLD).write_text("a\n" * 11), "image_00004.txt has 11 captions"),
        (lambda raw: (raw / "imagelabels.mat").unlink(), "imagelabels.mat cannot be read"),
        (lambda raw: (raw / "imagelabels.mat").write_text("x"), "imagelabels.mat cannot be read"),
        (lambda raw: savemat(raw / "imagelabels.mat", {"a": 1}), "imagelabels.mat cannot .*labels"),
        (lambda raw: label(raw, [103, 1]), "imagelabels.mat has labels"),
        (lambda raw: label(raw, [0.5, 1]), "imagelabels.mat has labels float64"),
        (lambda raw: label(raw, LABELS[:4]), "image_00005.jpg belongs to no image"),
        (
            lambda raw: (raw / "jpg/image_00005.jpg").write_bytes(b"\xff\xd8"),
            "image_00005.jpg is no",
        ),
    ],
)
def test_bad_folders_are_refused(raw, tmp_path, damage, words):
    damage(raw)
    with pytest.raises(SDNError, match=words):
        prepare(raw, tmp_path)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("part", ["imagelabels.mat", "jpg", "text_c10"])
def test_missing_data_name_the_program_that_fetches_them(raw, part):
    (raw / part).rename(raw / "elsewhere")
    words = f"{part} .*: fetch it with `python data_scripts/fetch_flowers.py {raw}`"
    with pytest.raises(SDNError, match=words):
        flowers.read(raw, subset=True)


def test_a_part_may_lack_images_of_the_list(raw, tmp_path):
    for name in ("image_00002", "image_00003"):
        (raw / "jpg" / f"{name}.jpg").unlink()
        next((raw / "text_c10").glob(f"*/{name}.txt")).unlink()
    reading = flowers.read(raw, subset=True)
    assert reading.names == [NAMES[k] for k in (0, 3, 4)]
    assert reading.class_ids == [77, 30, 5] and reading.splits == ["train", "train", "test"]
    assert reading.captions[1][3] == "flower 4 has 3 petals."
    assert reading.source["left_out"] == 2 and reading.source["unpictured"] == 0
    made = prepare(raw, tmp_path)
    assert len(made) == 3 and made.manifest["source"]["left_out"] == 2


def test_pictures_of_a_part_may_lack_their_captions(raw, tmp_path, capsys):
    (raw / "text_c10/class_00077/image_00002.txt").unlink()
    (raw / "jpg/image_00003.jpg").unlink()
    main = runpy.run_path(str(ROOT / "data_scripts" / "prepare.py"))["main"]
    assert main(["flowers", str(raw), str(tmp_path / "out"), "--subset", "--processes=1"]) == 0
    said = capsys.readouterr().err
    assert "1 picture left out, without captions" in said and "1 image of the list not" in said
    made = prepared.load(tmp_path / "out")
    assert made.names == [NAMES[k] for k in (0, 3, 4)]
    counts = {k: made.manifest["source"][k] for k in ("left_out", "unpictured", "uncaptioned")}
    assert counts == {"left_out": 1, "unpictured": 1, "uncaptioned": 1}
    for lost in (raw / "text_c10").glob("*/*"):
        lost.unlink()
    with pytest.raises(SDNError, match="image_00001.txt is missing .4 such files.: unpack"):
        flowers.read(raw, subset=True)


@pytest.mark.parametrize("lost", ["jpg/image_00002.jpg", TOLD])
def test_the_whole_data_set_lacks_nothing(raw, monkeypatch, lost):
    counts = {"train": 3, "test": 2}
    monkeypatch.setattr(flowers, "OXFORD", replace(flowers.OXFORD, counts=counts))
    assert len(flowers.read(raw).names) == 5
    (raw / lost).unlink()
    with pytest.raises(SDNError, match=f"{lost} is missing .1 such file.: unpack .*--subset"):
        flowers.read(raw)


def test_the_pickles_of_the_whole_serve_a_part(raw):
    pickled(raw)
    (raw / TOLD).unlink()
    (raw / "jpg/image_00003.jpg").unlink()
    reading = flowers.read(raw, subset=True)
    assert reading.splits == ["train", "train", "test"]
    assert reading.embeddings[:, 0, 0].tolist() == [0, 1, 4]


def test_captions_of_a_part_may_lack_their_pictures(raw):
    for name in ("image_00002", "image_00003"):
        (raw / "jpg" / f"{name}.jpg").unlink()
    (raw / "text_c10/class_00005/image_00003.txt").unlink()
    reading = flowers.read(raw, subset=True)
    assert reading.names == [NAMES[k] for k in (0, 3, 4)]
    assert reading.captions[1][3] == "flower 4 has 3 petals."
    assert reading.source["left_out"] == 2 and reading.source["unpictured"] == 1
    for picture in (raw / "jpg").iterdir():
        picture.unlink()
    with pytest.raises(SDNError, match="image_00001.jpg is missing .5 such files"):
        flowers.read(raw, subset=True)


def test_a_subset_must_be_asked_for_and_there_is_no_crop(raw, tmp_path):
    with pytest.raises(SDNError, match="imagelabels.mat gives 3 .* 7034 and 1155.*--subset"):
        flowers.read(raw)
    with pytest.raises(SDNError, match="flowers has no boxes"):
        prepare(raw, tmp_path, crop="stackgan")


def test_the_script(raw, tmp_path, capsys):
    main = runpy.run_path(str(ROOT / "data_scripts" / "prepare.py"))["main"]
    asked = ["flowers", str(raw), str(tmp_path / "out"), "--subset", "--processes", "1"]
    assert main([*asked, "--crop"]) == 2 and "no boxes" in capsys.readouterr().err
    assert main(asked) == 0 and prepared.load(tmp_path / "out").size == 64


def test_archives_of_a_part_become_a_prepared_folder(raw, tmp_path, capsys):
    """As `make flowers64` goes: part of the pictures, the whole archive of captions."""
    for name in ("image_00002", "image_00003"):
        (raw / "jpg" / f"{name}.jpg").unlink()
    given = {"labels": raw / "imagelabels.mat"}
    for part, folder in (("images", "jpg"), ("captions", "text_c10")):
        given[part] = tmp_path / f"{part}.tgz"
        with tarfile.open(given[part], "w:gz") as tar:
            tar.add(raw / folder, f"archive/{folder}" if part == "captions" else folder)
    fetch, prepare = (
        runpy.run_path(str(ROOT / "data_scripts" / f"{name}.py"))["main"]
        for name in ("fetch_flowers", "prepare")
    )
    parts = [f"--from-file={part}={path}" for part, path in given.items()]
    home, out = tmp_path / "unpacked", tmp_path / "flowers-64"
    assert fetch([str(home), "--subset", "--parts", "images", "captions", "labels", *parts]) == 0
    assert prepare(["flowers", str(home), str(out), "--size=64", "--subset", "--processes=1"]) == 0
    assert "2 images of the list not there, which leaves 2 files" in capsys.readouterr().err
    made = prepared.load(out)
    assert made.names == [NAMES[k] for k in (0, 3, 4)] and made.size == 64
    assert made.splits == ["train", "train", "test"]
    assert made.captions[2] == [f"flower 5 has {n} petals." for n in range(10)]
    assert made.images[:, 32, 32, 0].tolist() == pytest.approx([40, 160, 200], abs=6)
