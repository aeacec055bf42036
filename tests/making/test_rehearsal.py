"""From archives to an executed chapter 8, as `make rehearsal` goes, with fewer steps."""

from __future__ import annotations

import dataclasses
import json
import runpy
import tarfile
from pathlib import Path

import papermill
import pytest

from sdn_lib import profiles
from sdn_lib.data import prepared

ROOT = Path(__file__).resolve().parents[2]


def program(name):
    return runpy.run_path(str(ROOT / "data_scripts" / f"{name}.py"))["main"]


@pytest.fixture(scope="module")
def archives(shared, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    for part, name in (("images", "CUB_200_2011"), ("captions", "text_c10")):
        with tarfile.open(folder / f"{part}.tgz", "w:gz", compresslevel=1) as tar:
            tar.add(shared / "datasets" / "cub10" / name, name)
    return folder


@pytest.fixture(scope="module")
def photographs(archives, tmp_path_factory):
    home = tmp_path_factory.mktemp("rehearsal")
    parts = [f"--from-file={part}={archives / part}.tgz" for part in ("images", "captions")]
    fetch = [str(home / "raw"), "--parts", "images", "captions", *parts]
    assert program("fetch_birds")([*fetch, "--subset"]) == 0
    prepare = ["birds", str(home / "raw"), str(home / "birds"), "--size=64", "--crop", "--subset"]
    assert program("prepare")(prepare) == 0
    return home / "birds"


def test_archives_of_a_part_are_refused_as_the_whole(archives, tmp_path, capsys):
    given = [f"--from-file=images={archives / 'images.tgz'}", "--parts", "images"]
    assert program("fetch_birds")([str(tmp_path / "raw"), *given]) == 2
    assert "the published file has" in capsys.readouterr().err


def test_the_chapter_runs_on_the_photographs(photographs, tmp_path):
    data = prepared.load(photographs)
    assert (len(data.indices("train")), len(data.indices("test"))) == (275, 268)
    short = profiles.load("rehearsal", text__steps=4, stage_one__steps=12, stage_two__steps=6)
    short = dataclasses.replace(short, photos=str(photographs))
    (tmp_path / "short.json").write_text(short.to_json())
    papermill.execute_notebook(
        str(ROOT / "book" / "08_real_photographs.ipynb"),
        str(tmp_path / "out.ipynb"),
        parameters={"profile": str(tmp_path / "short.json"), "output_dir": str(tmp_path / "runs")},
        cwd=str(ROOT / "book"),
        progress_bar=False,
    )
    cells = json.loads((tmp_path / "out.ipynb").read_text())["cells"]
    said = "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", []))
    assert "photographs found" in said and "finite losses that fall" in said
    assert sum("image/png" in o.get("data", {}) for c in cells for o in c.get("outputs", [])) >= 4
    assert {path.name for path in (tmp_path / "runs").iterdir()} >= {"text", "stage_two"}
