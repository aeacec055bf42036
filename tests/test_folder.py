from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdn_lib.data import folder, prepared
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parent.parent
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
    assert 15 <= first.splits.count("test") <= 50


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
    (root / "captions.csv").write_bytes(TABLE.encode("utf-16"))
    with pytest.raises(SDNError, match="not UTF-8"):
        folder.read(root)
    (root / "captions.csv").write_text("image,caption\n")
    with pytest.raises(SDNError, match="names no picture"):
        folder.read(root)
    (root / "captions.csv").unlink()
    with pytest.raises(SDNError, match="captions.csv is missing: write it with the columns"):
        folder.read(root)
