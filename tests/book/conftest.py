"""The rendered book and the browser that opens it."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest
import tiny_book

from sdn_lib.book import dependencies
from sdn_lib.book.execute import reproduce
from sdn_lib.book.render import render

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny_book.write(tmp_path_factory.mktemp("tiny"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dependencies, "LIBRARY", root / "library")
        reproduce("smoke", root=root, report=lambda line: None)
        return render("smoke", root=root, report=lambda line: None).parent


@pytest.fixture(params=["tiny", "built"], scope="module")
def html(request: pytest.FixtureRequest) -> Path:
    if request.param == "tiny":
        return request.getfixturevalue("tiny_html")
    folder = ROOT / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.skip("the book is not rendered here: `make book` first")
    return folder


@pytest.fixture(scope="module")
def chromium():
    if browser.executable() is None:
        pytest.skip("no Chromium here: install the package 'chromium'")
    with browser.Browser() as window:
        yield window
