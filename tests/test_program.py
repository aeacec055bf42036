"""Every program ends with the same exit statuses and one line, and says little in a log."""

from __future__ import annotations

import errno
import io
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from sdn_lib import program
from sdn_lib.captions import CaptionWarning, read_captions
from sdn_lib.errors import SDNError, counted, first_line
from sdn_lib.progress import Progress

ROOT = Path(__file__).resolve().parent.parent


def refuse():
    raise PermissionError(errno.EACCES, "Permission denied", "/data/birds")


def interrupt():
    raise KeyboardInterrupt


def warned():
    warnings.warn("one caption is long", CaptionWarning, stacklevel=2)
    warnings.warn("something else", UserWarning, stacklevel=2)


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


def test_progress_without_an_error_stream_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress("training", "steps") as progress:
        progress(1, 1, 0.5)


def test_a_closed_input_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SDNError, match="the input is closed"):
        read_captions("-")


def test_the_first_line_of_an_error_or_its_kind():
    found = [first_line(e) for e in (RuntimeError("\n one\ntwo"), AssertionError())]
    assert found == ["one", "AssertionError"]


def test_counted():
    assert [counted(n, "picture") for n in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]
    assert counted(2, "entry", "entries") == "2 entries"


def test_a_log_gets_few_lines(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # of a test before this one
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
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with Progress("preparing", "pictures") as progress:
        progress(40, 100)
        progress(100, 100)
    shown = sys.stderr.getvalue()
    assert "100/100" in shown and shown.endswith("\n")


@pytest.mark.filterwarnings("always")
def test_what_cannot_be_read_of_captions_is_a_note(capsys):
    with warnings.catch_warnings():
        warnings.resetwarnings()
        usual = warnings.formatwarning
        warnings.showwarning = lambda *what: sys.stderr.write(warnings.formatwarning(*what[:4]))
        assert program.run(warned) == 0
        assert warnings.formatwarning is usual
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "note: one caption is long"
    assert "UserWarning: something else" in rest[0]
