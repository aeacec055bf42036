"""What a run ran on, and the memory that it keeps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import torch
from sdn_lib import machine
kept = machine.keep_freed_memory()
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
before = resident()
block = torch.ones(100 * 2**20, dtype=torch.uint8)
del block
print(kept, resident() - before > 80)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is asked")
@pytest.mark.parametrize(
    ("variables", "said"), [({}, "True True"), ({"MALLOC_ARENA_MAX": "2"}, "False False")]
)
def test_freed_memory_is_kept_unless_the_user_says_otherwise(variables, said):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**clean, **variables}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == said
