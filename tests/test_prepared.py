from __future__ import annotations

import json

import numpy as np
import pytest

from sdn_lib.data import prepared
from sdn_lib.data.prepared import PreparedError


def parts(count=6, size=32):
    draw = np.random.default_rng(0)
    return {
        "images": draw.integers(0, 255, (count, size, size, 3)).astype(np.uint8),
        "captions": [[f"bird {i}", "a bird"] for i in range(count)],
        "class_ids": list(range(1, count + 1)),
        "names": [f"bird_{i}" for i in range(count)],
        "splits": ["train"] * (count - 2) + ["test"] * 2,
        "arrays": {"attributes": draw.integers(0, 3, (count, 2)).astype(np.uint8)},
        "tables": {"attributes": {"crown": ["red", "blue", "grey"]}},
        "source": {"generator": "test"},
    }


def test_round_trip(tmp_path):
    given = parts()
    prepared.write(tmp_path / "birds", **given)
    data = prepared.load(tmp_path / "birds")
    np.testing.assert_array_equal(data.images, given["images"])
    np.testing.assert_array_equal(data.arrays["attributes"], given["arrays"]["attributes"])
    assert data.captions == given["captions"] and data.names == given["names"]
    assert data.tables == given["tables"] and len(data) == 6 and data.size == 32
    assert data.indices("test").tolist() == [4, 5]
    assert isinstance(data.images, np.memmap) and not data.images.flags.writeable


def test_chunks_give_the_same_folder_as_one_array(tmp_path):
    given = parts()
    whole = prepared.write(tmp_path / "a", **given)
    given["images"] = iter([given["images"][:4], given["images"][4:]])
    assert prepared.write(tmp_path / "b", **given).checksum == whole.checksum


@pytest.mark.parametrize("file", ["images.npy", "captions.json", "arrays/attributes.npy"])
def test_a_damaged_file_is_named(tmp_path, file):
    prepared.write(tmp_path / "birds", **parts())
    path = tmp_path / "birds" / file
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(PreparedError, match=f"{file}.*SHA-256.*delete"):
        prepared.load(tmp_path / "birds")
    path.write_bytes(content[:-5])
    with pytest.raises(PreparedError, match=f"{file}.*bytes.*delete"):
        prepared.load(tmp_path / "birds", verify=False)
    path.unlink()
    with pytest.raises(PreparedError, match=f"{file} is missing"):
        prepared.load(tmp_path / "birds", verify=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: g["captions"].pop(), "captions has 5 rows"),
        (lambda g: g["captions"].__setitem__(2, ["fine", " "]), "'bird_2' has no caption"),
        (lambda g: g["names"].__setitem__(1, "bird_0"), "'bird_0' stands twice"),
        (lambda g: g["splits"].__setitem__(1, "tset"), "did you mean 'test'"),
        (lambda g: g.update(images=g["images"][:5]), "5 images came"),
        (lambda g: g.update(images=g["images"] / 255.0), "uint8"),
        (lambda g: g.update(images=iter([g["images"], g["images"]])), "expected 6 images"),
        (lambda g: g["arrays"].update(masks=np.zeros((5, 2))), "masks has 5 rows"),
    ],
)
def test_bad_input_writes_nothing(tmp_path, change, words):
    given = parts()
    change(given)
    with pytest.raises(PreparedError, match=words):
        prepared.write(tmp_path / "birds", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rewrite_keeps_the_old_folder(tmp_path):
    old = prepared.write(tmp_path / "birds", **parts())
    given = parts()

    def broken(images=given["images"]):
        yield images[:3]
        raise OSError("disk gone")

    given["images"] = broken()
    with pytest.raises(OSError):
        prepared.write(tmp_path / "birds", **given)
    assert prepared.load(tmp_path / "birds").checksum == old.checksum
    assert [p.name for p in tmp_path.iterdir()] == ["birds"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(PreparedError, match="no prepared folder"):
        prepared.write(tmp_path, **parts())
    assert (tmp_path / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"format": 1}), "\xff"])
def test_a_damaged_manifest_is_named(tmp_path, content):
    prepared.write(tmp_path / "birds", **parts())
    (tmp_path / "birds" / "manifest.json").write_bytes(content.encode("latin1"))
    with pytest.raises(PreparedError, match="manifest.json"):
        prepared.load(tmp_path / "birds")


def test_unknown_split_and_missing_folder(tmp_path):
    data = prepared.write(tmp_path / "birds", **parts())
    with pytest.raises(PreparedError, match="unknown split 'val'"):
        data.indices("val")
    with pytest.raises(PreparedError, match="prepare it first"):
        prepared.load(tmp_path / "nothing")


def test_is_prepared_compares_the_source(tmp_path):
    prepared.write(tmp_path / "birds", **parts())
    assert prepared.is_prepared(tmp_path / "birds", {"generator": "test"})
    assert not prepared.is_prepared(tmp_path / "birds", {"generator": "other"})
    assert not prepared.is_prepared(tmp_path)
