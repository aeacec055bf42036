"""Chapters run strictly, resume, and are gated; the book renders only what ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import tiny_book
from nbformat.v4 import new_code_cell

from sdn_lib import cli, profiles, reproduce
from sdn_lib.errors import SDNError
from sdn_lib.machine import gigabytes, seconds
from sdn_lib.render import book, speed, status
from sdn_lib.reproduce import ChapterError, gate, select

NAMES = ["00_first", "01_second", "10_tenth"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny book of its own, whose 'library' no one else edits."""
    monkeypatch.setattr(reproduce, "LIBRARY", tmp_path / "library")
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


def test_a_chapter_depends_on_the_modules_that_it_imports_and_on_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "library"
    (library / "data").mkdir(parents=True)
    for name, code in {
        "a": "from sdn_lib.data import birds\n",
        "b": "def late():\n    import sdn_lib.c\n",
        "c": "",
        "unused": "from sdn_lib import a, b\n",
        "data/birds": "from sdn_lib.b import (\n    late,\n)\n",
        "cli": "from sdn_lib import unused\n",
    }.items():
        (library / f"{name}.py").write_text(code)
    monkeypatch.setattr(reproduce, "LIBRARY", library)

    def found(*code: str) -> list[str]:
        return [p.relative_to(library).as_posix() for p in reproduce.imported(code)]

    assert found("import numpy as np", "x = 1") == []
    assert found("import sdn_lib.c, numpy") == ["c.py"]
    assert found("from sdn_lib import (\n    a,\n)") == ["a.py", "b.py", "c.py", "data/birds.py"]
    assert found("%matplotlib inline") == ["a.py", "b.py", "c.py", "data/birds.py", "unused.py"]


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
