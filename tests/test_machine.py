"""What a run ran on, and the memory that it keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from sdn_lib import machine

CODE = """
import torch
from sdn_lib import fast
arranged = fast.keep_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
def kept(megabytes, blocks):
    made = [torch.ones(megabytes * 2**20, dtype=torch.uint8) for _ in range(2 * blocks)]
    before = resident()
    del made[::2]  # not the last: the end of the heap goes back by itself
    return before - resident() < 0.3 * megabytes * blocks
print(arranged, kept(20, 6), kept(200, 1))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked")
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "True True False"),
        ({"MALLOC_MMAP_THRESHOLD_": str(2**20)}, "False False False"),
        ({f"MALLOC_{what}_THRESHOLD_": str(2**31 - 1) for what in ("MMAP", "TRIM")},
         "False True True"),
    ],
)  # fmt: skip
def test_middling_blocks_are_kept_unless_the_user_says_otherwise(variables, said):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**clean, **variables}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == said


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


@needs_git
def test_a_checkout_is_dirty_but_for_the_folder_that_does_not_count(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True)

    root = tmp_path.resolve()
    (root / "results").mkdir()
    for name in ("code.py", "results/table.json"):
        (root / name).write_text("1")
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        git(*arguments)
    assert machine.git_state(root)["dirty"] is False
    (root / "results" / "table.json").write_text("2")
    assert machine.git_state(root)["dirty"] is True
    assert machine.git_state(root, besides="results")["dirty"] is False
    (root / "code.py").write_text("2")
    assert machine.git_state(root, besides="results")["dirty"] is True


def checkout(folder):
    """Make a repository of one file, all committed, and return its commit."""
    folder.mkdir(parents=True)
    (folder / "code.py").write_text(folder.name)

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        command = ["git", "-C", str(folder), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True)

    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        git(*arguments)
    return git("rev-parse", "HEAD").stdout.strip()


@needs_git
def test_the_commit_is_that_of_the_folder_whatever_git_is_told(tmp_path, monkeypatch):
    ours, theirs = checkout(tmp_path / "a" / "ours"), checkout(tmp_path / "theirs")
    assert ours != theirs
    there = tmp_path / "theirs"
    for name, value in {
        "GIT_DIR": there / ".git",
        "GIT_WORK_TREE": there,
        "GIT_INDEX_FILE": there / ".git" / "index",
        "GIT_CEILING_DIRECTORIES": tmp_path / "a",
        "GIT_NAMESPACE": "x",
    }.items():
        monkeypatch.setenv(name, str(value))
    clean = {"commit": ours, "dirty": False}
    assert machine.git_state(tmp_path / "a" / "ours") == clean
    linked = tmp_path / "link"
    linked.symlink_to(tmp_path / "a" / "ours")
    assert machine.git_state(linked) == clean
    (tmp_path / "a" / "ours" / "code.py").write_text("other")
    assert machine.git_state(tmp_path / "a" / "ours")["dirty"] is True
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert machine.git_state(tmp_path / "a" / "ours") == {"commit": None, "dirty": None}


@needs_git
def test_what_is_no_checkout_of_its_own_has_no_commit(tmp_path, capfd):
    commit = checkout(tmp_path / "whole")
    nothing = {"commit": None, "dirty": None}
    (tmp_path / "whole" / "part").mkdir()
    assert machine.git_state(tmp_path / "whole" / "part") == nothing
    (tmp_path / "empty").mkdir()
    subprocess.run(["git", "init", "-q", str(tmp_path / "empty")], check=True, capture_output=True)
    assert machine.git_state(tmp_path / "empty") == nothing
    tree = ["git", "-C", str(tmp_path / "whole"), "worktree", "add", "-q", str(tmp_path / "tree")]
    subprocess.run(tree, check=True, capture_output=True)
    assert (tmp_path / "tree" / ".git").is_file()
    assert machine.git_state(tmp_path / "tree") == {"commit": commit, "dirty": False}
    assert capfd.readouterr() == ("", "")


@needs_git
def test_a_git_that_refuses_makes_no_noise(tmp_path, capfd, monkeypatch):
    checkout(tmp_path / "theirs")
    refusing = tmp_path / "bin" / "git"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2; exit 128\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{refusing.parent}:{os.environ['PATH']}")
    assert machine.git_state(tmp_path / "theirs") == {"commit": None, "dirty": None}
    assert capfd.readouterr() == ("", "")


def test_versions_name_what_is_installed(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("torch", "no-such-package"))
    assert list(machine.versions()) == ["python", "torch"]


@pytest.mark.parametrize(
    ("cores", "gigabytes", "accelerators", "at_most", "wanted"),
    [(2, 24, [], 4, 2), (2, 8, [], 4, 1), (1, 24, [], 4, 1), (16, 128, [], 4, 4),
     (8, 16, [], 4, 2), (1, 2, [], 4, 1), (16, 128, ["A GPU"], 4, 1), (16, 128, [], None, 16),
     (64, 128, [], None, 21)],
)  # fmt: skip
def test_as_many_notebooks_run_at_a_time_as_fit(
    cores, gigabytes, accelerators, at_most, wanted
) -> None:
    found = {"cores": cores, "memory_bytes": gigabytes * 1e9, "accelerators": accelerators}
    assert machine.side_by_side(found, at_most) == wanted
