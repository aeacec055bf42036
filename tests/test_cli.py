"""`sdn` is quick to answer, prints one line for bad input, and examines what is installed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdn_lib import cli, doctor
from sdn_lib.errors import SDNError

COMMANDS = ("doctor", "data", "train", "evaluate", "sample", "reproduce", "ablate", "book")


def test_help_is_quick_and_lists_every_command() -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "sdn_lib", "--help"], capture_output=True, text=True, check=True
        )
        times.append(time.perf_counter() - began)
    assert all(f"\n    {command}" in done.stdout for command in COMMANDS)
    assert min(times) < 0.5, times


def test_building_the_parser_imports_nothing_heavy() -> None:
    code = "import sys, sdn_lib.cli as c; c.parser(); print({'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: sdn" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "--profile", "smokey"], "unknown profile 'smokey': did you mean 'smoke'"),
        (["book", "--profile", "cpuu"], "unknown profile 'cpuu'"),
        (["reproduce", "--profile", "nowhere.json"], "nowhere.json is missing"),
        (["sample", "a bird", "--out", "bird.jpg"], "bird.jpg is no PNG"),
        (["sample", "a bird", "--out", "bird.png", "--scale", "0"], "below 1"),
        (["train", "techer", "--profile", "smoke"], "unknown run 'techer': did you mean 'teacher'"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert said in captured.err
    assert captured.out == ""


def test_an_unknown_command_lists_the_near_ones(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["reprduce"])
    assert stop.value.code == 2
    assert "did you mean 'reproduce'" in capsys.readouterr().err


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_an_interruption_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt("teacher stopped at step 3 of 9")

    monkeypatch.setattr(doctor, "examine", interrupted)
    assert cli.main(["doctor"]) == 130
    assert "step 3 of 9; the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("True", True), ("None", None), ("cpu", "cpu"), ("[1]", "[1]")],
)
def test_parameters_become_scalars(text: str, value: object) -> None:
    assert cli._value(text) == value


def test_the_doctor_finds_this_environment_whole(capsys: pytest.CaptureFixture) -> None:
    assert doctor.examine() == 0
    out = capsys.readouterr().out
    assert "ok       torch 2." in out and "missing" not in out


def test_the_doctor_names_the_remedy_for_a_broken_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "raise RuntimeError('operator torchvision::nms does not exist')"
    monkeypatch.setattr(doctor, "TORCH", broken)
    lines: list[str] = []
    assert doctor.examine(say=lines.append) == 1
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


def test_every_deliberate_error_is_a_value_error() -> None:
    assert issubclass(SDNError, ValueError)
