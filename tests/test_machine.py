"""What a run ran on, and the memory that it keeps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
