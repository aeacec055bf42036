"""A skip that nobody expects is a failure: in a test, a fixture, a module, and under xdist."""

from __future__ import annotations

from pathlib import Path

import pytest
import skips

pytest_plugins = ["pytester"]

TESTS = """
import os
import pytest

@pytest.fixture
def chromium():
    pytest.skip("no Chromium here: install the package 'chromium'")

def test_passes(): pass
def test_for_no_reason(): pytest.skip()
def test_someday(): pytest.skip("someday")
@pytest.mark.skip(reason="flaky")
def test_marked(): pass
def test_missing_package(): pytest.importorskip("no_such_package")
def test_here_after_all(): pytest.skip("the folder ../shared with real data is not here")
def test_absent_in_a_fixture(chromium): pass
@pytest.mark.skipif(True, reason="no compiler here: install g++")
def test_absent_by_mark(): pass
@pytest.mark.xfail(strict=True)
def test_fails_as_expected(): assert False
"""
PLUGIN = """
import skips
absent, present = (lambda: False), (lambda: True)
for name, here in [("shared", present), ("chromium", absent), ("compiler", absent)]:
    skips.THINGS[name] = skips.THINGS[name]._replace(here=here)
def pytest_configure(config):
    config.pluginmanager.register(skips)
"""


@pytest.fixture
def project(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(skips.__file__).parent))
    monkeypatch.delenv(skips.VARIABLE, raising=False)
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile(TESTS)
    return pytester


@pytest.mark.parametrize("processes", [0, 1])
def test_only_what_is_really_absent_may_be_missing(project, processes):
    done = project.runpytest_subprocess("-rfE", "-n", str(processes))
    done.assert_outcomes(passed=1, failed=4, errors=1, skipped=2, xfailed=1)
    for name in ("for_no_reason", "someday", "marked", "missing_package", "here_after_all"):
        done.stdout.fnmatch_lines_random([f"[EF][RA]*::test_{name}*"])
    done.stdout.fnmatch_lines_random(
        ["*: Skipped: someday", "Unexpected skip: this is no reason*", "*'shared' is here"]
    )
    assert done.ret == pytest.ExitCode.TESTS_FAILED


def test_what_must_be_here_may_not_be_missing(project, monkeypatch):
    monkeypatch.setenv(skips.VARIABLE, "chromium book")
    done = project.runpytest_subprocess("-k", "absent")
    done.assert_outcomes(errors=1, skipped=1, deselected=7)
    done.stdout.fnmatch_lines(["*SDN_TEST_REQUIRES says that 'chromium' is here"])


def test_an_unknown_requirement_is_refused(project, monkeypatch):
    monkeypatch.setenv(skips.VARIABLE, "chromium fire")
    done = project.runpytest_subprocess()
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*SDN_TEST_REQUIRES names fire; known are shared, chromium,*"])


@pytest.mark.parametrize("processes", [0, 1])
def test_a_module_that_skips_itself_is_a_failure(project, processes):
    project.makepyfile(test_whole="import pytest\npytest.importorskip('no_such_package')")
    done = project.runpytest_subprocess("test_whole.py", "-n", str(processes))
    assert done.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    done.stdout.fnmatch_lines(["*Unexpected skip: this is no reason*"])


def test_this_projects_tests_are_judged_so(pytestconfig):
    assert pytestconfig.pluginmanager.is_registered(skips)
