"""`sdn doctor` says what is installed, what is missing, and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdn_lib import doctor, profiles


def test_the_doctor_finds_this_environment_whole(capsys: pytest.CaptureFixture) -> None:
    assert doctor.examine() == 0
    out = capsys.readouterr().out
    assert "ok       torch 2." in out and "missing" not in out


def test_the_doctor_names_the_remedy_for_a_broken_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    monkeypatch.setattr(doctor, "PAIR", broken)
    lines: list[str] = []
    assert doctor.examine(report=lines.append) == 1
    line = next(line for line in lines if line.startswith("missing"))
    assert "nms does not exist" in line
    assert "pip install --force-reinstall torch==" in line and " torchvision==" in line


def test_the_doctor_reports_what_is_missing_or_out_of_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "torch_pair", lambda: ("ok", "torch"))
    project = '[project]\ndependencies = ["no-such-package-here>=1", "numpy<1"]\n'
    (tmp_path / "pyproject.toml").write_text(project)
    lines: list[str] = []
    assert doctor.examine(tmp_path, lines.append) == 1
    found = [line for line in lines if line.startswith("missing")]
    assert len(found) == 2
    assert "no-such-package-here" in found[0] and "numpy" in found[1] and "need <1" in found[1]


def test_the_doctor_gets_to_the_end_without_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "torch_pair", lambda: ("ok", "torch"))
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    lines: list[str] = []
    doctor.examine(report=lines.append)
    assert not any("core" in line for line in lines) and "Chromium" in lines[-1]


def test_the_doctor_of_a_package_without_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "torch_pair", lambda: ("ok", "torch"))
    monkeypatch.setattr(profiles, "BESIDE", tmp_path)
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    lines: list[str] = []
    assert doctor.examine(tmp_path, lines.append) == 1
    found = [line for line in lines if line.startswith("missing")]
    assert len(found) == 1 and "without its project" in found[0]
    assert not any("sdn train" in line for line in lines)
    named = {requirement.name for requirement, _ in doctor.requirements(tmp_path)}
    assert {"torch", "numpy"} <= named and "pytest" not in named
    assert doctor.version() != "unknown"


def test_the_doctor_looks_past_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError('the wrong json')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    assert doctor.torch_pair()[0] == "ok"
