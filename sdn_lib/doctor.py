"""`sdn doctor`: what is installed, what hardware there is, what is missing and how to mend it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

from sdn_lib import profiles
from sdn_lib.errors import SDNError, counted
from sdn_lib.machine import MEMORY, gigabytes, hardware

NAME = "sdn-book"

PYTHON = Version("3.11")
DISK = 2e9
RUNS = ("evaluator", "second_evaluator", "teacher", "text", "baseline", "stage_one", "stage_two")
# In a process of its own: a broken pair can fail in any way, a crash of the interpreter included.
PAIR = """
import json, torch, torchvision
torchvision.ops.nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([1.0]), 0.5)
devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
if torch.backends.mps.is_available():
    devices.append("Apple GPU (MPS)")
print(json.dumps([torch.__version__, torchvision.__version__, devices]))
"""


def examine(root: Path | None = None, report: Callable[[str], None] = print) -> int:
    """Print one line a finding, and return 1 when something essential is missing, else 0."""
    root = root or profiles.ROOT
    missing = 0

    def add(state: str, what: str) -> None:
        nonlocal missing
        missing += state == "missing"
        report(f"{state:<8} {what}")

    python = ".".join(map(str, sys.version_info[:3]))
    if Version(python) >= PYTHON:
        add("ok", f"Python {python}")
    else:
        add("missing", f"Python {python}, need {PYTHON}")
    names: Sequence[str] = RUNS
    try:
        profiles.project()
    except SDNError as error:
        add("missing", str(error))
        names = ()
    lock = (root / "requirements.lock").is_file()
    for requirement, installed in requirements(root):
        remedy = "`pip install -r requirements.lock`" if lock else f"`pip install '{requirement}'`"
        if installed is None:
            add("missing", f"{requirement}: {remedy}")
        elif not requirement.specifier.contains(installed, prereleases=True):
            wanted = f"{requirement.name} {installed}, need {requirement.specifier}"
            add("missing", f"{wanted}: {remedy}")
    add(*torch_pair())
    if importlib.util.find_spec("psutil"):
        machine = hardware()
        memory = machine["memory_bytes"]
        add("ok", f"{machine['processor']}, {counted(machine['cores'], 'core')}")
        enough = "ok" if memory >= MEMORY else "short"
        add(enough, f"{gigabytes(memory)} of memory (the cpu profile wants {gigabytes(MEMORY)})")
    disk = shutil.disk_usage(root).free
    enough = "ok" if disk >= DISK else "short"
    add(enough, f"{gigabytes(disk)} of disk free (a run wants {gigabytes(DISK)})")
    for name in names:
        weights = root / "results" / "cpu" / name / "weights.safetensors"
        if weights.exists():
            add("ok", f"trained {name}, {gigabytes(weights.stat().st_size)}")
        else:
            add("absent", f"trained {name}: chapters train it, or `sdn train {name}`")
    browsers = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, browsers)), None)
    add("ok" if browser else "absent", "Chromium, which the tests of the rendered book open")
    return 1 if missing else 0


def version() -> str:
    """Return the project's version, of the checkout or else of the installed package."""
    project = profiles.BESIDE / "pyproject.toml"
    if project.is_file():
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    try:
        return importlib.metadata.version(NAME)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def requirements(root: Path) -> list[tuple[Requirement, str | None]]:
    """Return the project's requirements with the version that is installed, None for none.

    Without a checkout, those of the installed package.
    """
    project = root / "pyproject.toml"
    if project.is_file():
        lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        lines = importlib.metadata.requires(NAME) or []
    found = []
    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            installed = None
        found.append((requirement, installed))
    return found


def torch_pair() -> tuple[str, str]:
    """Return (state, finding) on torch and torchvision, which must be built for each other."""
    # Neither a file of the working directory nor the user's warnings count.
    command = [sys.executable, "-P", "-W", "ignore", "-c", PAIR]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or ["it crashed"])[-1]
        return "missing", f"torch and torchvision do not work together ({cause}): {remedy()}"
    torch, torchvision, devices = json.loads(done.stdout.splitlines()[-1])
    where = ", ".join(devices) or "no GPU: everything runs on the CPU"
    return "ok", f"torch {torch} with torchvision {torchvision}; {where}"


def remedy() -> str:
    """Return the one command that installs a matching pair, in the versions of the lock if any."""
    lock = profiles.ROOT / "requirements.lock"
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    pair = [line.split(" ")[0] for line in lines if line.startswith(("torch==", "torchvision=="))]
    pair = pair or ["torch", "torchvision"]
    return f"install both together, `pip install --force-reinstall {' '.join(pair)}`"
