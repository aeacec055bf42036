"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import second_device
import skips
import tiny_book
import torch
from filelock import FileLock

from sdn_lib import devices, profiles
from sdn_lib.book import dependencies

ROOT = Path(__file__).resolve().parent.parent
# Tests run on the CPU, but for those that ask for a device.
os.environ[devices.VARIABLE] = "cpu"
# A hook or an alias points git to the user's own repository; their settings may want signatures.
for name in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[name]
os.environ["GIT_CONFIG_GLOBAL"] = os.devnull


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(skips)
    # A background job of a shell ignores interrupts, and so would the programs that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data, where it is at hand."""
    folder = ROOT.parent / "shared"
    if not skips.THINGS["shared"].here():
        pytest.skip("the folder ../shared with real data is not here")
    return folder


NO_COMPILER = "no C++ compiler is here to build the second device with"


def second_library() -> Path:
    """Return the compiled second device, see tests/second_device.py."""
    folder = ROOT / "_build" / "second_device"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        return second_device.build(folder)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Register the second device where tests want one: PyTorch counts devices once, and early."""
    wanted = any("device" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not torch.accelerator.is_available() and second_device.compiler():
        second_device.register(second_library())


@pytest.fixture(scope="module", params=["cpu", "accelerator"])
def device(request):
    """The CPU; then the real accelerator, or where there is none, the second device."""
    found = torch.device("cpu")
    if request.param == "accelerator":
        if not torch.accelerator.is_available():
            assert second_device.compiler() is None, "else it was registered before the tests"
            pytest.skip(NO_COMPILER)
        found = torch.accelerator.current_accelerator()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(devices.VARIABLE, found.type)
        yield found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project's folder of a test file's own: trainings and data go there."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profiles, "ROOT", folder)
        yield folder


@pytest.fixture(scope="module")
def p(home):
    """The smoke profile in that folder."""
    return profiles.load("smoke", output_dir=str(home / "runs"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny book of its own, whose 'library' no one else edits."""
    monkeypatch.setattr(dependencies, "LIBRARY", tmp_path / "library")
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    return tiny_book.write(tmp_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs most memory first, while the process is small."""
    items.sort(key=lambda item: "test_golden" not in item.nodeid)
