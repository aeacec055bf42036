"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest
import skips

from sdn_lib import profiles

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(skips)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data, where it is at hand."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with real data is not here")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project's folder of a test file's own: trainings and data go there."""
    folder = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    patch.setattr(profiles, "ROOT", folder)
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def p(home):
    """The smoke profile in that folder."""
    return profiles.load("smoke", output_dir=str(home / "runs"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs most memory first, while the process is small."""
    items.sort(key=lambda item: "test_golden" not in item.nodeid)
