"""`make setup` makes .venv, anew where it cannot be used as it is; what else `make` calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
# Builds a wheel of one module without fetching anything: pip's own way, but offline.
BACKEND = """
import pathlib, zipfile

def build_editable(directory, config_settings=None, metadata_directory=None):
    name, info = "tiny-1-py3-none-any.whl", "tiny-1.dist-info/"
    with zipfile.ZipFile(pathlib.Path(directory, name), "w") as wheel:
        wheel.writestr("tiny.pth", str(pathlib.Path.cwd()))
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        tag = "Root-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\n" + tag)
        wheel.writestr(info + "entry_points.txt", "[console_scripts]\\nsdn = program:main\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
PROGRAM = """
import pathlib, sys
def main():
    print(pathlib.Path(__file__).parent, "%d.%d" % sys.version_info[:2])
"""
HERE = ".".join(map(str, sys.version_info[:2]))
# In place of pip, where only the environment is looked at.
PRETEND = "INSTALL=printf '' > .venv/bin/sdn; chmod +x .venv/bin/sdn; :"
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def clean(**variables: str) -> dict[str, str]:
    """Return an environment that no outer make, pip or Python has marked."""
    marks = ("PIP_", "PYTHON", "MAKE", "MFLAGS")
    return {k: v for k, v in os.environ.items() if not k.startswith(marks)} | variables


def setup(root: Path, *asked: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", "--no-print-directory", "setup", *asked],
        cwd=root, env=clean(**variables), capture_output=True, text=True, check=False,
    )  # fmt: skip


def works(root: Path) -> list[str]:
    """Return what the installed program says: its folder, then its Python."""
    done = subprocess.run(
        [root / ".venv/bin/sdn"], env=clean(), capture_output=True, text=True, check=True
    )
    return done.stdout.strip().rsplit(" ", 1)


def wheel(folder: Path, version: str) -> str:
    """Write a wheel of an empty package and return the line of a lock that asks for it."""
    name, info = f"locked-{version}-py3-none-any.whl", f"locked-{version}.dist-info/"
    with zipfile.ZipFile(folder / name, "w") as made:
        made.writestr("locked.py", f"version = {version!r}\n")
        lines = f"Metadata-Version: 2.1\nName: locked\nVersion: {version}\n"
        made.writestr(info + "METADATA", lines)
        lines = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        made.writestr(info + "WHEEL", lines)
        made.writestr(info + "RECORD", "")
    return f"./{name}\n"


def installed(root: Path) -> str:
    command = [root / ".venv/bin/python", "-P", "-c", "import locked; print(locked.version)"]
    return subprocess.run(
        command, cwd=root, env=clean(), capture_output=True, text=True, check=True
    ).stdout.strip()


def project(root: Path) -> Path:
    root.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", root)
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "program.py").write_text(PROGRAM)
    (root / "requirements.lock").write_text(wheel(root, "1"))
    return root


@needs_make
@pytest.mark.slow
def test_setup_installs_here_whatever_the_shell_says_and_again_after_a_move(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "shadow").mkdir(parents=True)
    (elsewhere / "shadow" / "pip.py").write_text("raise SystemExit('the wrong pip')")
    (elsewhere / "pip.conf").write_text("[install]\nuser = true\n")
    root = project(tmp_path / "a folder" / "project")
    done = setup(
        root,
        PYTHONPATH=str(elsewhere / "shadow"), PIP_TARGET=str(elsewhere / "target"),
        PIP_PREFIX=str(elsewhere / "prefix"), PIP_CONFIG_FILE=str(elsewhere / "pip.conf"),
        PIP_REQUIRE_VIRTUALENV="1", PYTHONWARNINGS="error", PYTHONUSERBASE=str(elsewhere / "base"),
        VIRTUAL_ENV=str(elsewhere), PYTHON=sys.executable,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "anew" not in done.stdout
    assert works(root) == [str(root), HERE] and installed(root) == "1"
    assert {path.name for path in elsewhere.iterdir()} == {"shadow", "pip.conf"}

    quick = setup(root, "INSTALL=false", PYTHON=sys.executable)
    assert (quick.returncode, quick.stdout, quick.stderr) == (0, "", "")

    # Another lock is installed, once; the environment stays.
    kept = root / ".venv" / "kept"
    kept.touch()
    (root / "requirements.lock").write_text(wheel(root, "2"))
    pips = ["pip -r .venv/requirements.txt", "pip --editable ."]
    assert setup(root, "INSTALL=echo pip").stdout.splitlines() == pips and kept.exists()
    assert setup(root, "INSTALL=echo pip").stdout == ""

    # A copy does not call the original.
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, symlinks=True)
    done = setup(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f".venv is made anew: it was made as {root}/.venv" in done.stdout
    assert works(copy)[0] == str(copy) and installed(copy) == "2"
    assert not (copy / ".venv" / "kept").exists()
    assert works(root)[0] == str(root)


@needs_make
@pytest.mark.slow
def test_setup_makes_a_broken_environment_anew(tmp_path):
    root = project(tmp_path / "project")
    (tmp_path / "disk").mkdir()
    (root / ".venv").symlink_to(tmp_path / "disk")
    asked = f"PYTHON={sys.executable}"
    assert setup(root, asked, "INSTALL=false").returncode == 2, "an interruption after venv"
    assert not (root / ".venv/.ready").exists()
    done = setup(root, asked, "INSTALL=true")
    assert done.returncode == 2 and "error: pip installed elsewhere" in done.stderr
    done = setup(root, asked, PRETEND)
    assert done.returncode == 0 and "anew" not in done.stdout, done.stdout + done.stderr

    # A Python that starts and makes nothing: what counts is whether it is asked to.
    fake = tmp_path / "python3.99"
    fake.write_text("""#!/bin/sh
case "$2" in
  *_base_executable*) echo "$0" ;;
  *version_info*) echo 3.99 ;;
  *) exit 1 ;;
esac
""")
    fake.chmod(0o755)

    def anew(*chosen: str) -> str:
        done = setup(root, PRETEND, *chosen, PATH=f"{tmp_path}:{os.environ['PATH']}")
        assert done.returncode == 2 and "python3-venv" in done.stderr, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "python3").symlink_to(fake)
    assert setup(root, PRETEND, PATH=f"{tmp_path}:{os.environ['PATH']}").returncode == 0
    assert f"anew: its Python is {HERE}, not 3.99" in anew("PYTHON=python3.99")
    python, cfg = root / ".venv/bin/python", root / ".venv/pyvenv.cfg"
    text = cfg.read_text()
    cfg.write_text(text.replace(f"version = {HERE}", "version = 3.7"))
    assert f"anew: its Python was 3.7 and is {HERE}" in anew()
    cfg.write_text(text)
    python.unlink()
    python.symlink_to(tmp_path / "python-that-was-removed")
    assert "anew: its Python or pip does not start" in anew()


@needs_make
def test_setup_says_what_it_cannot_use(tmp_path):
    root = project(tmp_path / "project")
    done = setup(root, "PYTHON=no-such-python")
    assert done.returncode == 2
    assert "error: no-such-python does not start: install Python 3.11 or newer" in done.stderr
    old = tmp_path / "old"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.8.1; exit 0\n')
    old.chmod(0o755)
    done = setup(root, f"PYTHON={old}")
    assert done.returncode == 2 and "error: Python 3.8.1 is too old" in done.stderr
    foreign = root / ".venv" / "a novel.txt"
    foreign.parent.mkdir()
    foreign.touch()
    done = setup(root, f"PYTHON={sys.executable}")
    assert done.returncode == 2 and "error: .venv is no environment of make setup" in done.stderr
    assert foreign.exists()
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.9\n")
    done = setup(root, f"PYTHON={sys.executable}")
    assert done.returncode == 2 and "error: .venv is no environment of make setup" in done.stderr
    assert foreign.exists()


@needs_make
def test_two_makes_do_not_set_up_at_once(tmp_path):
    root = project(tmp_path / "project")
    (root / "_build" / ".setup").mkdir(parents=True)
    done = setup(root, f"PYTHON={sys.executable}")
    assert done.returncode == 2 and "error: another make is setting up" in done.stderr
    assert not (root / ".venv").exists()
    (root / "_build" / ".setup").rmdir()
    assert setup(root, f"PYTHON={sys.executable}", "INSTALL=false").returncode == 2
    assert not (root / "_build" / ".setup").exists(), "whatever fails, the next make may begin"


@needs_make
def test_only_one_leaves_packages_of_cuda_out(tmp_path):
    root = project(tmp_path / "project")
    drops = {
        value: "nvidia-" in subprocess.run(
            ["make", "--dry-run", "setup", *given], cwd=root, env=clean(CPU=value),
            capture_output=True, text=True, check=True,
        ).stdout
        for value, given in (("x86_64", ()), ("0", ()), ("1", ()), ("", ("CPU=1",)))
    }  # fmt: skip
    assert drops == {"x86_64": False, "0": False, "1": True, "": True}


@needs_make
@pytest.mark.parametrize("kind", ["birds", "flowers"])
@pytest.mark.parametrize("attributes", [True, False])
def test_photographs_are_judged_by_their_colours_where_attributes_are_there(
    tmp_path, kind, attributes
) -> None:
    for name in ("python", "sdn"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> calls\n')
        (tmp_path / name).chmod(0o755)
    folder = Path("data") / "raw" / f"{kind}64" / "CUB_200_2011" / "attributes"
    if attributes and kind == "birds":
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "class_attribute_labels_continuous.txt").touch()
    given = ["IMAGES=a.tgz", "CAPTIONS=b.tgz", *["LABELS=c.mat"] * (kind == "flowers")]
    subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "-o", "setup", f"{kind}64", "BIN=.", *given],
        cwd=tmp_path, env=clean(), capture_output=True, check=True,
    )  # fmt: skip
    (judged,) = [s for s in (tmp_path / "calls").read_text().splitlines() if "evaluate" in s]
    colours = f" --attributes {folder}" if attributes and kind == "birds" else ""
    report = f"_build/{kind}64/evaluation.json"
    assert judged == f"sdn evaluate --profile {kind}64 --json {report}{colours}"
