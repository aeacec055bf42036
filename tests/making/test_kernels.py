"""A kernel is this interpreter, knows nothing of the user's shell, and may die."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from jupyter_client.provisioning.local_provisioner import LocalPortCache
from tiny_book import edit, executed, run

from sdn_lib import profiles
from sdn_lib.book.execute import KERNEL_STARTS
from sdn_lib.book.gate import ChapterError
from sdn_lib.book.kernels import run_jobs
from sdn_lib.errors import SDNError

PORTS_OF_A_KERNEL = 5


def test_a_worker_that_is_killed_is_an_error(root: Path) -> None:
    with pytest.raises(SDNError, match="was killed, out of memory perhaps.*fewer --workers"):
        list(run_jobs(os._exit, [(9,), (9,)], 2, root))
    assert "JUPYTER_PATH" not in os.environ


def test_a_kernel_that_dies_is_a_failed_chapter(root: Path) -> None:
    edit(root, 2, "import os\nos._exit(9)")
    with pytest.raises(ChapterError, match="its kernel died"):
        run(root)
    assert not (root / "_build/smoke/executed/01_second.ipynb").exists()


@pytest.mark.parametrize("taken", [1, 2, 3])
def test_a_kernel_whose_port_is_taken_starts_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, taken: int
) -> None:
    ports, free, asked = LocalPortCache.instance(), LocalPortCache.find_available_port, []
    with socket.create_server(("127.0.0.1", 0)) as other:

        def port(ip: str) -> int:
            asked.append(ip)
            first = len(asked) % PORTS_OF_A_KERNEL == 1
            if first and len(asked) <= taken * PORTS_OF_A_KERNEL:
                return other.getsockname()[1]
            return free(ports, ip)

        monkeypatch.setattr(ports, "find_available_port", port)
        if taken < KERNEL_STARTS:
            assert "peak" in run(root)[0]
        else:
            with pytest.raises(ChapterError, match="Kernel died before replying"):
                run(root)
    assert len(asked) == min(taken + 1, KERNEL_STARTS) * PORTS_OF_A_KERNEL
    said = capfd.readouterr().err
    assert said.count("a kernel could not open its ports (Address already in use") == taken
    assert "Traceback" not in said


def test_the_kernel_is_this_interpreter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    edit(root, 2, "import os, sys\nprint(sys.executable)\nprint(os.getcwd())")
    run(root)
    printed = executed(root).cells[3].outputs[0].text.splitlines()
    assert printed == [sys.executable, str(root)]
    assert os.environ["MPLBACKEND"] == "Agg"
    assert "JUPYTER_PATH" not in os.environ


def test_a_kernel_hears_nothing_of_the_users_shell(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "hostile"
    startup = hostile / ".ipython" / "profile_default" / "startup" / "00.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("raise SystemExit('the user starts with this')\nprint = None\n")
    other = hostile / "kernels" / "python3" / "kernel.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"argv": ["false"], "display_name": "x", "language": "python"}')
    (hostile / "matplotlibrc").write_text("image.origin: lower\n")
    (hostile / "json.py").write_text("raise RuntimeError('the wrong json')\n")
    for name, value in {
        "HOME": hostile, "IPYTHONDIR": hostile / ".ipython", "PYTHONSTARTUP": startup,
        "JUPYTER_PATH": hostile, "JUPYTER_DATA_DIR": hostile, "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_RUNTIME_DIR": "/dev/null/runtime", "JUPYTER_CONFIG_DIR": hostile,
        "MATPLOTLIBRC": hostile, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error",
        "PYTHONOPTIMIZE": "2", "PYTHONSAFEPATH": "1", "PYTHONUTF8": "0", "LC_ALL": "C",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    code = """import json, sys, warnings
import matplotlib
import sdn_lib
warnings.warn("a warning is no error", stacklevel=1)
try:
    assert not True
    print("no assertion holds")
except AssertionError:
    print("Fréchet", matplotlib.rcParams["image.origin"], sdn_lib.__file__, sys.flags.utf8_mode)"""
    edit(root, 2, code)
    run(root)
    printed = next(o.text for o in executed(root).cells[3].outputs if o.name == "stdout")
    package = Path(profiles.__file__).with_name("__init__.py")
    assert printed.split() == ["Fréchet", "upper", str(package), "1"]
    assert os.environ["PYTHONSTARTUP"] == str(startup)
