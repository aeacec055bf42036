"""`sdn` is quick to answer, prints one line for bad input, and paints what it is asked for."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sdn_lib import cli, commands, doctor, experiments, profiles, runs
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.text import CharCNNRNN

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
        (["sample", "a bird", "--out", "bird"], "bird is no PNG"),
        (["sample", "a bird", "--out", "bird.png", "--scale", "100000"], "magnify by 128 or less"),
        (["sample", "--file", "many.txt", "--out", "bird.png"], "many.txt is missing"),
        (["sample", "--file", ".", "--out", "bird.png"], "is a folder: name a text file"),
        (["train", "techer", "--profile", "smoke"], "unknown run 'techer': did you mean 'teacher'"),
        (["train", "evaluator", "--profile", "birds64"], "evaluator judges painted birds, and"),
        (["train", "second_evaluator", "--profile", "flowers64"], "second_evaluator judges pain"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "--trainings", "1"], "a spread takes two trainings or more, not 1"),
        (["evaluate", "--trainings", "2", "--run", "baseline"], "leave --run out"),
        (["evaluate", "--attributes", "x"], "--attributes is for photographs"),
        (["evaluate", "--json", "/"], "--json / is a folder: name a JSON file"),
        (["evaluate", "--run", "teacher"], "'teacher' is no student"),
        (["publish", "--as-they-are", "x"], "go with photographs: leave them out"),
        (["publish", "--attributes", "x"], "go with photographs: leave them out"),
        (["publish", "--against", "birds64"], "go with photographs: leave them out"),
        (["ablate", "full", "--profile", "birds64"], "photographs of profile 'birds64' lack"),
        (["evaluate", "--trainings", "2", "--profile", "birds64"], "'birds64' has photographs"),
        (["reproduce", "--workers", "0"], "workers=0 is below 1"),
        (["reproduce", "--workers", "-1"], "workers=-1 is below 1"),
        (["reproduce", "--seed", "-1"], "seed is -1"),
        (["reproduce", "--chapters", "²"], "unknown chapter '²'"),
        (["reproduce", "--chapters", ""], "unknown chapter ''"),
        (["reproduce", "--chapters", "99"], "unknown chapter '99'"),
        (["reproduce", "-p", "seed", "3"], "-p seed has an option of its own: write --seed"),
        (["reproduce", "-p", "profile", "smoke"], "write --profile"),
        (["reproduce", "-p", "output_dir", "x"], "write --output-dir"),
        (["reproduce", "-p", "live_steps", "3", "-p", "live_steps", "4"], "live_steps comes twice"),
        (["reproduce", "--chapters", "5", "-p", "live_steps", "0"], "live_steps is 0"),
        (["reproduce", "--chapters", "5", "-p", "live_steps", "x"], "live_steps is 'x'"),
        (["reproduce", "--chapters", "5", "-p", "live_step", "3"], "did you mean 'live_steps'"),
        (["reproduce", "--chapters", "1", "--output-dir", " "], "output_dir is ' '"),
        (["ablate", "--workers", "0"], "workers=0 is below 1"),
        (["ablate", "--seeds", "0", "-1"], "seed is -1"),
        (["data", "--profile", ""], "unknown profile ''"),
    ],
)
def test_a_value_out_of_range_is_one_line_and_status_two(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    chosen = [] if "--profile" in arguments else ["--profile", "smoke"]
    assert cli.main([*arguments, *chosen]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert said in captured.err and captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["reproduce", "--workers", "²"], "--workers: invalid int value: '²'"),
        (["reproduce", "--seed", "1.5"], "--seed: invalid int value: '1.5'"),
        (["ablate", "--seeds", "x"], "--seeds: invalid int value: 'x'"),
        (["reproduce", "--chapters", "5", "--chapters", "6"], "--chapters: it comes twice"),
        (["data", "--profile", "cpu", "--profile", "smoke"], "--profile: it comes twice"),
        (["data", "--profile"], "--profile: expected one argument"),
        (["data", "--prolife", "cpu"], "unrecognized arguments: --prolife cpu"),
    ],
)
def test_a_wrong_line_is_answered_with_one_and_status_two(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert said in captured.err and "--help`" in captured.err


def test_the_version_is_that_of_the_project(tmp_path: Path) -> None:
    facts = tomllib.loads((profiles.BESIDE / "pyproject.toml").read_text())["project"]
    command = [sys.executable, "-m", "sdn_lib", "--version"]
    where = {**os.environ, "PYTHONPATH": str(profiles.BESIDE)}
    done = subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"sdn {facts['version']}\n")


def test_what_the_system_refuses_is_one_line_and_status_two(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refused() -> int:
        raise PermissionError(errno.EACCES, "Permission denied", "/there/_build")

    monkeypatch.setattr(doctor, "examine", refused)
    assert cli.main(["doctor"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: /there/_build: permission denied: make it writable")
    assert said.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no Linux here")
def test_output_that_nobody_can_take_is_no_traceback() -> None:
    command = [sys.executable, "-m", "sdn_lib", "doctor"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0].startswith("error: no space left on device")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        done = subprocess.run(command, stdout=broken, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == ""


def test_a_terminal_that_knows_ascii_alone_gets_all_the_same() -> None:
    code = "from sdn_lib import cli, doctor; import sys\n"
    code += "doctor.examine = lambda: print('Fr\\xe9chet \\udcff')\nsys.exit(cli.main(['doctor']))"
    poor = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C", "LANG": "C"}
    for more in ({}, {"PYTHONIOENCODING": "ascii"}):
        done = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **poor, **more}, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(b"Fr") and b"chet" in done.stdout


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
    [
        ("3", 3), ("0.5", 0.5), ("True", True), ("None", None), ("cpu", "cpu"), ("[1]", "[1]"),
        ("{[]}", "{[]}"), (9999 * "(", 9999 * "("),
    ],
)  # fmt: skip
def test_parameters_become_scalars(text: str, value: object) -> None:
    assert commands._value(text) == value


def test_every_deliberate_error_is_a_value_error() -> None:
    assert issubclass(SDNError, ValueError)


def test_a_report_is_a_table_or_json_or_both(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(experiments, "evaluate", lambda profile, names: {"runs": len(names)})
    monkeypatch.setattr(experiments, "to_table", lambda report: f"a table of {report['runs']}")
    said = {}
    path = tmp_path / "new" / "report.json"
    for more in ((), ("--json",), ("--json", str(path))):
        assert cli.main(["evaluate", "--profile", "smoke", *more]) == 0
        said[len(more)] = capsys.readouterr().out
    assert said[0] == said[2] == "a table of 3\n"
    assert json.loads(said[1]) == json.loads(path.read_text()) == {"runs": 3}


# --- sample ----------------------------------------------------------------------------------


class Painter:
    """Paints the caption's length as grey, eight pixels a side."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.captions: list[str] = []
        profile = SimpleNamespace(data=SimpleNamespace(size=8), photos=None)
        monkeypatch.setattr(commands, "_profile", lambda options: profile)
        for room in (runs, runs.store):
            found = SimpleNamespace(model=CharCNNRNN())
            monkeypatch.setattr(room, "get", lambda name, profile, found=found: found)
        monkeypatch.setattr(runs.store, "train_config", lambda name, profile: None)
        monkeypatch.setattr(runs, "paint", self.paint)

    def paint(self, student: object, encoder: CharCNNRNN, captions: list[str]) -> torch.Tensor:
        self.captions = captions
        encoder.encode(captions)
        grey = torch.tensor([len(caption) / 255 for caption in captions])
        return grey[:, None, None, None].expand(-1, 3, 8, 8)


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    return Painter(monkeypatch)


def sample(*arguments: object) -> int:
    return cli.main(["sample", *map(str, arguments)])


def test_words_without_quotes_are_one_caption(painter, tmp_path, capsys) -> None:
    out = tmp_path / "new" / "folder" / "bird.png"
    assert sample("a", "red", "bird", "--out", out, "--scale", "2") == 0
    assert painter.captions == ["a red bird"]
    said = capsys.readouterr()
    assert said.out == f"{out}: 1 picture by stage_two\n"
    assert said.err.startswith("note: words without quotes are one caption, 'a red bird'")
    assert said.err.count("\n") == 1
    assert Image.open(out).size == (16, 16)
    assert [path.name for path in out.parent.iterdir()] == ["bird.png"]


@pytest.mark.parametrize(
    "captions", [["a red bird", "an owl"], ["bird"], ["a red bird", "owl"], ["owl ", "a bird"]]
)
def test_captions_in_quotes_stay_apart(painter, tmp_path, capsys, captions) -> None:
    assert sample(*captions, "--out", tmp_path / "bird.png") == 0
    assert painter.captions == captions
    said = capsys.readouterr()
    assert said.err == ""
    assert ("1 picture " if len(captions) == 1 else "2 pictures ") in said.out


def test_what_cannot_be_read_is_noted(painter, tmp_path, capsys, recwarn) -> None:
    odd = ["красная птица", "a réd bird", "a red bird " * 30]
    assert sample("a red bird", *odd, "--out", tmp_path / "bird.png") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("note: caption '") for line in lines)
    assert "'красная птица': not one letter" in lines[0]
    assert "'é' (write e)" in lines[1] and "only the first 201" in lines[2]
    assert len(recwarn) == 0
    assert (tmp_path / "bird.png").exists()


def test_many_captions_wrap_into_rows(painter, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(commands, "LARGEST", 100)
    words = [f"{'x ' * n}x" for n in range(1, 8)]
    assert sample(*words, "--out", tmp_path / "bird.png", "--scale", "4") == 0
    assert "7 pictures by stage_two, in 3 rows" in capsys.readouterr().out
    picture = np.asarray(Image.open(tmp_path / "bird.png"))
    assert picture.shape == (96, 96, 3)
    expected = [[3, 5, 7], [9, 11, 13], [15, 255, 255]]
    assert picture[::32, ::32, 0].tolist() == expected
    assert (picture == picture[::32, ::32].repeat(32, 0).repeat(32, 1)).all()
    assert sample(*words, *words, "--out", tmp_path / "more.png") == 2
    assert "14 pictures are more than the 9 that" in capsys.readouterr().err
    assert sample("a bird", "--out", tmp_path / "more.png", "--scale", "13") == 2
    assert "104 pixels a side: magnify by 12 or less" in capsys.readouterr().err
    assert not (tmp_path / "more.png").exists()


def test_places_that_cannot_be_written_are_one_line(
    painter, tmp_path, capsys, monkeypatch
) -> None:
    (tmp_path / "folder.png").mkdir()
    assert sample("a bird", "--out", tmp_path / "folder.png") == 2
    assert "folder.png is a folder: name a PNG file" in capsys.readouterr().err
    assert painter.captions == [], "before the work"
    (tmp_path / "file").touch()
    assert sample("a bird", "--out", tmp_path / "file" / "bird.png") == 2
    assert "a file stands where a folder is needed" in capsys.readouterr().err
    old = tmp_path / "bird.png"
    old.write_bytes(b"old")

    def full(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert sample("a bird", "--out", old) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {old}: no space left") and said.count("\n") == 1
    assert old.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"bird.png", "file", "folder.png"}


def test_captions_come_from_a_file_or_the_input(painter, tmp_path, monkeypatch, capsys) -> None:
    path = tmp_path / "captions.txt"
    path.write_bytes("a réd finch\r\nowl\r\n\r\n".encode("utf-16"))
    assert sample("a", "bird", "--file", path, "--out", tmp_path / "bird.png") == 0
    assert painter.captions == ["a bird", "a réd finch", "owl"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a finch\n\xc3\xa9 owl\n")))
    assert sample("--file", "-", "--out", tmp_path / "bird.png") == 0
    assert painter.captions == ["a finch", "é owl"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a finch\n\nan owl\n")))
    assert sample("--file", "-", "--out", tmp_path / "bird.png") == 2
    assert "error: the input, line 2, is empty" in capsys.readouterr().err


def test_networks_that_ship_paint_without_their_photographs(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(prepared, "is_prepared", lambda folder, source=None: False)
    out = tmp_path / "bird.png"
    asked = ["a red bird", "--profile", "birds64", "--scale", "1", "--output-dir", tmp_path / "own"]
    assert sample(*asked, "--out", out) == 0
    said = capsys.readouterr()
    assert "data/birds-64 is not prepared: the networks are those of" in said.err
    assert said.out == f"{out}: 1 picture by stage_two\n" and Image.open(out).size == (64, 64)
    (tmp_path / "own" / "stage_two").mkdir(parents=True)
    assert sample(*asked, "--out", out) == 2
    assert "birds-64 is no prepared data set" in capsys.readouterr().err
    assert sample("a bird", "--profile", "birds64", "--run", "teacher", "--out", out) == 2
    assert "'teacher' is no student" in capsys.readouterr().err
    assert sample("a rose", "--profile", "flowers64", "--out", out) == 2
    assert "flowers-64 is no prepared data set" in capsys.readouterr().err
