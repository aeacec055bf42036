"""What a run ran on, and the memory that it keeps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sdn_lib import machine

CODE = """
import torch
from sdn_lib import machine
arranged = machine.keep_freed_memory()
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


def test_versions_name_what_is_installed(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("torch", "no-such-package"))
    assert list(machine.versions()) == ["python", "torch"]
