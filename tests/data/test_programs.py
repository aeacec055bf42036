"""The programs in data_scripts end alike, in any folder and shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sdn_lib.data import prepared

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "data_scripts"


def run(*command, **options):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        **options,
    )


@pytest.fixture
def mine(tmp_path):
    """A folder of pictures with a name that shells and old encodings dislike."""
    home = tmp_path / "mes photos d'été [1]"
    home.mkdir()
    lines = ["image,caption,split"]
    for number in range(70):
        name = f"é {number}.png"
        Image.new("RGB", (5, 4), (number, 0, 0)).save(home / name)
        lines.append(f"{name},a thing,{'train' if number else 'test'}")
    (home / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return home


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin1"])
def test_prepare_in_any_folder_and_shell(mine, tmp_path, encoding):
    link = tmp_path / "prepare them"
    link.symlink_to(SCRIPTS / "prepare.py")
    out = tmp_path / "prêtes à l'emploi" / "été"
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    asked = [link, "folder", mine.name, out, "--size", 8, "--processes", 2]
    done = run(*asked, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert len(prepared.load(out)) == 70
    lines = done.stderr.splitlines()
    assert lines[0] == "preparing: 70 of 70 pictures" and len(lines) == 3
    assert lines[1].endswith("69 images to train on, 1 to test on")
    assert done.stdout == "" and "\r" not in done.stderr


def test_prepare_notes_captions_that_cannot_be_read(mine, tmp_path):
    table = mine / "captions.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    for at, caption in ((1, "красная птица"), (2, "a red bird " * 30)):
        image, _, *rest = lines[at].split(",")
        lines[at] = ",".join([image, caption, *rest])
    table.write_text("\n".join(lines), encoding="utf-8")
    done = run(SCRIPTS / "prepare.py", "folder", mine, tmp_path / "out", "--size", 8, cwd=tmp_path)
    note = done.stderr.splitlines()[-1]
    assert note.startswith("note: 2 captions cannot be read whole; the first, 'красная птица': not")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["folder", "."], "captions.csv is missing"),
        (["birds", "my birds"], "fetch it with `python data_scripts/fetch_birds.py 'my birds'`"),
        (["flowers", "raw"], "fetch it with `python data_scripts/fetch_flowers.py raw`"),
        (["birds", "raw", "--processes", "0"], "processes=0: give 1 or more"),
        (["birds", "raw", "--processes", "-1"], "processes=-1: give 1 or more"),
    ],
)
def test_prepare_says_in_one_line_what_is_wrong(tmp_path, arguments, words):
    (tmp_path / "raw").mkdir()
    kind, raw, *options = arguments
    done = run(SCRIPTS / "prepare.py", kind, raw, "out", *options, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and words in done.stderr
    assert not (tmp_path / "out").exists()


def test_painting_says_in_one_line_what_is_wrong(tmp_path):
    (tmp_path / "file").write_text("precious")
    for out, options, words in (
        ("file", [], "is a file: choose another folder"),
        ("file/birds", [], "choose another place"),
        ("out", ["--processes", "-1"], "processes=-1: give 1 or more"),
    ):
        small = ["--species", 12, "--test-species", 2, "--images-per-species", 1, "--size", 16]
        done = run(SCRIPTS / "make_painted_birds.py", out, *small, *options, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: ") and words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_usage_errors_have_the_same_status(tmp_path, script):
    done = run(script, "--no-such-option", cwd=tmp_path)
    assert done.returncode == 2 and "usage:" in done.stderr
