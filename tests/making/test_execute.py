"""Chapters run strictly, one run at a time, and leave executed copies and records."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from tiny_book import edit, executed, record, run

from sdn_lib import cli, files
from sdn_lib.book import execute
from sdn_lib.book.chapters import layout
from sdn_lib.book.execute import reproduce
from sdn_lib.book.gate import ChapterError, gate
from sdn_lib.errors import SDNError


def test_a_run_leaves_executed_copies_and_records(root: Path) -> None:
    lines = run(root, chapters=None, seed=3, parameters={"steps": 7})
    assert len(lines) == 2 and lines[0].startswith("00_first ") and "peak" in lines[0]
    made = record(root, "00_first")
    assert made["numbers"] == {"answer": 44.5, "used_profile": "smoke", "run_teacher": "loaded"}
    assert made["parameters"] == {"profile": "smoke", "seed": 3, "steps": 7}
    assert made["title"] == "First chapter"
    assert made["seconds"] > 0 and made["peak_memory_bytes"] > 20e6
    assert set(made["hardware"]) >= {"processor", "cores", "memory_bytes", "accelerators"}
    assert set(made["versions"]) >= {"python", "torch", "torchvision", "papermill"}
    assert made["git"] == {"commit": None, "dirty": None}
    notebook = executed(root, "00_first")
    assert "widgets" not in notebook.metadata
    assert str(root) not in nbformat.writes(notebook)
    names = {path.name for path in (root / "_build/smoke/executed").iterdir()}
    assert names == {"00_first.ipynb", "01_second.ipynb"}
    assert all(
        not c.get("outputs")
        for c in nbformat.read(root / "book/00_first.ipynb", as_version=4).cells
    )


def test_chapters_run_side_by_side_and_are_reported_as_alone(root: Path) -> None:
    alone = reproduce("smoke", root=root)
    together = reproduce("smoke", root=root, fresh=True, workers=2)
    for a, b in zip(alone, together, strict=True):
        assert (a["chapter"], a["numbers"]) == (b["chapter"], b["numbers"])
        assert a["origin"]["code"] == b["origin"]["code"]
        assert (a["workers"], b["workers"]) == (1, 2)
    edit(root, 2, "raise ValueError('no birds')")
    with pytest.raises(ChapterError, match="no birds") as caught:
        run(root, workers=2)
    assert "Traceback" in caught.value.detail
    with pytest.raises(SDNError, match="workers=0 is below 1"):
        run(root, workers=0)


def test_what_is_up_to_date_does_not_run_again(root: Path) -> None:
    run(root)
    first = record(root)
    assert "up to date" in run(root)[0]
    assert record(root) == first
    assert "peak" in run(root, fresh=True)[0]
    assert record(root)["started"] >= first["started"]


def test_a_second_run_waits_for_the_first_and_says_so(root: Path) -> None:
    place = layout("smoke", root)
    lines: list[str] = []
    second = threading.Thread(target=lambda: lines.extend(run(root, report=lines.append)))
    with files.alone(place.build / "executed"):
        second.start()
        second.join(3)
        assert second.is_alive() and not place.record("01_second").exists()
        assert lines == ["waiting for another `sdn` that is at work on profile smoke"]
    second.join(120)
    assert not second.is_alive() and "peak" in lines[1]


def test_what_cannot_be_written_is_one_line(
    root: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "_build").write_text("a file")
    for command in ("reproduce", "book"):
        assert cli.main([command, "--profile", "smoke"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        assert "_build" in said and "move it away" in said
    (root / "_build").unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/file")

    monkeypatch.setattr(execute, "fingerprints", full)
    assert cli.main(["reproduce", "--profile", "smoke", "--chapters", "1"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: /somewhere/file: no space left on device: free some space, then run the same "
        "command again\n"
    )


def test_a_failing_chapter_stops_the_run(root: Path, capfd: pytest.CaptureFixture) -> None:
    edit(root, 2, "print('before')\nraise KeyError('wings')", "00_first")
    assert cli.main(["reproduce", "--profile", "smoke", "--workers", "1"]) == 2
    said = capfd.readouterr().err
    assert "Traceback" in said and "raise KeyError" in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: chapter 00_first failed in cell In [3] with KeyError: 'wings'")
    assert "_build/smoke/executed/00_first.failed.ipynb" in last
    assert [p.name for p in (root / "_build/smoke/executed").iterdir()] == ["00_first.failed.ipynb"]
    assert not (root / "_build/smoke/results").exists()
    edit(root, 2, "answer = 1")
    edit(root, 0, "# First", "00_first")
    edit(root, 2, "answer = 1", "00_first")
    edit(root, 3, "pass", "00_first")
    assert cli.main(["reproduce", "--profile", "smoke"]) == 0
    assert not list((root / "_build/smoke/executed").glob("*.failed.ipynb"))


def test_an_error_on_purpose_is_told_without_a_traceback(
    root: Path, capfd: pytest.CaptureFixture
) -> None:
    edit(root, 2, "from sdn_lib.errors import SDNError\nraise SDNError('no bird: paint one')")
    assert cli.main(["reproduce", "--profile", "smoke", "--chapters", "1"]) == 2
    said = capfd.readouterr().err
    assert "with SDNError: no bird: paint one; see _build" in said and "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("error: chapter 01_second failed in cell")


def test_papermill_runs_a_chapter_by_itself(root: Path) -> None:
    command = [sys.executable, "-m", "papermill", "book/00_first.ipynb", "out.ipynb"]
    command += ["-p", "profile", "smoke", "--log-level", "ERROR", "--no-progress-bar"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    done = nbformat.read(root / "out.ipynb", as_version=4)
    source = nbformat.read(root / "book/00_first.ipynb", as_version=4)
    assert gate(source, done, "00_first")["used_profile"] == "smoke"


def test_a_build_folder_on_another_place_works(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (root / "_build").symlink_to(tmp_path / "disk")
    assert "peak" in run(root)[0] and "up to date" in run(root)[0]
    assert (tmp_path / "disk/smoke/executed/01_second.ipynb").is_file()
