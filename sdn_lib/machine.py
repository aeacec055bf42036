"""What a run ran on: hardware, versions, commit, memory; and durations and sizes for people."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch", "torchvision", "numpy", "scipy", "scikit-image", "pillow", "matplotlib", "papermill",
    "jupyter-book",
)  # fmt: skip

MEMORY = 6e9
"""Bytes that a notebook may need: the largest chapter of the profile `cpu` takes 4.5 GB."""


@contextmanager
def peak_memory() -> Iterator[dict[str, int]]:
    """Watch this process's children and yield {'peak': bytes}, their largest resident sum.

    Looks five times a second. Pages that forked workers share are counted once a worker.
    """
    import psutil

    seen, done = {"peak": 0}, threading.Event()
    here = psutil.Process()

    def watch() -> None:
        while not done.wait(0.2):
            total = 0
            for child in here.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            seen["peak"] = max(seen["peak"], total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def cores() -> int:
    """Return how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Return what the machine is: processor, cores, memory in bytes, accelerators by name."""
    import psutil

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        model = found.group(1) if found else model
    accelerators: list[str] = []
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        accelerators = done.stdout.split("\n")[:-1] if done.returncode == 0 else []
    elif sys.platform == "darwin" and platform.machine() == "arm64":
        accelerators = ["Apple GPU (MPS)"]
    return {
        "processor": model.strip(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "accelerators": accelerators,
        "system": f"{platform.system()} {platform.machine()}",
    }


def side_by_side(machine: Mapping[str, Any], at_most: int | None = None) -> int:
    """Return how many notebooks a machine (as `hardware` has it) runs at a time.

    One a processor, as far as memory goes, and no more than `at_most`. One on an accelerator: it is
    busy with one, and the processors only feed it.
    """
    if machine["accelerators"]:
        return 1
    fitting = min(machine["cores"], int(machine["memory_bytes"] // MEMORY))
    return max(1, fitting if at_most is None else min(at_most, fitting))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a chapter's outputs.

    A package that is not installed has none: training and benchmarks run without the book's.
    """
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def git_state(root: Path, besides: str = "") -> dict[str, Any]:
    """Return {'commit', 'dirty'} of a checkout; both None outside of one, or where git is silent.

    Dirty means, as for `git describe`, that tracked files were changed; those in the folder
    `besides`, relative to `root`, do not count. Variables that point git to another repository, as
    a hook or an alias leaves them, are not heard.
    """
    root = Path(root).resolve()
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    own["GIT_OPTIONAL_LOCKS"] = "0"  # a look writes nothing

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(root), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, env=own, check=False)
        except OSError:
            return None
        return os.fsdecode(done.stdout).strip("\n") if done.returncode == 0 else None

    top, commit = git("rev-parse", "--show-toplevel"), git("rev-parse", "--verify", "HEAD")
    if not top or not commit or Path(top).resolve() != root:
        return {"commit": None, "dirty": None}
    paths = ["--", ".", f":(exclude){besides}"] if besides else []
    changed = git("status", "--porcelain", "--untracked-files=no", *paths)
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def seconds(value: float) -> str:
    """Return a duration for people: '4.2 s', '58 s', '3 min 20 s'."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def gigabytes(value: float) -> str:
    """Return a size for people, in GB of 10^9 bytes, or MB below one."""
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"
