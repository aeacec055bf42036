from __future__ import annotations

import pickle
import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdn_lib.data import photographs, prepared
from sdn_lib.data.photographs import cub, facing, preparing, splits
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {1: "001.Auk", 2: "002.Owl", 3: "003.Jay"}
NAMES = [f"{folder}/{folder[4:]}_{i}" for folder in CLASSES.values() for i in (1, 2)]


def lines(path, rows):
    path.write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows))


def dump(path, value, protocol=0):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol))


def pickled(folder, embeddings=np.float32):
    """Add splits in StackGAN's format, in another order than images.txt, and embeddings."""
    own = {"train": NAMES[:1:-1], "test": NAMES[1::-1]}
    for split, names in own.items():
        dump(folder / split / "filenames.pickle", names)
        dump(folder / split / "class_info.pickle", [np.int64(int(name[:3])) for name in names])
        if embeddings:
            told = [np.full((10, 1024), NAMES.index(name), embeddings) for name in names]
            dump(folder / split / "char-CNN-RNN-embeddings.pickle", np.stack(told), 2)


@pytest.fixture
def raw(tmp_path):
    """A folder of six images of three classes, class 1 for testing, each 40 by 30 pixels."""
    folder = tmp_path / "raw"
    root = folder / "CUB_200_2011"
    root.mkdir(parents=True)
    lines(root / "classes.txt", CLASSES.items())
    lines(root / "images.txt", ((i, f"{name}.jpg") for i, name in enumerate(NAMES, 1)))
    lines(root / "image_class_labels.txt", ((i, int(n[:3])) for i, n in enumerate(NAMES, 1)))
    lines(root / "bounding_boxes.txt", ((i, 10.0, 5.0, 16.0, 12.0) for i in range(1, 7)))
    draw = np.random.default_rng(0)
    for name in NAMES:
        image, told = root / "images" / f"{name}.jpg", folder / "text_c10" / f"{name}.txt"
        image.parent.mkdir(parents=True, exist_ok=True)
        told.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (30, 40, 3), np.uint8)).save(image)
        told.write_text("".join(f"{name[4:7].lower()} {i} of ten.\n" for i in range(10)))
    return folder


def prepare(raw, tmp_path, **options):
    reading = cub.read(raw, subset=True)
    return photographs.prepare(reading, tmp_path / "out" / "birds", processes=1, **options)


# --- the real files -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def birds(shared):
    return cub.read(shared / "datasets" / "cub10", subset=True)


def test_the_real_subset(birds):
    assert len(birds.names) == 543 and birds.source["splits"] == {"train": 275, "test": 268}
    assert {k for k, s in zip(birds.class_ids, birds.splits, strict=True) if s == "test"} == {
        1, 4, 6, 8, 9
    }  # fmt: skip
    assert birds.boxes.shape == (543, 4) and birds.embeddings is None
    assert birds.class_names[10] == "010.Red_winged_Blackbird"
    assert birds.source["subset"] is True and birds.source["splits_from"] == "pickles"
    assert birds.source["captions_mended"] == 5 and birds.source["files_repeated_to_ten"] == 0
    assert {len(own) for own in birds.captions} == {10}
    told = dict(zip(birds.names, birds.captions, strict=True))
    sooty = "003.Sooty_Albatross/Sooty_Albatross_0029_796357"
    mended = "this bird has a dark grey belly, darker grey wings, a dark brownish-grey head a "
    assert mended + "squared off bill." in told[sooty]
    assert not any(
        "\ufffd" in text or text != text.strip() for own in told.values() for text in own
    )


def test_a_subset_must_be_asked_for(shared):
    with pytest.raises(SDNError, match=r"images.txt gives 275 .* 268 .* 8855 and 2933.*--subset"):
        cub.read(shared / "datasets" / "cub10")


def test_the_official_split_from_pickles_and_from_the_list(shared):
    folder = shared / "datasets" / "cub_meta"
    names = [f[1][:-4] for f in map(str.split, (folder / "images.txt").open())]
    ids = [int(name[:3]) for name in names]
    published = splits.read_split(folder, names, ids, ())
    assert {s: published.splits.count(s) for s in ("train", "test")} == cub.COUNTS
    assert len(published.files) == 4 and published.embeddings is None
    assert len(cub.TEST_CLASSES) == len(set(cub.TEST_CLASSES)) == 50
    assert splits.read_split(folder / "no", names, ids, cub.TEST_CLASSES).splits == published.splits


def test_the_whole_lists_are_read(shared, tmp_path):
    meta = shared / "datasets" / "cub_meta"
    for split in ("train", "test"):
        (tmp_path / split).symlink_to(meta / split)
    root = tmp_path / "CUB_200_2011"
    root.mkdir()
    for path in meta.glob("*.txt"):
        (root / path.name).symlink_to(path)
    for line in (meta / "images.txt").read_text().splitlines()[:120]:
        stem = line.split()[1][:-4]
        for new in (root / "images" / f"{stem}.jpg", tmp_path / "text_c10" / f"{stem}.txt"):
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_text("a bird.\n" * 10)
    birds = cub.read(tmp_path, classes=[1, 2])
    assert birds.splits == ["test"] * 60 + ["train"] * 60 and birds.source["subset"] is False
    assert birds.source["splits"] == {"train": 60, "test": 60}
    assert birds.source["md5"]["CUB_200_2011/images.txt"] == "619b5c21b05008767b6d09160bdfba38"
    for split in ("train", "test"):
        (tmp_path / split).unlink()
    again = cub.read(tmp_path, classes=[1, 2])
    assert again.splits == birds.splits
    assert again.source["splits_from"] == "list of test classes"
    with pytest.raises(SDNError, match="003.Sooty_Albatross.*jpg is missing .11668 such files"):
        cub.read(tmp_path)


def test_real_images_are_rgb_of_any_size_and_grey_ones_too(shared, tmp_path):
    raw = shared / "datasets" / "cub10"
    reading = cub.read(raw, subset=True, classes=[9])
    made = photographs.prepare(reading, tmp_path / "birds", size=48, processes=2)
    assert made.images.shape == (len(reading.names), 48, 48, 3) and made.size == 48
    grey = made.names.index("009.Brewer_Blackbird/Brewer_Blackbird_0028_2682")
    assert Image.open(reading.images[grey]).mode == "L"
    assert (made.images[grey] == made.images[grey][..., :1]).all()
    other = Image.open(reading.images[0]).convert("RGB").resize((48, 48), Image.BICUBIC)
    np.testing.assert_array_equal(made.images[0], other)
    assert set(made.splits) == {"test"} and made.manifest["source"]["classes"] == [9]
    alone = photographs.prepare(reading, tmp_path / "again", size=48, processes=1)
    assert alone.checksum == made.checksum


def test_the_crop_is_stackgans(birds):
    path, (x, y, w, h) = birds.images[1], birds.boxes[1].astype(int)
    image = np.asarray(Image.open(path))
    reach = int(np.maximum(w, h) * 0.75)
    row, column = int((2 * y + h) / 2), int((2 * x + w) / 2)
    expected = image[
        max(0, row - reach) : min(image.shape[0], row + reach),
        max(0, column - reach) : min(image.shape[1], column + reach),
    ]
    found = np.asarray(preparing.crop_to(Image.open(path), birds.boxes[1]))
    assert min(found.shape[:2]) > 150
    np.testing.assert_array_equal(found, expected)


# --- a tiny folder ------------------------------------------------------------------------------


def test_without_pickles_the_list_of_test_classes_splits(raw, tmp_path):
    made = prepare(raw, tmp_path, size=8, resize="box")
    assert made.splits == ["test"] * 2 + ["train"] * 4 and made.class_ids.tolist() == [
        1, 1, 2, 2, 3, 3
    ]  # fmt: skip
    assert made.names == NAMES and made.captions[2] == [f"owl {i} of ten." for i in range(10)]
    assert made.tables["classes"] == {str(k): name for k, name in CLASSES.items()}
    source = made.manifest["source"]
    assert source["kind"] == "cub" and source["size"] == 8 and source["resize"] == "box"
    assert source["crop"] is None and source["embeddings"] is None and source["pillow"]
    assert str(raw) not in (made.folder / "manifest.json").read_text()
    assert prepared.load(made.folder).checksum == made.checksum


@pytest.mark.parametrize(
    ("kind", "stored"), [(np.float16, "float16"), (np.float32, "float32"), (np.float64, "float32")]
)
def test_embeddings_follow_their_images(raw, tmp_path, kind, stored):
    pickled(raw, kind)
    made = prepare(raw, tmp_path, size=8)
    assert made.arrays["embeddings"].shape == (6, 10, 1024)
    assert made.arrays["embeddings"].dtype == stored == made.manifest["source"]["embeddings"]
    assert (made.arrays["embeddings"] == np.arange(6)[:, None, None]).all()
    some = cub.read(raw, subset=True, classes=[3])
    assert some.embeddings[:, 0, 0].tolist() == [4, 5] and some.class_names == {3: "003.Jay"}


def test_classes_need_only_their_own_files(raw):
    for path in (raw / "CUB_200_2011/images/002.Owl").iterdir():
        path.unlink()
    assert cub.read(raw, subset=True, classes=[1, 3]).names == NAMES[:2] + NAMES[4:]
    with pytest.raises(SDNError, match="Owl_1.jpg is missing"):
        cub.read(raw, subset=True, classes=[2])
    with pytest.raises(SDNError, match=r"classes \[7\] are not .* 3 classes 1 to 3"):
        cub.read(raw, subset=True, classes=[1, 7])


def edit(name, change):
    def damage(raw):
        path = raw / name
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return damage


def repickle(name, change, protocol=0):
    def damage(raw):
        pickled(raw)
        dump(raw / name, change(pickle.loads((raw / name).read_bytes())), protocol)

    return damage


def without(name):
    def damage(raw):
        pickled(raw)
        (raw / name).unlink()

    return damage


def changed(array, value):
    array[1, 2, 3] = value
    return array


TOLD = "text_c10/002.Owl/Owl_1.txt"
SPOT = "train/char-CNN-RNN-embeddings.pickle"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: (raw / "text_c10/002.Owl/Owl_9.txt").touch(), "Owl_9.txt belongs to no image"),
        (lambda raw: (raw / "CUB_200_2011/images/Owl.jpg").touch(), "Owl.jpg belongs to no image"),
        (lambda raw: (raw / "text_c10").rename(raw / "text"), "text_c10 is missing"),
        (lambda raw: (raw / "CUB_200_2011/classes.txt").unlink(), "classes.txt cannot be read"),
        (edit(TOLD, lambda own: own[:9]), "Owl_1.txt has 9 captions, expected 10"),
        (edit(TOLD, lambda own: own[:9] + [" \n"]), "Owl_1.txt has 9 captions"),
        (edit(TOLD, lambda own: own + ["one more\n"]), "Owl_1.txt has 11 captions"),
        (lambda raw: (raw / TOLD).write_bytes(b"caf\xe9\n" * 10), "Owl_1.txt cannot be read"),
        (
            edit("CUB_200_2011/image_class_labels.txt", lambda own: own[:5]),
            "image_class_labels.txt has 5 lines and images.txt 6; image 6",
        ),
        (
            edit("CUB_200_2011/image_class_labels.txt", lambda own: ["1 2\n", *own[1:]]),
            "images.txt has '001.Auk/Auk_1.jpg' as image 1.*'002.Owl'",
        ),
        (
            edit("CUB_200_2011/images.txt", lambda own: ["1 ../Auk_1.jpg\n", *own[1:]]),
            "images.txt has '../Auk_1.jpg'",
        ),
        (edit("CUB_200_2011/images.txt", lambda own: [*own, own[0]]), "images.txt, line 7"),
        (
            edit("CUB_200_2011/bounding_boxes.txt", lambda own: ["1 2 3 4\n", *own[1:]]),
            "bounding_boxes.txt, line 1",
        ),
        (
            edit("CUB_200_2011/bounding_boxes.txt", lambda own: ["1 2 3 nan 5\n", *own[1:]]),
            "bounding_boxes.txt, image 1: '2 3 nan 5' is no box",
        ),
        (without("test/filenames.pickle"), "test/filenames.pickle cannot be read"),
        (without("test/char-CNN-RNN-embeddings.pickle"), "test/char-CNN-RNN-embeddings.pickle can"),
        (
            repickle("train/filenames.pickle", lambda own: {}),
            "train/filenames.pickle holds no list",
        ),
        (
            repickle("train/filenames.pickle", lambda own: [*own[1:], "003.Jay/Jay_9"]),
            "train/filenames.pickle lists '003.Jay/Jay_9', which",
        ),
        (
            repickle("train/filenames.pickle", lambda own: own[:-1]),
            "train/filenames.pickle and test/filenames.pickle list 5 .* 6 images, and '002.Owl/Owl",
        ),
        (
            repickle("test/filenames.pickle", lambda own: [*own, own[0]]),
            "test/filenames.pickle list 7 names for 6 images, and '001.Auk/Auk_2'",
        ),
        (
            repickle("train/class_info.pickle", lambda own: own[::-1]),
            "train/class_info.pickle has the class .*2.* at place 0, where the data set has 3",
        ),
        (
            repickle("test/class_info.pickle", lambda own: own[:1]),
            "test/class_info.pickle holds no",
        ),
        (repickle(SPOT, lambda own: own[:-1], 2), "embeddings.pickle holds no embeddings of 4"),
        (repickle(SPOT, lambda own: own[:, :9], 2), r"embeddings.pickle has .*\(9, 1024\)"),
        (repickle(SPOT, lambda own: own.astype(int), 2), "embeddings.pickle has .*int64"),
        (
            repickle(SPOT, lambda own: own.astype("f2"), 2),
            "embeddings.pickle has .* float16 before",
        ),
        (repickle(SPOT, lambda own: changed(own, np.nan), 2), "embeddings.pickle has at place 1"),
    ],
)
def test_bad_folders_are_refused(raw, tmp_path, damage, words):
    damage(raw)
    with pytest.raises(SDNError, match=words):
        prepare(raw, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_part_may_lack_pictures_or_captions_of_the_list(raw):
    (raw / TOLD).unlink()
    (raw / "CUB_200_2011/images/003.Jay/Jay_1.jpg").unlink()
    pickled(raw)
    reading = cub.read(raw, subset=True)
    assert reading.names == [*NAMES[:2], NAMES[3], NAMES[5]]
    assert reading.embeddings[:, 0, 0].tolist() == [0, 1, 3, 5] and len(reading.boxes) == 4
    counts = {key: reading.source[key] for key in ("left_out", "unpictured", "uncaptioned")}
    assert counts == {"left_out": 1, "unpictured": 1, "uncaptioned": 1}


@pytest.mark.parametrize("lost", ["CUB_200_2011/images/002.Owl/Owl_1.jpg", TOLD])
def test_the_whole_data_set_lacks_nothing(raw, monkeypatch, lost):
    monkeypatch.setattr(cub, "CUB", replace(cub.CUB, counts={"train": 4, "test": 2}))
    assert len(cub.read(raw).names) == 6
    (raw / lost).unlink()
    with pytest.raises(SDNError, match=f"{lost} is missing .1 such file.: unpack .*--subset"):
        cub.read(raw)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_text_files_of_any_editor(raw, mark, end):
    plain = cub.read(raw, subset=True)
    for path in [*(raw / "CUB_200_2011").glob("*.txt"), *(raw / "text_c10").rglob("*.txt")]:
        path.write_bytes(mark + path.read_bytes().replace(b"\n", end))
    found = cub.read(raw, subset=True)
    assert found.captions == plain.captions and found.names == plain.names
    assert (found.boxes == plain.boxes).all() and found.class_names == plain.class_names


def test_what_macs_and_windows_add_is_passed_over(raw):
    plain = cub.read(raw, subset=True)
    images, told = raw / "CUB_200_2011" / "images", raw / "text_c10"
    for path in (
        images / "002.Owl" / "._Owl_1.jpg",
        images / "__MACOSX" / "002.Owl" / "Owl_9.jpg",
        images / ".DS_Store",
        told / "002.Owl" / "._Owl_1.txt",
        told / "002.Owl" / "Thumbs.db",
        told / "desktop.ini",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    found = cub.read(raw, subset=True)
    assert found.images == plain.images and found.captions == plain.captions


@pytest.mark.parametrize("part", ["CUB_200_2011", "text_c10", "CUB_200_2011/images"])
def test_missing_data_name_the_program_that_fetches_them(raw, part):
    home = raw.rename(raw.with_name("my birds"))
    (home / part).rename(home / "elsewhere")
    words = f"{part} is missing: fetch it with `python data_scripts/fetch_birds.py '{home}'`"
    with pytest.raises(SDNError, match=re.escape(words)):
        cub.read(home, subset=True)


def test_a_box_is_measured_on_the_picture_as_it_is_stored(raw, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = raw / "CUB_200_2011" / "images" / f"{NAMES[0]}.jpg"
    stored = Image.open(path).copy()
    stored.save(path, exif=exif, quality=100, subsampling=0)
    made = prepare(raw, tmp_path, size=8, crop="stackgan", resize="box")
    turned = preparing.crop_to(Image.open(path), (10, 5, 16, 12)).transpose(
        Image.Transpose.ROTATE_270
    )
    np.testing.assert_array_equal(made.images[0], turned.resize((8, 8), Image.Resampling.BOX))


def test_a_class_in_both_splits_is_refused(raw, tmp_path):
    pickled(raw, embeddings=None)
    dump(raw / "train/filenames.pickle", NAMES[1:])
    dump(raw / "test/filenames.pickle", NAMES[:1])
    with pytest.raises(SDNError, match=r"test/filenames.pickle shares the classes \[1\]"):
        prepare(raw, tmp_path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-400])


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "Jay_2.jpg is no whole image .*truncated"),
        (lambda path: path.write_text("<html>"), "Jay_2.jpg is no whole image"),
        (lambda path: path.unlink(), "Jay_2.jpg is no whole image .*No such file"),
        (
            lambda path: Image.new("RGB", (9, 30)).save(path),
            r"Jay_2.jpg: the box \(10.0, 5.0, 16.0, 12.0\) lies outside the image of \(9, 30\)",
        ),
    ],
)
def test_bad_images_leave_nothing_behind(raw, tmp_path, monkeypatch, damage, words, processes):
    monkeypatch.setattr(preparing, "IMAGES_PER_JOB", 2)
    reading = cub.read(raw, subset=True)
    damage(reading.images[-1])
    with pytest.raises(SDNError, match=words):
        out = tmp_path / "out" / "birds"
        photographs.prepare(reading, out, crop="stackgan", processes=processes)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "size=0"),
        ({"size": 2.5}, "size=2.5"),
        ({"resize": "bicubik"}, "did you mean 'bicubic'"),
        ({"crop": "boxes"}, "did you mean 'box'"),
        ({"facing": "rigth"}, "did you mean 'right'"),
        ({"facing": "right"}, "do not say which way they face"),
    ],
)
def test_bad_options_are_refused(raw, tmp_path, options, words):
    with pytest.raises(SDNError, match=words):
        prepare(raw, tmp_path, **options)
    assert not (tmp_path / "out").exists()


def test_the_script(raw, tmp_path, capsys):
    main = runpy.run_path(str(ROOT / "data_scripts" / "prepare.py"))["main"]
    out = tmp_path / "out"
    asked = ["birds", str(raw), str(out), "--size", "16", "--processes", "1"]
    assert main(asked) == 2
    assert "--subset" in capsys.readouterr().err and not out.exists()
    assert main([*asked, "--subset", "--crop", "--classes", "1", "2"]) == 0
    assert "2 images to train on, 2 to test on" in capsys.readouterr().err
    made = prepared.load(out)
    assert made.size == 16 and "0.75" in made.manifest["source"]["crop"]
    (raw / "facing.txt").write_text("".join(f"{name} left\n" for name in NAMES))
    assert main([*asked, "--subset", "--crop", "box", "--facing", "right"]) == 0
    assert "6 mirrored, 0 birds of unknown side" in capsys.readouterr().err
    assert "box itself" in prepared.load(out).manifest["source"]["crop"]


# --- which way the birds face ------------------------------------------------------------------


def parts(folder, rows):
    (folder / "CUB_200_2011" / "parts").mkdir()
    lines(folder / "CUB_200_2011" / "parts" / "part_locs.txt", rows)


BEAK, TAIL, WING, LEG = 2, 14, 9, 8
SEEN = [
    (1, BEAK, 3.0, 9.0, 1), (1, TAIL, 30.0, 9.0, 1),  # left
    (2, BEAK, 30.0, 9.0, 1), (2, TAIL, 3.0, 9.0, 1),  # right
    (3, BEAK, 3.0, 9.0, 0), (3, TAIL, 30.0, 9.0, 1),  # its front is hidden
    (4, BEAK, 3.0, 9.0, 1), (4, TAIL, 0.0, 0.0, 0), (4, WING, 20.0, 9.0, 1),  # left, by its wing
    (5, BEAK, 8.0, 9.0, 1), (5, TAIL, 8.0, 9.0, 1),  # straight ahead
    (6, BEAK, 8.0, 9.0, 1), (6, LEG, 12.0, 9.0, 1),
]  # fmt: skip


def test_the_beak_is_before_the_tail(raw):
    parts(raw, SEEN)
    reading = facing.add_facing(cub.read(raw, subset=True), raw)
    assert reading.facing == ["left", "right", None, "left", None, None]
    assert reading.source["facing_from"] == "CUB_200_2011/parts/part_locs.txt"
    assert reading.source["facing_from"] in reading.source["md5"]


def test_birds_that_face_the_other_way_are_mirrored_and_counted(raw, tmp_path):
    plain = prepare(raw, tmp_path, size=8)
    parts(raw, SEEN)
    reading = facing.add_facing(cub.read(raw, subset=True), raw)
    made = photographs.prepare(reading, tmp_path / "right", 8, facing="right", processes=1)
    for row, side in enumerate(reading.facing):
        wanted = plain.images[row][:, ::-1] if side == "left" else plain.images[row]
        np.testing.assert_array_equal(made.images[row], wanted)
    source = made.manifest["source"]
    assert (source["facing"], source["mirrored"], source["facing_unknown"]) == ("right", 2, 3)
    source = plain.manifest["source"]
    assert (source["facing"], source["mirrored"], source["facing_unknown"]) == (None, 0, None)


def test_a_list_beside_the_archive_goes_first(raw):
    parts(raw, SEEN)
    (raw / "CUB_200_2011/facing.txt").write_text("".join(f"{name} left\n\n" for name in NAMES))
    reading = facing.add_facing(cub.read(raw, subset=True), raw)
    assert reading.facing == ["left"] * 6
    assert reading.source["facing_from"] == "CUB_200_2011/facing.txt"
    (raw / "facing.txt").write_text("".join(f"{name} right\n" for name in NAMES))
    assert facing.add_facing(cub.read(raw, subset=True), raw).facing == ["right"] * 6


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (None, "part_locs.txt is missing"),
        (f"{NAMES[0]} left\n", r"has no line for .*_2 \(5 such names\)"),
        (f"{NAMES[0]} left\n{NAMES[0]} left\n", "line 2: .* is no new name"),
        (f"{NAMES[0]} up\n", "line 1: .* is no new name"),
        ("left\n", "line 1: .* is no new name"),
    ],
)
def test_bad_lists_are_refused(raw, listed, words):
    if listed:
        (raw / "facing.txt").write_text(listed)
    with pytest.raises(SDNError, match=words):
        facing.add_facing(cub.read(raw, subset=True), raw)


@pytest.mark.parametrize("row", ["1 2 3.0 9.0", "1 2 x 9.0 1"])
def test_bad_parts_are_refused(raw, row):
    parts(raw, [row.split()])
    with pytest.raises(SDNError, match=r"part_locs.txt, line 1: .* is no image, part"):
        facing.add_facing(cub.read(raw, subset=True), raw)


def test_real_birds_at_full_size_agree_with_the_prepared_crops(shared, tmp_path):
    """Photographs that two folders share: the official ones, cut here, and others' cuts of them."""
    both = {}
    for name, crop in (("cub10", "box"), ("cub100", None)):
        folder = shared / "datasets" / name
        reading = cub.read(folder, subset=True, classes=(1, 4, 7, 10))
        reading = facing.add_facing(reading, folder)
        made = photographs.prepare(reading, tmp_path / name, 64, crop, processes=1)
        both[name] = {n: (made.images[k], reading.facing[k]) for k, n in enumerate(made.names)}
    names = sorted(set(both["cub10"]) & set(both["cub100"]))
    assert len(names) > 200
    pairs = [(both["cub10"][n], both["cub100"][n]) for n in names]
    apart = [np.abs(a.astype(float) - b).mean() for (a, _), (b, _) in pairs]
    assert max(apart) < 6
    known = [a == b for (_, a), (_, b) in pairs if a]
    assert len(known) > 0.98 * len(names) and np.mean(known) > 0.85
