"""The pages on status and speed say what ran where, and what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny_book

from sdn_lib.book.pages import fill
from sdn_lib.book.speed import speed_page
from sdn_lib.book.status import status_page
from sdn_lib.errors import SDNError
from sdn_lib.machine import gigabytes, seconds

BOOK = tiny_book.ROOT / "book"
STATUS, SPEED = BOOK / "status.md", BOOK / "speed.md"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("# A page\n\n% put one\n", "# A page\n\n1\n"),
        ("% if one\nthere\n% end\n% if not one\nmissing\n% end\n", "there\n"),
        ("% if none\nthere\n% put one\n% end\n% if not none\nmissing\n% end\n", "missing\n"),
        ("% if none\n% if one\nthere\n% end\n% end\n100 % end\n", "100 % end\n"),
        ("% put two\n", "page.md asks for 'two': choose from 'one'"),
        ("% if nothing\n% end\n", "page.md asks for 'nothing'"),
        ("% if one\n", "without an `% end`"),
        ("% end\n", "without an `% if`"),
        ("% put\n", "an `% put` without a name"),
        ("% if\n% end\n", "an `% if` without a name"),
        ("% \nhere\n", "% \nhere\n"),
    ],
)
def test_marks_of_a_page_are_filled(tmp_path: Path, text: str, filled: str) -> None:
    page, values = tmp_path / "page.md", {"one": "1", "none": ""}
    page.write_text(text)
    if filled.endswith("\n"):
        assert fill(page, values) == filled
    else:
        with pytest.raises(SDNError, match=filled):
            fill(page, values)


def test_the_page_on_speed_has_a_place_for_every_stored_benchmark() -> None:
    stored = {path.stem for path in (tiny_book.ROOT / "results" / "benchmarks").glob("*.json")}
    programs = (tiny_book.ROOT / "benchmarks").glob("bench_*.py")
    places = set(re.findall(r"^% put (\w+)$", SPEED.read_text(), re.M))
    assert stored <= places <= {path.stem.removeprefix("bench_") for path in programs}


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
        "workers": 1,
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
    page = status_page(STATUS, [one, two])
    for part in (
        "[Stage one](05_stage_one.ipynb) | 1 min 15 s | 1.5 GB | loaded: teacher",
        "- profile `cpu`, seed 0, commit `0123456789` with changes\n",
        "loaded: teacher, text; trained: stage_one",
        "A chip, 2 cores, 8.0 GB, no GPU, Linux x86_64 (chapter 05)",
        "A chip, 2 cores, 8.0 GB, A GPU, Linux x86_64 (chapter 06)",
        "- python 3.11.7, torch 2.15.0\n",
        "06_stage_two ran with other parameters",
        "All chapters: 2 min 30 s; 1.5 GB at most.",
    ):
        assert part in page
    shared = "2 min 30 s, run up to 2 at a time on the processors that they share"
    later = {**two, "workers": 2, "started": "2026-01-02T03:05:15+00:00"}
    assert f"{shared}: 2 min 25 s by the clock;" in status_page(STATUS, [one, later])
    another_day = {**later, "started": "2026-01-03T03:05:15+00:00"}
    together = status_page(STATUS, [one, another_day])
    assert f"{shared};" in together
    assert "smoke" not in page.lower()
    assert "means nothing" not in page and "mean nothing" in status_page(
        STATUS, [{**one, "profile": "smoke"}]
    )


def test_every_reference_leads_to_its_text() -> None:
    entries = re.split(r"^@", (BOOK / "references.bib").read_text(), flags=re.M)[1:]
    assert len(entries) > 20
    assert [e.splitlines()[0] for e in entries if not re.search(r"^  (url|doi) +=", e, re.M)] == []


def test_every_reference_is_cited_and_every_citation_is_listed() -> None:
    listed = set(re.findall(r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(), re.M))
    texts = [path.read_text() for path in BOOK.glob("*") if path.suffix in (".md", ".ipynb")]
    groups = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", "\n".join(texts))
    cited = {key.strip() for group in groups for key in group.split(",")}
    assert listed == cited


def test_every_term_of_the_glossary_is_linked_from_a_page() -> None:
    glossary = BOOK / "glossary.md"
    terms = set(re.findall(r"^(\w.*\w)\n  \S", glossary.read_text(), re.M))
    pages = [path for path in BOOK.glob("*") if path.suffix in (".md", ".ipynb")]
    text = "\n".join(path.read_text() for path in pages if path != glossary)
    roles = re.findall(r"\{term\}`(?:[^`<]*<)?([^`>]+)>?`", text)
    known, linked = ({name.lower() for name in names} for names in (terms, roles))
    assert linked == known


def test_times_of_chapters_stand_on_one_page() -> None:
    page = speed_page(SPEED, tiny_book.ROOT / "results" / "benchmarks")
    assert "as last executed" not in page and "{doc}`status`" in page
    goals = set(re.findall(r"of the goal", page))
    assert not goals or "*Of the goal* is" in page


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
    page = speed_page(SPEED, tmp_path)
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
    assert "{figure} _static/steps.png" in speed_page(SPEED, tmp_path, tmp_path)
    assert (tmp_path / "steps.png").stat().st_size > 5000
    both = speed_page(SPEED, tmp_path)
    assert "## GPU" in both and "No GPU was at hand" not in both
    path.write_text("{")
    with pytest.raises(SDNError, match="training.json cannot be read.*run its benchmark again"):
        speed_page(SPEED, tmp_path)
