"""Chapters run strictly, resume, and are gated; the book renders only what ran."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
import tiny_book
from nbformat.v4 import new_code_cell

from sdn_lib import cli, files, profiles, reproduce
from sdn_lib.book import dependencies
from sdn_lib.errors import SDNError
from sdn_lib.machine import gigabytes, seconds
from sdn_lib.render import book, publish, speed, status
from sdn_lib.reproduce import ChapterError, gate, select

NAMES = ["00_first", "01_second", "10_tenth"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny book of its own, whose 'library' no one else edits."""
    monkeypatch.setattr(dependencies, "LIBRARY", tmp_path / "library")
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    return tiny_book.write(tmp_path)


def run(root: Path, **options) -> list[str]:
    """Run the tiny book's second, quick chapter and return the lines that it reports."""
    lines: list[str] = []
    options = {"chapters": ["1"], "report": lines.append, **options}
    reproduce.reproduce("smoke", root=root, **options)
    return lines


def record(root: Path, name: str = "01_second") -> dict:
    return json.loads((root / f"_build/smoke/results/{name}.json").read_text())


def executed(root: Path, name: str = "01_second") -> nbformat.NotebookNode:
    return nbformat.read(root / f"_build/smoke/executed/{name}.ipynb", as_version=4)


def edit(root: Path, cell: int, source: str, name: str = "01_second") -> None:
    path = root / f"book/{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[cell].source = source
    tiny_book.save(notebook, path)


def test_a_run_leaves_executed_copies_and_records(root: Path) -> None:
    lines = run(root, chapters=None, seed=3, parameters={"steps": 7})
    assert len(lines) == 2 and lines[0].startswith("00_first ") and "peak" in lines[0]
    made = record(root, "00_first")
    assert made["numbers"] == {"answer": 44.5, "used_profile": "smoke", "run_teacher": "loaded"}
    assert made["parameters"] == {"profile": "smoke", "seed": 3, "steps": 7}
    assert made["title"] == "First chapter"
    assert made["seconds"] > 0 and made["peak_memory_bytes"] > 20e6
    assert set(made["hardware"]) >= {"processor", "cores", "memory_bytes", "accelerators"}
    assert set(made["versions"]) >= {"python", "torch", "torchvision", "papermill"}
    assert made["git"] == {"commit": None, "dirty": None}
    notebook = executed(root, "00_first")
    assert "widgets" not in notebook.metadata
    assert str(root) not in nbformat.writes(notebook)
    names = {path.name for path in (root / "_build/smoke/executed").iterdir()}
    assert names == {"00_first.ipynb", "01_second.ipynb"}
    assert all(
        not c.get("outputs")
        for c in nbformat.read(root / "book/00_first.ipynb", as_version=4).cells
    )


def test_chapters_run_side_by_side_and_are_reported_as_alone(root: Path) -> None:
    alone = reproduce.reproduce("smoke", root=root)
    together = reproduce.reproduce("smoke", root=root, fresh=True, workers=2)
    for a, b in zip(alone, together, strict=True):
        assert (a["chapter"], a["numbers"]) == (b["chapter"], b["numbers"])
        assert a["origin"]["code"] == b["origin"]["code"]
    edit(root, 2, "raise ValueError('no birds')")
    with pytest.raises(reproduce.ChapterError, match="no birds") as caught:
        run(root, workers=2)
    assert "Traceback" in caught.value.detail
    with pytest.raises(SDNError, match="workers=0 is below 1"):
        run(root, workers=0)


def test_a_worker_that_is_killed_is_an_error(root: Path) -> None:
    with pytest.raises(SDNError, match="was killed, out of memory perhaps.*fewer --workers"):
        list(reproduce.at_once(os._exit, [(9,), (9,)], 2, root))
    assert "JUPYTER_PATH" not in os.environ


def test_what_is_up_to_date_does_not_run_again(root: Path) -> None:
    run(root)
    first = record(root)
    assert "up to date" in run(root)[0]
    assert record(root) == first
    assert "peak" in run(root, fresh=True)[0]
    assert record(root)["started"] >= first["started"]


def test_new_text_keeps_the_outputs_and_new_code_does_not(root: Path) -> None:
    run(root)
    edit(root, 0, "# Another title\n\nAnd text.")
    assert "outputs kept" in run(root)[0]
    assert record(root)["title"] == "Another title"
    assert executed(root).cells[0].source.startswith("# Another title")
    assert executed(root).cells[3].outputs[0].text == "2\n"
    assert "up to date" in run(root)[0]
    edit(root, 2, "print(1 + 2)")
    assert "peak" in run(root)[0]
    assert executed(root).cells[3].outputs[0].text == "3\n"


def test_what_a_chapter_depends_on_makes_it_stale(root: Path) -> None:
    place = reproduce.layout("smoke", root)
    values = {"profile": "smoke", "seed": 0}
    assert reproduce.stale(place, "01_second", values) == "it has not been run"
    run(root)
    assert reproduce.stale(place, "01_second", values) is None
    assert "parameters" in reproduce.stale(place, "01_second", {**values, "seed": 1})
    shipped = root / "results/smoke/teacher"
    shipped.mkdir(parents=True)
    (shipped / "weights.safetensors").write_bytes(b"new")
    assert "weights" in reproduce.stale(place, "01_second", values)
    run(root)
    (root / "library/unused.py").write_text("value = 2\n")
    assert reproduce.stale(place, "01_second", values) is None
    (root / "library/errors.py").write_text("value = 2\n")
    assert "sdn_lib" in reproduce.stale(place, "01_second", values)


def test_other_packages_make_a_chapter_stale_and_another_build_does_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = reproduce.layout("smoke", root)
    run(root)
    then = record(root)["versions"]
    assert {"python", "torch", "torchvision", "numpy", "matplotlib", "pillow"} <= set(then)

    def why(**changes: str | None) -> str | None:
        now = {key: value for key, value in {**then, **changes}.items() if value}
        monkeypatch.setattr(reproduce, "versions", lambda: now)
        return reproduce.stale(place, "01_second")

    assert why() is None
    torch = then["torch"].split("+")[0]
    assert why(torch=f"{torch}+cpu") is None
    assert why(torch="9.0") == f"packages changed (torch {torch}, now 9.0)"
    assert why(pillow=None) == f"packages changed (pillow {then['pillow']}, now none)"
    assert "python" in why(python="3.99.1")
    assert why(**{"jupyter-book": "9.0"}) is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda copy, _: copy.write_bytes(b""), "copy is damaged"),
        (lambda copy, _: copy.write_bytes(copy.read_bytes()[:-40]), "copy is damaged"),
        (lambda copy, _: copy.write_text("{}"), "copy is damaged"),
        (lambda copy, _: copy.write_text(copy.read_text().replace("2", "3", 1)), "copy is damaged"),
        (lambda _, record: record.write_bytes(b""), "record is damaged"),
        (lambda _, record: record.write_bytes(b"\xff\xfe"), "record is damaged"),
        (lambda _, record: record.write_text("[]"), "record is damaged"),
        (lambda _, record: record.write_text("{}"), "record is damaged"),
        (lambda _, record: rewritten(record, git=None), "record is damaged"),
        (lambda _, record: rewritten(record, hardware={"cores": 2}), "record is damaged"),
        (lambda _, record: rewritten(record, executed=3), "record is damaged"),
        (lambda _, record: rewritten(record, seconds="long"), "record is damaged"),
        (lambda copy, _: copy.unlink(), "it has not been run"),
        (lambda _, record: record.unlink(), "it has not been run"),
    ],
)
def test_damaged_files_are_run_again_and_named_by_the_book(
    ran_once: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spoil, said: str
) -> None:
    root = tmp_path / "book"
    shutil.copytree(ran_once, root)
    monkeypatch.setattr(dependencies, "LIBRARY", root / "library")
    place = reproduce.layout("smoke", root)
    assert reproduce.stale(place, "01_second") is None
    spoil(place.executed("01_second"), place.record("01_second"))
    assert said in reproduce.stale(place, "01_second")
    with pytest.raises(SDNError, match=f"01_second: .*{said}.*run `sdn reproduce --profile smoke`"):
        book("smoke", root=root)
    again: list[str] = []

    def run(place: reproduce.Layout, name: str, values: dict) -> dict:
        again.append(name)
        return {"seconds": 1.0, "peak_memory_bytes": 1}

    monkeypatch.setattr(reproduce, "run", run)
    reproduce.reproduce("smoke", ["1"], root=root, report=lambda line: None)
    assert again == ["01_second"]


@pytest.fixture(scope="module")
def ran_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny book whose second chapter has been run."""
    root = tiny_book.write(tmp_path_factory.mktemp("once") / "book")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dependencies, "LIBRARY", root / "library")
        run(root)
    return root


def rewritten(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_empty_copy_heals(root: Path) -> None:
    run(root)
    place = reproduce.layout("smoke", root)
    place.executed("01_second").write_bytes(b"")
    assert "peak" in run(root)[0] and "up to date" in run(root)[0]
    place.record("01_second").write_text("[")
    with pytest.raises(SDNError, match="01_second.json cannot be read.*sdn reproduce"):
        reproduce.read_record(place, "01_second")
    assert "peak" in run(root)[0] and executed(root).cells[3].outputs[0].text == "2\n"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', '{"nbformat": 4}'])
def test_a_source_that_is_no_notebook_is_named(root: Path, content: str) -> None:
    (root / "book/01_second.ipynb").write_text(content)
    with pytest.raises(SDNError, match=r"01_second\.ipynb is no notebook .*git checkout"):
        run(root)


def test_a_second_run_waits_for_the_first_and_says_so(root: Path) -> None:
    place = reproduce.layout("smoke", root)
    lines: list[str] = []
    second = threading.Thread(target=lambda: lines.extend(run(root, report=lines.append)))
    with files.alone(place.build / "executed"):
        second.start()
        second.join(3)
        assert second.is_alive() and not place.record("01_second").exists()
        assert lines == ["waiting for another `sdn` that is at work on profile smoke"]
    second.join(120)
    assert not second.is_alive() and "peak" in lines[1]


def test_what_cannot_be_written_is_one_line(
    root: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "_build").write_text("a file")
    for command in ("reproduce", "book"):
        assert cli.main([command, "--profile", "smoke"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        assert "_build" in said and "move it away" in said
    (root / "_build").unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/file")

    monkeypatch.setattr(reproduce, "fingerprints", full)
    assert cli.main(["reproduce", "--profile", "smoke", "--chapters", "1"]) == 2
    said = capsys.readouterr().err
    assert said == (
        "error: /somewhere/file: no space left on device: free some space, then run the same "
        "command again\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"output_dir": " "}, "output_dir is"),
        ({"workers": 0}, "workers=0 is below 1"),
        ({"workers": -1}, "workers=-1 is below 1"),
        ({"chapters": []}, "no chapter is named"),
        ({"chapters": ["²"]}, "unknown chapter '²'"),
        ({"chapters": [""]}, "unknown chapter ''"),
        ({"chapters": ["99"]}, "unknown chapter '99'"),
    ],
)
def test_bad_values_stop_before_anything_runs(root: Path, options: dict, said: str) -> None:
    with pytest.raises(SDNError, match=said):
        run(root, **options)
    assert not (root / "_build").exists()


def test_an_unknown_parameter_stops_before_anything_runs(root: Path) -> None:
    with pytest.raises(SDNError, match=r"no parameter 'step': did you mean 'steps'"):
        run(root, chapters=None, parameters={"step": 3})
    assert not (root / "_build").exists()


@pytest.mark.parametrize("tags", [[], ["parameters"]])
def test_a_chapter_needs_exactly_one_parameters_cell(root: Path, tags: list[str]) -> None:
    path = root / "book/01_second.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["tags"] = tags
    notebook.cells[2].metadata["tags"] = tags
    tiny_book.save(notebook, path)
    with pytest.raises(SDNError, match="cells tagged 'parameters'"):
        run(root)


def test_a_failing_chapter_stops_the_run(root: Path, capfd: pytest.CaptureFixture) -> None:
    edit(root, 2, "print('before')\nraise KeyError('wings')", "00_first")
    assert cli.main(["reproduce", "--profile", "smoke"]) == 2
    said = capfd.readouterr().err
    assert "Traceback" in said and "raise KeyError" in said
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: chapter 00_first failed in cell In [3] with KeyError: 'wings'")
    assert "_build/smoke/executed/00_first.failed.ipynb" in last
    assert [p.name for p in (root / "_build/smoke/executed").iterdir()] == ["00_first.failed.ipynb"]
    assert not (root / "_build/smoke/results").exists()
    edit(root, 2, "answer = 1")
    edit(root, 0, "# First", "00_first")
    edit(root, 2, "answer = 1", "00_first")
    edit(root, 3, "pass", "00_first")
    assert cli.main(["reproduce", "--profile", "smoke"]) == 0
    assert not list((root / "_build/smoke/executed").glob("*.failed.ipynb"))


def test_a_kernel_that_dies_is_a_failed_chapter(root: Path) -> None:
    edit(root, 2, "import os\nos._exit(9)")
    with pytest.raises(ChapterError, match="its kernel died"):
        run(root)
    assert not (root / "_build/smoke/executed/01_second.ipynb").exists()


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
        "PYTHONOPTIMIZE": "2", "PYTHONUTF8": "0", "LC_ALL": "C",
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


def test_an_error_on_purpose_is_told_without_a_traceback(
    root: Path, capfd: pytest.CaptureFixture
) -> None:
    edit(root, 2, "from sdn_lib.errors import SDNError\nraise SDNError('no bird: paint one')")
    assert cli.main(["reproduce", "--profile", "smoke", "--chapters", "1"]) == 2
    said = capfd.readouterr().err
    assert "with SDNError: no bird: paint one; see _build" in said and "Traceback" not in said
    assert said.strip().splitlines()[-1].startswith("error: chapter 01_second failed in cell")


def test_papermill_runs_a_chapter_by_itself(root: Path) -> None:
    command = [sys.executable, "-m", "papermill", "book/00_first.ipynb", "out.ipynb"]
    command += ["-p", "profile", "smoke", "--log-level", "ERROR", "--no-progress-bar"]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    done = nbformat.read(root / "out.ipynb", as_version=4)
    source = nbformat.read(root / "book/00_first.ipynb", as_version=4)
    assert gate(source, done, "00_first")["used_profile"] == "smoke"


def ran(*sources: str) -> nbformat.NotebookNode:
    """Return a chapter of code cells as papermill would leave it."""
    notebook = tiny_book.chapter(*(new_code_cell(source) for source in sources))
    for count, cell in enumerate(notebook.cells[1:], start=1):
        cell.execution_count = count
    return notebook


def glued(name: str, text: str) -> nbformat.NotebookNode:
    prefix = "application/papermill.record/"
    return nbformat.v4.new_output(
        "display_data",
        {f"{prefix}text/plain": text},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def test_the_gate_lets_a_good_chapter_through() -> None:
    done = ran("a = 1", "a")
    values = {"n": "3", "x": "0.5", "flag": "True", "how": "'loaded'", "bad": "nan", "o": "<o>"}
    done.cells[2].outputs = [glued(*item) for item in values.items()]
    numbers = gate(ran("a = 1", "a"), done, "00_first")
    assert numbers == {"n": 3, "x": 0.5, "flag": True, "how": "loaded", "bad": "nan"}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda n: n.cells.pop(), "not those of the source"),
        (lambda n: n.cells[2].update(source="a = 2"), "not those of the source"),
        (lambda n: n.cells[3].update(execution_count=None), "must run once, in order"),
        (lambda n: n.cells[3].update(execution_count=9), "must run once, in order"),
        (
            lambda n: n.cells[2].outputs.append(
                nbformat.v4.new_output("error", ename="KeyError", evalue="", traceback=[])
            ),
            "shows KeyError",
        ),
        (
            lambda n: n.cells[2].outputs.extend([glued("x", "1"), glued("x", "2")]),
            "glues 'x' twice",
        ),
        (lambda n: n.cells[2].outputs.append(glued("x", "np.float64(0.5)")), "wrap it in float"),
        (lambda n: n.cells[2].outputs.append(glued("x", "tensor(0.5)")), "wrap it in float"),
    ],
)
def test_the_gate_stops(spoil, said: str) -> None:
    done = ran("a = 1", "a")
    spoil(done)
    with pytest.raises(ChapterError, match=said):
        gate(ran("a = 1", "a"), done, "00_first")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (None, NAMES),
        (["1"], ["01_second"]),
        (["01", "00_first"], ["00_first", "01_second"]),
        (["tenth", "10"], ["10_tenth"]),
    ],
)
def test_chapters_are_chosen_by_number_or_name(chosen, expected) -> None:
    assert select(NAMES, chosen) == expected


def test_an_unknown_chapter_lists_the_near_ones() -> None:
    with pytest.raises(SDNError, match="unknown chapter '01_secnd': did you mean '01_second'"):
        select(NAMES, ["01_secnd"])


def test_a_book_of_chapters_that_did_not_run_is_refused(root: Path) -> None:
    run(root)
    with pytest.raises(
        SDNError, match="00_first: it has not been run.*sdn reproduce --profile smo"
    ):
        book("smoke", root=root)
    run(root, chapters=None)
    edit(root, 2, "print(0)")
    with pytest.raises(SDNError, match="01_second: its code changed"):
        book("smoke", root=root)


def test_a_warning_stops_the_rendering(root: Path) -> None:
    run(root, chapters=None)
    (root / "book/index.md").write_text("# Tiny\n\nSee {doc}`nowhere` and {cite}`nobody1999`.\n")
    with pytest.raises(SDNError) as caught:
        book("smoke", root=root)
    assert "nowhere" in str(caught.value) and "nobody1999" in str(caught.value)
    assert not (root / "_build/html").exists()


def test_the_status_page_says_what_ran_where() -> None:
    one = {
        "chapter": "05_stage_one",
        "title": "Stage one",
        "profile": "cpu",
        "seed": 0,
        "parameters": {"profile": "cpu", "seed": 0},
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": 75.0,
        "peak_memory_bytes": 1_500_000_000,
        "hardware": {
            "processor": "A chip",
            "cores": 2,
            "memory_bytes": 8_000_000_000,
            "accelerators": [],
            "system": "Linux x86_64",
        },
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "numbers": {"run_teacher": "loaded", "run_text": "loaded", "run_stage_one": "trained"},
    }
    two = {**one, "chapter": "06_stage_two", "parameters": {"profile": "cpu", "steps": 3}}
    two["hardware"] = {**one["hardware"], "accelerators": ["A GPU"]}
    page = status([one, two])
    for part in (
        "[Stage one](05_stage_one.ipynb) | 1 min 15 s | 1.5 GB | cpu | 0",
        "loaded: teacher, text; trained: stage_one",
        "`0123456789` with changes",
        "A chip, 2 cores, 8.0 GB, no GPU, Linux x86_64 (chapter 05)",
        "A chip, 2 cores, 8.0 GB, A GPU, Linux x86_64 (chapter 06)",
        "- python 3.11.7, torch 2.15.0\n",
        "06_stage_two ran with other parameters",
    ):
        assert part in page
    assert "smoke" not in page.lower()
    assert "means nothing" not in page and "mean nothing" in status([{**one, "profile": "smoke"}])


def test_durations_and_sizes_are_for_people() -> None:
    assert [seconds(v) for v in (0.123, 58.4, 200)] == ["0.1 s", "58 s", "3 min 20 s"]
    assert [gigabytes(v) for v in (53e6, 1.25e9)] == ["53 MB", "1.2 GB"]


def test_the_speed_page_is_made_of_what_the_benchmarks_kept(tmp_path: Path) -> None:
    facts = {
        "tables": {"A step": [{"stage": "stage_one", "seconds": 5.4621}]},
        "hardware": {
            "processor": "A chip", "cores": 2, "memory_bytes": 8_000_000_000, "accelerators": [],
            "system": "Linux x86_64",
        },
        "versions": {"torch": "2.15.0"},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "when": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip
    path = tmp_path / "training.json"
    path.write_text(json.dumps(facts))
    page = speed([path])
    for part in (
        "# Speed\n", "## Training", "```{table} A step", "| stage_one | 5.46 |",
        "benchmarks/bench_training.py` on 2026-01-02: A chip, 2 cores", "commit `0123456789`",
    ):  # fmt: skip
        assert part in page
    assert "No GPU was at hand" in page
    other = tmp_path / "gpu.json"
    other.write_text(json.dumps(facts))
    assert "{figure}" not in page
    facts["tables"] = {
        "A training step": [
            {"size": size, "stage": stage, "variant": kind, "seconds a step": 2.0, "peak GB": 3.0}
            for size in ("paper", "cpu profile")
            for stage in ("stage_one", "stage_two")
            for kind in ("plain", "fast")
        ],
        "Floor": [{"size": "paper", "stage": "stage_two", "floor s": 1.5}],
    }
    path.write_text(json.dumps(facts))
    assert "{figure} _static/steps.png" in speed([path], tmp_path)
    assert (tmp_path / "steps.png").stat().st_size > 5000
    both = speed([other, path])
    assert "## GPU" in both and "No GPU was at hand" not in both
    path.write_text("{")
    with pytest.raises(SDNError, match="training.json cannot be read.*run its benchmark again"):
        speed([path])


def page(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(text)
    return folder


def test_a_book_is_published_over_a_link_and_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "_build" / "html"
    made = page(tmp_path / "_build/cpu/render/html", "one")
    assert publish(made, target) == target and not made.exists()
    page(tmp_path / "_build/html.old", "left by an earlier version")
    publish(page(made, "two"), target)
    assert (target / "index.html").read_text() == "two"
    assert sorted(p.name for p in target.parent.iterdir()) == ["cpu", "html"]

    elsewhere = page(tmp_path / "elsewhere/pages", "old")
    (elsewhere / "gone.html").write_text("old")
    shutil.rmtree(target)
    target.symlink_to(elsewhere)
    publish(page(made, "three"), target)
    assert target.is_symlink() and (elsewhere / "index.html").read_text() == "three"
    assert [p.name for p in elsewhere.parent.iterdir()] == ["pages"]
    assert not (elsewhere / "gone.html").exists()

    shutil.rmtree(elsewhere)  # the link dangles
    publish(page(made, "four"), target)
    assert (elsewhere / "index.html").read_text() == "four"
    target.unlink()
    target.write_text("a file")
    with pytest.raises(SDNError, match="html is a file: move it away"):
        publish(page(made, "five"), target)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EBUSY])
def test_a_book_is_published_to_another_disk_and_into_a_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    target = page(tmp_path / "_build" / "html", "old")
    (target / "gone.html").write_text("old")
    made = page(tmp_path / "_build/cpu/render/html", "new")
    rename, os_rename = Path.rename, os.rename

    def refused(self: Path, to: Path) -> Path:
        if code == errno.EBUSY and target == self:
            raise OSError(code, os.strerror(code), str(self))
        return rename(self, to)

    def across(old: Path, new: Path, **options: object) -> None:
        if Path(old) == made:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(old))
        os_rename(old, new, **options)

    monkeypatch.setattr(Path, "rename", refused)
    monkeypatch.setattr(os, "rename", across)
    publish(made, target)
    assert {p.name: p.read_text() for p in target.iterdir()} == {"index.html": "new"}
    assert [p.name for p in target.parent.iterdir() if p.name.startswith(".")] == []
    assert not made.exists()


def test_a_full_disk_leaves_the_book_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, made = page(tmp_path / "html", "old"), page(tmp_path / "made", "new")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def across(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "rename", across)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SDNError, match="html could not be written: .*No space left"):
        publish(made, target)
    assert (target / "index.html").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["html", "made"]


def test_a_build_folder_on_another_place_works(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (root / "_build").symlink_to(tmp_path / "disk")
    assert "peak" in run(root)[0] and "up to date" in run(root)[0]
    assert (tmp_path / "disk/smoke/executed/01_second.ipynb").is_file()
