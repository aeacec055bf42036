"""The book renders only what ran, without a warning, and is published in one step."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import nbformat
import pytest
import tiny_book
import yaml
from tiny_book import edit, run

from sdn_lib.book.render import (
    describe,
    leave_out_empty,
    link_repository,
    merge_parameters,
    name_outcomes,
    put_in_place,
    render,
)
from sdn_lib.errors import SDNError


def test_a_book_of_chapters_that_did_not_run_is_refused(root: Path) -> None:
    run(root)
    with pytest.raises(
        SDNError, match="00_first: it has not been run.*sdn reproduce --profile smo"
    ):
        render("smoke", root=root)
    run(root, chapters=None)
    edit(root, 2, "print(0)")
    with pytest.raises(SDNError, match="01_second: its code changed"):
        render("smoke", root=root)


def test_a_chapter_is_described_by_what_one_learns_from_it() -> None:
    able = "**You will be able to** paint `birds` from [captions](02.ipynb), *soon*."
    opening = f"# 5. Painting\n\n:::{{admonition}} At a glance\n{able}\n:::"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(opening)])
    describe(notebook)
    said = "You will be able to paint birds from captions, soon."
    assert notebook.metadata["myst"]["html_meta"] == {"description": said}
    plain = nbformat.v4.new_notebook()
    describe(plain)
    assert "myst" not in plain.metadata


def test_a_hidden_output_is_called_the_outcome() -> None:
    cells = [
        nbformat.v4.new_code_cell("1", metadata={"tags": tags, "mystnb": {"image": {"alt": "x"}}})
        for tags in (["hide-output"], ["hide-input"], ["hide-input", "hide-output"])
    ]
    name_outcomes(nbformat.v4.new_notebook(cells=cells))
    shown = [cell.metadata["mystnb"].get("code_prompt_show") for cell in cells]
    assert shown == ["Show the outcome", None, None]
    assert cells[0].metadata["mystnb"]["image"] == {"alt": "x"}


def test_what_needs_a_readers_photographs_stands_on_the_page_only_with_them() -> None:
    shown = nbformat.v4.new_output("stream", text="8 photographs")
    cells = [
        nbformat.v4.new_code_cell("1", metadata={"tags": tags}, outputs=outputs)
        for tags, outputs in ((["photographs"], []), (["photographs"], [shown]), ([], []))
    ]
    leave_out_empty(nbformat.v4.new_notebook(cells=cells))
    assert ["remove-cell" in cell.metadata["tags"] for cell in cells] == [True, False, False]


def test_a_warning_stops_the_rendering(root: Path) -> None:
    run(root, chapters=None)
    (root / "book/index.md").write_text("# Tiny\n\nSee {doc}`nowhere` and {cite}`nobody1999`.\n")
    with pytest.raises(SDNError) as caught:
        render("smoke", root=root)
    assert "nowhere" in str(caught.value) and "nobody1999" in str(caught.value)
    assert not (root / "_build/html").exists()


@pytest.mark.slow
def test_the_pages_on_the_library_and_on_speed_render(root: Path) -> None:
    for name in ("api.md", "speed.md"):
        shutil.copy(tiny_book.ROOT / "book" / name, root / "book")
    shutil.copytree(tiny_book.ROOT / "results" / "benchmarks", root / "results" / "benchmarks")
    (root / "book/_toc.yml").write_text(f"{tiny_book.TOC}  - file: api\n  - file: speed\n")
    run(root, chapters=None)
    html = render("smoke", root=root).parent
    api = (html / "api.html").read_text()
    assert "sdn_lib.book.render.render" in api and "sdn_lib.profiles.ROOT" in api
    assert "PosixPath(" not in api and str(tiny_book.ROOT) not in api
    speed = (html / "speed.html").read_text()
    assert "_images/steps." in speed and "bench_training.py" in speed


def test_buttons_lead_to_the_repository_where_its_address_is_known() -> None:
    config = {"html": {"favicon": "x.svg"}, "repository": {"url": "", "branch": "main"}}
    link_repository(config)
    assert config == {"html": {"favicon": "x.svg"}}
    config["repository"] = {"url": "https://github.com/somebody/book", "branch": "main"}
    link_repository(config)
    assert config["repository"]["path_to_book"] == "book"
    assert config["html"]["favicon"] == "x.svg" and config["html"]["use_issues_button"]
    assert set(config["launch_buttons"]) == {"notebook_interface", "binderhub_url", "colab_url"}


@pytest.mark.slow
def test_pages_with_buttons_render(root: Path) -> None:
    config = yaml.safe_load((root / "_config.yml").read_text())
    config["repository"] = {"url": "https://github.com/somebody/book", "branch": "main"}
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    run(root, chapters=None)
    page = (render("smoke", root=root).parent / "00_first.html").read_text()
    for part in ("issues/new", "edit/main/book/00_first.ipynb", "mybinder.org", "colab.research"):
        assert part in page


def test_a_downloaded_notebook_has_its_settings_in_one_place() -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell(
            'profile = "cpu"  # or a file\nseed = 0\noutput_dir = None\nsteps = None',
            metadata={"tags": ["parameters"]},
        ),
        nbformat.v4.new_code_cell(
            '# Parameters\nprofile = "it\'s mine"\nseed = 7\noutput_dir = "/somebody/here"\n',
            metadata={"tags": ["injected-parameters"]},
        ),
        nbformat.v4.new_code_cell("print(profile)"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    merge_parameters(notebook)
    assert [cell.source for cell in notebook.cells[1:]] == [
        'profile = "it\'s mine"\nseed = 7\noutput_dir = None\nsteps = None',
        "print(profile)",
    ]
    merge_parameters(notebook)
    assert len(notebook.cells) == 3


def page(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(text)
    return folder


def test_a_book_is_published_over_a_link_and_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "_build" / "html"
    made = page(tmp_path / "_build/cpu/render/html", "one")
    assert put_in_place(made, target) == target and not made.exists()
    page(tmp_path / "_build/html.old", "left by an earlier version")
    put_in_place(page(made, "two"), target)
    assert (target / "index.html").read_text() == "two"
    assert sorted(p.name for p in target.parent.iterdir()) == ["cpu", "html"]

    elsewhere = page(tmp_path / "elsewhere/pages", "old")
    (elsewhere / "gone.html").write_text("old")
    shutil.rmtree(target)
    target.symlink_to(elsewhere)
    put_in_place(page(made, "three"), target)
    assert target.is_symlink() and (elsewhere / "index.html").read_text() == "three"
    assert [p.name for p in elsewhere.parent.iterdir()] == ["pages"]
    assert not (elsewhere / "gone.html").exists()

    shutil.rmtree(elsewhere)  # the link dangles
    put_in_place(page(made, "four"), target)
    assert (elsewhere / "index.html").read_text() == "four"
    target.unlink()
    target.write_text("a file")
    with pytest.raises(SDNError, match="html is a file: move it away"):
        put_in_place(page(made, "five"), target)


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
    put_in_place(made, target)
    assert {p.name: p.read_text() for p in target.iterdir()} == {"index.html": "new"}
    assert [p.name for p in target.parent.iterdir() if p.name.startswith(".")] == []
    assert not made.exists()


def test_a_full_disk_leaves_the_book_in_a_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, made = page(tmp_path / "html", "old"), page(tmp_path / "made", "new")
    rename = Path.rename

    def refused(self: Path, to: Path) -> Path:
        if self == target:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(self))
        return rename(self, to)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", refused)
    monkeypatch.setattr(shutil, "copy2", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SDNError, match="html could not be written: .*No space left"):
        put_in_place(made, target)
    assert {p.name: p.read_text() for p in target.iterdir()} == {"index.html": "old"}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


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
        put_in_place(made, target)
    assert (target / "index.html").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["html", "made"]
