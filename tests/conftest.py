"""Fixtures that several test files share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the reference numbers and real data, where it is at hand."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with reference numbers and real data is not here")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs most memory first, while the process is small."""
    items.sort(key=lambda item: "test_golden" not in item.nodeid)
