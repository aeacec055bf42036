"""Bad input at the command line: one line that says what and where, status 2, nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdn_lib import profiles, runs
from sdn_lib.cli import main


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project folder with the smoke data and two trained runs."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profiles, "ROOT", folder)
        p = profiles.load("smoke", output_dir=str(folder / "runs"))
        runs.get("stage_one", p)
        yield folder


def said(capsys, *arguments):
    status = main([str(a) for a in arguments])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2 and error.startswith("error: "), error
    return error


def sample(home, *arguments, output_dir="runs"):
    return (
        "sample", "--profile", "smoke", "--run", "stage_one", "--out", home / "out.png",
        "--output-dir", home / output_dir, *arguments,
    )  # fmt: skip


def test_good_input_paints(home):
    assert main([str(a) for a in sample(home, "a small red finch", "an owl")]) == 0
    assert (home / "out.png").stat().st_size > 100
    (home / "out.png").unlink()


def test_wrong_profile(capsys):
    assert "did you mean 'smoke'" in said(capsys, "data", "--profile", "smok")


def test_unknown_run(home, capsys):
    error = said(capsys, "train", "stage_won", "--profile", "smoke", "--output-dir", home / "x")
    assert "did you mean" in error and "'stage_one'" in error
    assert not (home / "x").exists()


@pytest.mark.parametrize(
    ("captions", "words"),
    [((" ",), "caption 0 is empty"), (("a finch", ""), "caption 1 is empty"), ((), "nothing to")],
)
def test_empty_caption(home, capsys, captions, words):
    assert words in said(capsys, *sample(home, *captions))
    assert not (home / "out.png").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a red finch\na caf\xe9 bird\n", "line 2, is not UTF-8 (byte 0xe9)"),
        (b"a red finch\n\nan owl\n", "line 2, is empty"),
        (b"", "line 1, is empty"),
        (None, "captions.txt is missing"),
    ],
)
def test_bad_caption_file(home, capsys, tmp_path, content, words):
    path = tmp_path / "captions.txt"
    if content is not None:
        path.write_bytes(content)
    error = said(capsys, *sample(home, "--file", path))
    assert words in error and str(path) in error
    assert not (home / "out.png").exists()


def test_damaged_data_folder(home, capsys):
    folder = profiles.load("smoke").data.folder
    path = folder / "images.npy"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        for command in ("data", "evaluate"):
            error = said(capsys, command, "--profile", "smoke")
            assert str(path) in error and "delete" in error
    finally:
        path.write_bytes(content)


def copied(home, name):
    shutil.rmtree(home / name, ignore_errors=True)
    shutil.copytree(home / "runs", home / name)
    return home / name / "stage_one" / "weights.safetensors"


def test_truncated_checkpoint(home, capsys):
    path = copied(home, "truncated")
    path.write_bytes(path.read_bytes()[:5000])
    error = said(capsys, *sample(home, "a finch", output_dir="truncated"))
    assert str(path) in error and "damaged or cut short" in error
    assert not (home / "out.png").exists()


def test_checkpoint_of_another_architecture(home, capsys):
    path = copied(home, "other")
    shutil.copy(home / "runs" / "teacher" / "weights.safetensors", path)
    error = said(capsys, *sample(home, "a finch", output_dir="other"))
    assert str(path) in error and "another architecture" in error


def test_unknown_parameter_of_a_chapter(capsys, monkeypatch):
    monkeypatch.setattr(profiles, "ROOT", Path(__file__).resolve().parent.parent)
    arguments = ("reproduce", "--profile", "smoke", "--chapters", "5", "-p", "sede", "1")
    assert "'sede'" in said(capsys, *arguments)


def test_a_picture_that_is_no_png(home, capsys):
    assert "end it in .png" in said(capsys, "sample", "x", "--out", home / "a.jpg")
