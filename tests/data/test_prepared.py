from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sdn_lib import files
from sdn_lib.data import folders, prepared
from sdn_lib.data.prepared import PreparedError
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parents[2]


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
        (lambda g: g["captions"].__setitem__(2, ["one"] * 9), "'bird_2' has 9 captions, 'bird_0'"),
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


BROKEN = {"format": 1, "count": 6, "source": {}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        json.dumps({"format": 1}),
        json.dumps({**BROKEN, "files": []}),
        json.dumps({**BROKEN, "files": {"images.npy": 3}}),
        "\xff",
    ],
)
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


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("index.json", "{}"),
        ("index.json", "[]"),
        ("index.json", '{"names": 3, "class_ids": 4, "splits": 5}'),
        ("index.json", '{"names": [[1], [2]], "class_ids": ["a"], "splits": []}'),
        ("captions.json", "[1, 2, 3, 4, 5, 6]"),
        ("captions.json", "{}"),
        ("tables.json", "[]"),
        ("tables.json", ""),
        ("images.npy", "no array"),
        ("arrays/attributes.npy", ""),
    ],
)
def test_files_that_fit_their_manifest_and_make_no_sense_are_named(tmp_path, file, content):
    prepared.write(tmp_path / "birds", **parts())
    path, list_of = tmp_path / "birds" / file, tmp_path / "birds" / "manifest.json"
    path.write_text(content)
    manifest = json.loads(list_of.read_text())
    manifest["files"][file] = {"bytes": len(content), "sha256": files.checksum(path)}
    list_of.write_text(json.dumps(manifest))
    with pytest.raises(PreparedError, match=f"birds.*{file.split('/')[-1]}.*delete .*birds and"):
        prepared.load(tmp_path / "birds")


def test_images_of_another_kind_are_named(tmp_path):
    prepared.write(tmp_path / "birds", **parts())
    path, list_of = tmp_path / "birds" / "images.npy", tmp_path / "birds" / "manifest.json"
    np.save(path, np.zeros((6, 3)))
    manifest = json.loads(list_of.read_text())
    manifest["files"]["images.npy"]["bytes"] = path.stat().st_size
    list_of.write_text(json.dumps(manifest))
    with pytest.raises(PreparedError, match="images.npy holds float64 .6, 3., no images"):
        prepared.load(tmp_path / "birds", verify=False)


# --- where data are written -----------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_arrays_are_stored_as_numpy_stores_them(tmp_path):
    draw = np.random.default_rng(0)
    arrays = {
        "half": draw.normal(size=(6, 2, 3)).astype(np.float16),
        "flags": draw.random((6, 4)) > 0.5,
        "turned": np.asfortranarray(draw.normal(size=(6, 5))),
        "none": np.zeros((6, 0), np.int64),
    }
    prepared.write(tmp_path / "birds", **{**parts(), "arrays": arrays})
    for name, array in arrays.items():
        np.save(tmp_path / "own.npy", np.ascontiguousarray(array))
        stored = tmp_path / "birds" / "arrays" / f"{name}.npy"
        assert stored.read_bytes() == (tmp_path / "own.npy").read_bytes()


def test_a_link_is_followed(tmp_path):
    (tmp_path / "disk" / "old").mkdir(parents=True)
    (tmp_path / "birds").symlink_to(tmp_path / "disk" / "old")
    (tmp_path / "new").symlink_to(tmp_path / "disk" / "new")  # leads nowhere yet
    for name, target in (("birds", "old"), ("birds", "old"), ("new", "new")):
        prepared.write(tmp_path / name, **parts())
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "disk" / target / "manifest.json").is_file()
    assert names(tmp_path) == ["birds", "disk", "new"]
    assert names(tmp_path / "disk") == ["new", "old"]


@pytest.mark.parametrize("seen", [True, False])
def test_a_folder_that_cannot_be_renamed_is_filled(tmp_path, monkeypatch, seen):
    home = tmp_path / "birds"
    (home / "lost+found").mkdir(parents=True)
    replace = os.replace

    def refuse(source, target):
        if Path(source) == home:
            raise OSError(errno.EBUSY, "Device or resource busy", str(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os.path, "ismount", lambda path: seen and Path(path) == home)
    for source in ("first", "second"):
        prepared.write(home, **{**parts(), "source": {"generator": source}})
        assert prepared.load(home).manifest["source"] == {"generator": source}
        assert names(home) == sorted([*prepared.OWN, "lost+found", "manifest.json"])
        assert names(tmp_path) == ["birds"]


def test_a_mounted_folder_that_was_half_filled_is_filled_again(tmp_path):
    home = tmp_path / "birds"
    prepared.write(home, **parts())
    (home / "manifest.json").unlink()
    with pytest.raises(PreparedError, match="no prepared folder"):
        prepared.write(home, **parts())
    (home / ".birds.12345678.partial").mkdir()
    (home / ".birds.partial.lock").touch()
    prepared.write(home, **parts())
    assert names(home) == sorted([*prepared.OWN, "manifest.json"])


def test_what_killed_writers_left_is_taken_away_at_once(tmp_path):
    script = (
        "import sys, time, test_prepared as t\n"
        "def images():\n"
        "    print('begun', flush=True)\n"
        "    time.sleep(60)\n"
        "    yield\n"
        "t.prepared.write(sys.argv[1], **{**t.parts(), 'images': images()})\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "birds[1]")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/data")])},
    )
    assert writer.stdout.readline() == b"begun\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    (tmp_path / ".birds[1].12345678.old").mkdir()
    (tmp_path / ".birds[1].other.12345678.partial").mkdir()  # of the folder birds[1].other
    assert len(names(tmp_path)) >= 3
    prepared.write(tmp_path / "birds[1]", **parts())
    assert names(tmp_path) == [".birds[1].other.12345678.partial", "birds[1]"]


def test_data_set_aside_by_a_writer_that_was_killed_come_back(tmp_path):
    old = prepared.write(tmp_path / "birds", **parts())
    (tmp_path / "birds").rename(tmp_path / ".birds.12345678.old")
    given = parts()
    given["images"] = iter([given["images"][:2]])
    with pytest.raises(PreparedError, match="2 images came"):
        prepared.write(tmp_path / "birds", **given)
    assert prepared.load(tmp_path / "birds").checksum == old.checksum
    assert names(tmp_path) == ["birds"]


def test_two_writers_of_one_folder_wait_for_each_other(tmp_path):
    busy, most, failed = [0], [0], []

    def slowly(images):
        busy[0] += 1
        most[0] = max(most[0], busy[0])
        time.sleep(0.1)
        yield images
        busy[0] -= 1

    def write():
        try:
            given = parts()
            prepared.write(tmp_path / "birds", **{**given, "images": slowly(given["images"])})
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == [] and most == [1]
    assert len(prepared.load(tmp_path / "birds")) == 6 and names(tmp_path) == ["birds"]


def test_what_the_system_refuses_is_one_line(tmp_path):
    (tmp_path / "file").write_text("precious")
    for folder in (tmp_path / "file", tmp_path / "file" / "birds", tmp_path / ("x" * 300)):
        with pytest.raises(SDNError, match="choose") as error:
            prepared.write(folder, **parts())
        assert "\n" not in str(error.value)
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
@pytest.mark.parametrize("call", ["_write_array", "_swap", "_dump"])
def test_a_full_or_forbidden_disk_is_one_line_and_leaves_nothing(
    tmp_path, monkeypatch, number, call
):
    old = prepared.write(tmp_path / "birds", **parts())

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), "somewhere")

    monkeypatch.setattr(folders if call == "_swap" else prepared, call, refuse)
    with pytest.raises(PreparedError, match="birds cannot be written: somewhere: .*(space|choose)"):
        prepared.write(tmp_path / "birds", **parts())
    assert prepared.load(tmp_path / "birds").checksum == old.checksum
    assert names(tmp_path) == ["birds"]


def test_a_limit_of_the_size_of_files_is_one_line(tmp_path):
    script = (
        "import resource, sys, test_prepared as t\n"
        "from sdn_lib import program\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))\n"
        "given = {**t.parts(), 'arrays': {'parts': t.np.zeros((6, 9_000))}}\n"
        "sys.exit(program.run(lambda: t.prepared.write(sys.argv[1], **given)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "birds")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/data")])},
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "birds cannot be written: file too large" in done.stderr and names(tmp_path) == []
