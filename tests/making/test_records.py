"""What a chapter came from is recorded; it is run again where that changed or was damaged."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import tiny_book
from tiny_book import edit, executed, record, run

from sdn_lib import profiles
from sdn_lib.book import dependencies, execute, records
from sdn_lib.book.chapters import Layout, layout
from sdn_lib.book.execute import reproduce
from sdn_lib.book.render import render
from sdn_lib.errors import SDNError


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
    place = layout("smoke", root)
    values = {"profile": "smoke", "seed": 0}
    assert records.stale(place, "01_second", values) == "it has not been run"
    run(root)
    assert records.stale(place, "01_second", values) is None
    assert "parameters" in records.stale(place, "01_second", {**values, "seed": 1})
    shipped = root / "results/smoke/teacher"
    shipped.mkdir(parents=True)
    (shipped / "weights.safetensors").write_bytes(b"new")
    assert "weights" in records.stale(place, "01_second", values)
    run(root)
    (root / "library/unused.py").write_text("value = 2\n")
    assert records.stale(place, "01_second", values) is None
    (root / "library/errors.py").write_text("value = 2\n")
    assert "sdn_lib" in records.stale(place, "01_second", values)


def test_figures_of_record_make_those_stale_that_may_read_them(root: Path) -> None:
    place = layout("smoke", root)
    edit(root, 2, "# as stored by experiments")
    run(root, chapters=None)
    for name in ("ablation/cpu/full-0.json", "cpu/evaluation.json"):
        path = root / "results" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        assert records.stale(place, "00_first") is None
        assert records.stale(place, "01_second") == "the stored results changed"
        path.unlink()


@pytest.mark.parametrize(
    ("word", "name"), [("first_steps", "first_steps.json"), ("gpu.json", "gpu.json")]
)
def test_stored_benchmarks_make_those_stale_that_name_them(
    root: Path, word: str, name: str
) -> None:
    place, path = layout("smoke", root), root / "results/benchmarks" / name
    edit(root, 2, f"# as in {word}")
    run(root, chapters=None)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert records.stale(place, "00_first") is None
    assert records.stale(place, "01_second") == "the stored results changed"


def test_another_text_of_a_profiles_file_makes_its_chapters_stale(root: Path) -> None:
    mine = root / "mine.json"
    own = dataclasses.replace(profiles.load("smoke"), name="mine")
    mine.write_text(own.to_json())
    reproduce(str(mine), ["1"], root=root, report=lambda _: None)
    place = layout(str(mine), root)
    assert records.stale(place, "01_second") is None
    mine.write_text(own.to_json().replace('"live_steps": 4', '"live_steps": 5'))
    assert records.stale(place, "01_second") == "its profile's file changed"
    mine.write_text(own.to_json().replace('"live_steps": 4', '"live_step": 4'))
    assert records.stale(place, "01_second") == "its profile's file changed"
    mine.write_text(json.dumps(dataclasses.asdict(own)))
    assert records.stale(place, "01_second") is None


def test_other_photographs_of_a_profiles_file_make_its_chapters_stale(
    root: Path, tmp_path: Path
) -> None:
    mine, photos = root / "mine.json", tmp_path / "elsewhere"
    mine.write_text(dataclasses.replace(profiles.load("smoke"), photos=str(photos)).to_json())
    reproduce(str(mine), ["1"], root=root, report=lambda _: None)
    place = layout(str(mine), root)
    assert records.stale(place, "01_second") is None
    photos.mkdir()
    (photos / "manifest.json").write_text("{}")
    assert records.stale(place, "01_second") == "other photographs are prepared"


def test_other_packages_make_a_chapter_stale_and_another_build_does_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = layout("smoke", root)
    run(root)
    then = record(root)["versions"]
    assert {"python", "torch", "torchvision", "numpy", "matplotlib", "pillow"} <= set(then)

    def why(**changes: str | None) -> str | None:
        now = {key: value for key, value in {**then, **changes}.items() if value}
        monkeypatch.setattr(records, "versions", lambda: now)
        return records.stale(place, "01_second")

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
    place = layout("smoke", root)
    assert records.stale(place, "01_second") is None
    spoil(place.executed("01_second"), place.record("01_second"))
    assert said in records.stale(place, "01_second")
    with pytest.raises(SDNError, match=f"01_second: .*{said}.*run `sdn reproduce --profile smoke`"):
        render("smoke", root=root)
    again: list[str] = []

    def run(place: Layout, name: str, values: dict, workers: int) -> dict:
        again.append(name)
        return {"seconds": 1.0, "peak_memory_bytes": 1}

    monkeypatch.setattr(execute, "run_chapter", run)
    reproduce("smoke", ["1"], root=root, report=lambda line: None)
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
    place = layout("smoke", root)
    place.executed("01_second").write_bytes(b"")
    assert "peak" in run(root)[0] and "up to date" in run(root)[0]
    place.record("01_second").write_text("[")
    with pytest.raises(SDNError, match="01_second.json cannot be read.*sdn reproduce"):
        records.read_record(place, "01_second")
    assert "peak" in run(root)[0] and executed(root).cells[3].outputs[0].text == "2\n"
