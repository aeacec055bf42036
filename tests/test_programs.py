"""The programs in data_scripts end alike, in any folder and shell, and say little in a log."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from sdn_lib import program
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError, counted
from sdn_lib.progress import Progress

ROOT = Path(__file__).resolve().parent.parent
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


def refuse():
    raise PermissionError(errno.EACCES, "Permission denied", "/data/birds")


def leave():
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def interrupt():
    raise KeyboardInterrupt


def bad():
    raise SDNError("the file is missing: fetch it")


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [
        (lambda: None, 0, ""),
        (lambda: 3, 3, ""),
        (bad, 2, "error: the file is missing: fetch it\n"),
        (refuse, 2, r"error: /data/birds: permission denied: make it writable .*\n"),
        (interrupt, 130, "interrupted; nothing is lost\n"),
    ],
)
def test_exit_statuses(capsys, work, status, said):
    assert program.run(work, "nothing is lost") == status
    assert re.fullmatch(said, capsys.readouterr().err)


def test_an_error_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        program.run(lambda: 1 // 0)


def test_a_reader_of_a_pipe_that_leaves_early():
    work = (
        "import sys; from sdn_lib import program\n"
        "def work():\n"
        "    for n in range(100_000): print(n)\n"
        "sys.exit(program.run(work))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", work],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_program_whose_output_is_closed():
    code = "import sys; from sdn_lib import program; sys.exit(program.run(lambda: print('done')))"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, code],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_counted():
    assert [counted(n, "picture") for n in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]
    assert counted(2, "entry", "entries") == "2 entries"


def test_a_log_gets_few_lines(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Progress("preparing", "pictures") as progress:
        for done in range(1, 101):
            now[0] += 1.0
            progress(done, 100)
    said = capsys.readouterr().err
    assert "\r" not in said and said.splitlines() == [
        f"preparing: {done} of 100 pictures" for done in (30, 60, 90, 100)
    ]


def test_a_terminal_gets_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("preparing", "pictures") as progress:
        progress(40, 100)
        progress(100, 100)
    shown = sys.stderr.getvalue()
    assert "100/100" in shown and shown.endswith("\n")


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
