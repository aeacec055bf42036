"""The workflows, .ci/run and the Makefile check the same things in the same way and order."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
import skips
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHECKS = ["make lint", "make test", "make book", "make test-book"]


def steps(workflow: str, job: str) -> list[dict]:
    text = (ROOT / ".github" / "workflows" / workflow).read_text()
    return yaml.safe_load(text)["jobs"][job]["steps"]


def commands(workflow: str, job: str) -> list[str]:
    return [line for step in steps(workflow, job) for line in step.get("run", "").splitlines()]


def ci_script() -> list[str]:
    return (ROOT / ".ci" / "run").read_text().splitlines()


def in_order(lines: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether each of `wanted` is a command among the lines, after the one before it."""
    rest = iter(lines)
    return all(any(re.search(rf"(^|\s){re.escape(w)}( \||$)", x) for x in rest) for w in wanted)


def test_ci_and_its_script_make_the_same_checks_in_the_same_order() -> None:
    assert in_order(commands("ci.yml", "check"), CHECKS)
    assert in_order(ci_script(), CHECKS)


@pytest.mark.parametrize("linters", [True, False])
def test_the_script_requires_what_it_found(tmp_path: Path, linters: bool) -> None:
    log, fails = tmp_path / "log", "false" if linters else '[ "$1" = linters ]'
    stubs = {"make": f'echo "$*:$SDN_TEST_REQUIRES" >> {log}; ! {fails}', "npm": "", "chromium": ""}
    for name, body in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if k != skips.VARIABLE}
    environment = {**clean, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([ROOT / ".ci" / "run"], env=environment, check=True, capture_output=True)
    found = dict(line.split(":") for line in log.read_text().splitlines())
    assert [name for name in found if f"make {name}" in CHECKS] == [c[5:] for c in CHECKS]
    expected = {"chromium", "linters"} if linters else {"chromium"}
    assert set(found["test"].split()) == expected
    assert set(found["test-book"].split()) == expected | {"chapters"}


def test_tests_run_through_make_only() -> None:
    lines = {".ci/run": ci_script()}
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"]:
            lines[f"{path.name}: {job}"] = commands(path.name, job)
    direct = re.compile(r"\bpytest\b|\bruff\b|\bsdn (reproduce|book)\b")
    assert not [(where, x) for where, found in lines.items() for x in found if direct.search(x)]


def test_every_check_of_ci_fails_the_job() -> None:
    for workflow, job in (("ci.yml", "check"), ("gpu.yml", "book")):
        for step in steps(workflow, job):
            assert not step.get("continue-on-error")
            assert "|| true" not in step.get("run", "")
    assert "set -euo pipefail" in ci_script()


def test_on_a_gpu_what_takes_minutes_comes_first() -> None:
    found = commands("gpu.yml", "book")
    smoke, gpu = "make book PROFILE=smoke", "make book PROFILE=gpu"
    assert in_order(found, ["make setup", "nvidia-smi", "make test", smoke, gpu])
    assert in_order(found, [smoke, ".venv/bin/python benchmarks/bench_gpu.py"])
    (test,) = [step for step in steps("gpu.yml", "book") if step.get("run") == "make test"]
    assert "gpu" in test["env"][skips.VARIABLE].split()


@pytest.mark.parametrize(("workflow", "job"), [("ci.yml", "check"), ("gpu.yml", "book")])
def test_a_failure_uploads_its_reports(workflow: str, job: str) -> None:
    (upload,) = [step for step in steps(workflow, job) if step.get("if") == "failure()"]
    assert "upload-artifact" in upload["uses"]
    assert {"_build/reports", "_build/*/executed"} <= set(upload["with"]["path"].split())


def test_what_runners_are_said_to_have_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(path.read_text() for path in [*WORKFLOWS, ROOT / ".ci" / "run"])
    said = re.findall(skips.VARIABLE + r"(?:: |\+?=\")([^\"\n$]+)", text)
    assert len(said) >= 5
    monkeypatch.setenv(skips.VARIABLE, " ".join(said))
    assert {"chapters", "chromium", "compiler", "gpu", "linters"} <= skips.required()


def test_every_python_that_is_promised_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    promised = re.findall(r"Python :: (\d+\.\d+)", " ".join(project["classifiers"]))
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["check"]["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"
    readme = (ROOT / "README.md").read_text()
    assert f"Python {', '.join(promised[:-1])} or {promised[-1]}" in readme


def made_by(target: str) -> list[str]:
    """Return the commands of `make target`, a line each, none of them run."""
    if not shutil.which("make"):
        pytest.skip("no make here")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    command = ["make", "--dry-run", "--always-make", target]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    return done.stdout.replace("\\\n", " ").splitlines()


def pytest_calls(target: str) -> list[list[str]]:
    """Return the arguments of each call of pytest that `make target` makes."""
    lines = made_by(target)
    return [shlex.split(line.split("pytest", 1)[1]) for line in lines if "-m pytest" in line]


def test_make_test_runs_every_test_once() -> None:
    golden, library, chapters = pytest_calls("test")
    assert [golden[-1], chapters[-1]] == ["tests/test_golden.py", "tests/book"]
    left_out = [
        after for word, after in zip(library, library[1:], strict=False) if word == "--ignore"
    ]
    assert left_out == [golden[-1], chapters[-1]]
    assert not [word for word in library if word.startswith("tests/") and word not in left_out]
    for call in (golden, library, chapters):
        assert not {"-k", "-m", "--deselect", "--lf", "-x"} & set(call)


@pytest.mark.parametrize("target", ["test", "test-book", "lint-npm"])
def test_every_call_leaves_a_report_of_its_own(target: str) -> None:
    reports = [word for call in pytest_calls(target) for word in call if "--junitxml" in word]
    assert reports and len(set(reports)) == len(pytest_calls(target))
    assert all(word.startswith("--junitxml=_build/reports/") for word in reports)


@pytest.mark.parametrize("page", ["README.md", "book/08_real_photographs.ipynb"])
def test_the_papers_experiment_is_one_command_of_the_steps_that_are_told(page: str) -> None:
    text = (ROOT / page).read_text()
    if page.endswith(".ipynb"):
        text = "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    blocks = re.findall(r"```sh\n(.*?)```", text.replace("\\\n", " "), re.DOTALL)
    (told,) = [block for block in blocks if "--profile birds" in block and "fetch_birds" in block]
    steps = re.findall(r"\.venv/bin/(.*?)(?: *#.*| > .*)?$", told, re.MULTILINE)
    assert len(steps) == 7
    made = " ".join(" ".join(made_by("birds")).replace("--quiet ", "").split())
    places = [made.find(" ".join(step.split())) for step in steps]
    assert min(places) > 0 and places == sorted(places)


def test_programs_that_tests_start_can_be_interrupted() -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_tests_do_not_depend_on_being_in_the_foreground() -> None:
    test = f"{__file__}::{test_programs_that_tests_start_can_be_interrupted.__name__}"
    shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    command = [*shell, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
