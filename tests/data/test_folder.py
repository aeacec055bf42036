from __future__ import annotations

import runpy
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdn_lib.data import prepared
from sdn_lib.data.photographs import folder
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parents[2]
TABLE = """image,caption,class,split
a/one.png,"a red bird, small",red bird,train
a/one.png,the bird is red,red bird,train
two.jpg,a blue bird,blue bird,test
"""


@pytest.fixture
def root(tmp_path):
    home = tmp_path / "mine"
    (home / "a").mkdir(parents=True)
    Image.new("RGB", (40, 30), (200, 0, 0)).save(home / "a" / "one.png")
    Image.new("L", (30, 50), 90).save(home / "two.jpg")
    (home / "captions.csv").write_text(TABLE)
    return home


def test_pictures_captions_classes_and_splits(root):
    reading = folder.read(root)
    assert reading.names == ["a/one.png", "two.jpg"]
    assert reading.captions == [["a red bird, small", "the bird is red"], ["a blue bird"] * 2]
    assert reading.class_names == {1: "red bird", 2: "blue bird"} and reading.class_ids == [1, 2]
    assert reading.splits == ["train", "test"]


def test_the_script_prepares_it(root, tmp_path):
    main = runpy.run_path(str(ROOT / "data_scripts" / "prepare.py"))["main"]
    assert main(["folder", str(root), str(tmp_path / "out"), "--size", "32"]) == 0
    data = prepared.load(tmp_path / "out")
    assert data.images.shape == (2, 32, 32, 3)
    assert (np.asarray(data.images[0]) == (200, 0, 0)).all()
    assert data.manifest["source"]["kind"] == "folder"


def test_without_class_and_split_a_tenth_is_drawn_by_name(root):
    names = [f"{k}.png" for k in range(300)]
    for name in names:
        Image.new("RGB", (4, 4)).save(root / name)
    lines = "\n".join(f"{name},a thing" for name in names)
    (root / "captions.csv").write_text(f"image,caption\n{lines}\n")
    first, again = folder.read(root), folder.read(root)
    assert first.splits == again.splits and len(set(first.class_ids)) == 300
    drawn = [n for n, s in zip(first.names, first.splits, strict=True) if s == "test"]
    assert len(drawn) == 31 and drawn[:3] == ["14.png", "23.png", "25.png"]


def test_byte_order_mark_and_line_breaks_in_quotes(root):
    text = "\ufeff" + TABLE.replace("a red bird, small", "a red\nbird")
    (root / "captions.csv").write_text(text, encoding="utf-8")
    assert folder.read(root).captions[0][0] == "a red\nbird"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image,", "picture,", "no column 'image'"),
        ("class,split", "klass,split", "unknown column 'klass'.*did you mean 'class'"),
        ("two.jpg", "three.jpg", "line 4: .*three.jpg is missing"),
        ("two.jpg", "../two.jpg", "line 4: .*lies outside"),
        ("a blue bird", " ", "line 4: the caption of 'two.jpg' is empty"),
        (",test", ",tset", "line 4: unknown split 'tset': did you mean 'test'"),
        ("the bird is red,red bird", "the bird is red,blue bird", "line 3: .*was a 'red bird'"),
        ("blue bird,test", "red bird,test", "line 4: the class 'red bird' is in both splits"),
        ("blue bird,test", "blue bird,train", "leaves no picture to test on"),
        ('"a red bird, small"', "a red bird, small", "line 2, has not 4 fields"),
        ('small"', "small", "no CSV .*close every double quote"),
    ],
)
def test_bad_tables_name_file_and_line(root, old, new, words):
    (root / "captions.csv").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(SDNError, match=words) as error:
        folder.read(root)
    assert "captions.csv" in str(error.value)


def test_missing_empty_and_not_utf8(root):
    for text, line in ((TABLE.replace("small", "petit caf\xe9"), 2), ("\xe9" + TABLE, 1)):
        (root / "captions.csv").write_bytes(text.encode("latin1"))
        with pytest.raises(SDNError, match=f"line {line} is not UTF-8.: save it as 'CSV UTF-8'"):
            folder.read(root)
    (root / "captions.csv").write_bytes(TABLE.encode("utf-16-le"))  # without its mark
    with pytest.raises(SDNError, match="not UTF-8"):
        folder.read(root)
    (root / "captions.csv").write_text("image,caption\n")
    with pytest.raises(SDNError, match="names no picture"):
        folder.read(root)
    (root / "captions.csv").unlink()
    with pytest.raises(SDNError, match="captions.csv is missing: write it with the columns"):
        folder.read(root)
    with pytest.raises(SDNError, match="nowhere is no folder"):
        folder.read(root / "nowhere")


# --- tables of any editor -------------------------------------------------------------------------

PLAIN = TABLE.replace('"a red bird, small"', "a small red bird")


def as_before(root, content):
    """Whether the table means what the plain one means."""
    (root / "captions.csv").write_bytes(PLAIN.encode())
    plain = folder.read(root)
    (root / "captions.csv").write_bytes(content)
    found = folder.read(root)
    same = ("names", "captions", "class_ids", "class_names", "splits", "images")
    return all(getattr(found, name) == getattr(plain, name) for name in same)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_line_ends_and_separators(root, encoding, end, separator):
    text = PLAIN.replace("\n", end).replace(",", separator)
    assert as_before(root, text.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_of_either_byte_order(root, encoding):
    assert as_before(root, ("\ufeff" + PLAIN).encode(encoding))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("\n", "\n,,,\n") + ",,,\n , , ,\n\n",
        lambda t: "\n\n" + t.replace("\n", "\n\n"),
        lambda t: t.replace("\n", ",,,\n"),
        lambda t: "sep=;\n" + t.replace(",", ";"),
        lambda t: t.removesuffix("\n"),
        lambda t: t.replace("image,caption,class,split", "Image, Caption ,CLASS,Split"),
        lambda t: t.replace("image,caption,class,split", '"image","caption","class","split"'),
        lambda t: t.replace(",train", ",Train").replace(",test", ",TEST"),
        lambda t: t.replace("a/one.png", "a\\one.png"),
        lambda t: t.replace("a/one.png", "./a//one.png", 1),
        lambda t: t.replace("a/one.png", "A/ONE.PNG").replace("two.jpg", "two.JPG"),
    ],
)
def test_what_spreadsheets_and_people_write(root, change):
    assert as_before(root, change(PLAIN).encode())


def test_semicolons_leave_commas_to_the_captions(root):
    (root / "captions.csv").write_text(
        "image;caption;split\na/one.png;a red bird, small;train\ntwo.jpg;a bird;test\n"
    )
    assert folder.read(root).captions == [["a red bird, small"], ["a bird"]]
    (root / "captions.csv").write_text("image;caption\na/one.png;a red bird; small\n")
    with pytest.raises(SDNError, match="line 2, has not 2 fields: put captions with semicolons"):
        folder.read(root)


def test_optional_fields_at_the_end_may_be_left_out(root):
    lines = "image,caption,split,class\ntwo.jpg,a bird,test\na/one.png,a red bird,train,red\n"
    (root / "captions.csv").write_text(lines)
    assert folder.read(root).class_names == {1: "two.jpg", 2: "red"}


def test_lines_are_counted_as_an_editor_does(root):
    text = "sep=,\n" + TABLE.replace("a red bird, small", "a red\nbird")
    text = text.replace("\n", "\r\n")
    (root / "captions.csv").write_bytes(text.encode())
    assert folder.read(root).captions[0][0] == "a red\nbird"
    (root / "captions.csv").write_bytes(text.replace("two.jpg", "three.jpg").encode())
    with pytest.raises(SDNError, match="line 6: .*three.jpg is missing"):
        folder.read(root)


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_accents_composed_or_not_name_one_picture(root, stored, written):
    name = "m\u00e9sange bleue.png"
    Image.new("RGB", (4, 4), (0, 0, 250)).save(root / unicodedata.normalize(stored, name))
    row = unicodedata.normalize(written, f"{name},a blue bird,m\u00e9sange,train")
    (root / "captions.csv").write_text(f"{TABLE}{row}\n{name},again,m\u00e9sange,train\n", "utf-8")
    reading = folder.read(root)
    assert reading.names[2] == name and reading.captions[2] == ["a blue bird", "again"]
    assert reading.class_names[3] == "m\u00e9sange" and reading.images[2].is_file()


def test_the_table_too_may_have_other_capitals(root):
    (root / "captions.csv").rename(root / "Captions.CSV")
    assert folder.read(root).names == ["a/one.png", "two.jpg"]


def test_a_picture_has_one_name_however_its_path_is_written(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    for written in (root.resolve() / "two.jpg", "../mine/two.jpg", "a/../two.jpg"):
        (root / "captions.csv").write_text(TABLE.replace("two.jpg", str(written)))
        reading = folder.read("mine")
        assert reading.names == ["a/one.png", "two.jpg"], written
        assert reading.images[1].is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,caption\nONE.png,a bird\n", "'ONE.png' may be 'One.png' or 'oNE.png': write"),
        ("image,caption\n,a bird\n", "line 2: no picture is named"),
        (f"image,caption\n{'a bird ' * 99},two.jpg\n", "is missing"),
        ("image,caption,image\ntwo.jpg,a bird,\n", "two columns 'image'"),
        ("image,caption\n,,\n", "names no picture"),
        ("", "no column 'image'"),
        ("image,,caption\ntwo.jpg,,a bird\n", "unknown column ''"),
    ],
)
def test_what_cannot_be_meant_is_named(root, text, words):
    for name in ("One.png", "oNE.png"):
        Image.new("RGB", (4, 4)).save(root / name)
    (root / "captions.csv").write_text(text)
    with pytest.raises(SDNError, match=words):
        folder.read(root)


def test_what_a_mac_adds_to_a_folder_changes_nothing(root):
    for name in ("._two.jpg", "._captions.csv", ".DS_Store", "Thumbs.db", "a/._one.png"):
        (root / name).write_bytes(b"\0\5\x16\7")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._two.jpg").write_bytes(b"\0\5\x16\7")
    assert folder.read(root).names == ["a/one.png", "two.jpg"]
