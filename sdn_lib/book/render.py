"""Render the book from executed chapters: assemble the sources, fill the pages, run Sphinx.

Nothing executes here. A chapter without a good executed copy stops the rendering.
"""

from __future__ import annotations

import ast
import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sdn_lib import files, profiles
from sdn_lib.book import try_it
from sdn_lib.book.chapters import Layout, layout, locked
from sdn_lib.book.gate import INJECTED
from sdn_lib.book.kernels import kernel_environment
from sdn_lib.book.polish import polish
from sdn_lib.book.records import read_record, stale
from sdn_lib.book.speed import speed_page
from sdn_lib.book.status import smoke_note, status_page
from sdn_lib.errors import SDNError
from sdn_lib.profiles import Profile
from sdn_lib.show import live

MATHJAX = (
    "startup.js", "core.js", "input/tex-base.js", "input/tex/extensions/ams.js",
    "input/tex/extensions/textmacros.js", "output/chtml.js", "output/chtml/fonts/tex.js",
    "a11y/assistive-mml.js",
)  # fmt: skip
"""The parts of MathJax that _config.yml loads, a third of the whole."""


def render(
    profile: str = "cpu",
    *,
    root: str | Path | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Render the executed chapters of a profile as HTML and return the path of its index page.

    Raises SDNError when a chapter has not been run, is stale or damaged, with the command that
    mends it, and when Sphinx has any warning, with the warnings.
    """
    place = layout(profile, root)
    with locked(place, report):
        reasons = {name: stale(place, name) for name in place.chapters()}
        problems = "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if reason)
        if problems:
            remedy = f"run `sdn reproduce --profile {profile}` first"
            raise SDNError(f"the book cannot be rendered ({problems}): {remedy}")
        source = assemble(place)
        with ThreadPoolExecutor(1) as beside:
            networks = beside.submit(export_networks, place, source)
            made = run_sphinx(place, source)
        copy_mathjax(made / "_static" / "mathjax")
        numbers = {name: read_record(place, name)["numbers"] for name in reasons}
        polish(made, numbers, base_url(place))
        if folder := networks.result():
            shutil.move(folder, made / live.FOLDER)
        target = place.root / "_build" / "html"
        with files.alone(target):
            put_in_place(made, target)
    index = target / "index.html"
    report(f"book of profile {place.profile}: open {place.relative(index)}")
    return index


def assemble(place: Layout) -> Path:
    """Lay prose pages, executed chapters, configuration and status page out; return the folder."""
    import nbformat
    import yaml

    target = place.build / "source"
    remove(target)
    skip = shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints", "_build")
    shutil.copytree(place.book, target, ignore=skip)
    for name in place.chapters():
        notebook = nbformat.read(place.executed(name), as_version=4)
        merge_parameters(notebook)
        describe(notebook)
        name_outcomes(notebook)
        leave_out_empty(notebook)
        nbformat.write(notebook, target / f"{name}.ipynb")
    config = read_config(place)
    link_repository(config)
    if place.profile == "smoke":
        config.setdefault("html", {})["announcement"] = smoke_note(place.book)
    files.write_text(target / "_config.yml", yaml.safe_dump(config, sort_keys=False))
    records = [read_record(place, name) for name in place.chapters()]
    files.write_text(target / "status.md", status_page(place.book / "status.md", records))
    if (page := place.book / try_it.PAGE).exists():
        files.write_text(target / page.name, try_it.try_page(page, trained_as(place)))
    if (page := place.book / "speed.md").exists():
        measured = place.root / "results" / "benchmarks"
        files.write_text(target / page.name, speed_page(page, measured, target / "_static"))
    return target


def read_config(place: Layout) -> dict[str, Any]:
    """Return the project's configuration of Jupyter Book."""
    import yaml

    return yaml.safe_load((place.root / "_config.yml").read_text(encoding="utf-8"))


def base_url(place: Layout) -> str:
    """Return the address at which the book is published, or an empty text."""
    return read_config(place).get("html", {}).get("baseurl") or ""


def link_repository(config: dict[str, Any]) -> None:
    """Add what Jupyter Book needs for buttons to the repository, where its address is known."""
    repository = config.pop("repository", None) or {}
    if not repository.get("url"):
        return
    config["repository"] = {**repository, "path_to_book": "book"}
    buttons = ("use_repository_button", "use_issues_button", "use_edit_page_button")
    config["html"] = {**config.get("html", {}), **dict.fromkeys(buttons, True)}
    config["launch_buttons"] = {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    }


def describe(notebook: Any) -> None:
    """Give a chapter's page what searches and previews of links show: what one learns from it."""
    opening = notebook.cells[0].source if notebook.cells else ""
    able = re.search(r"^\*\*(You will be able to)\*\* (.+)", opening, re.MULTILINE)
    if able:
        said = re.sub(r"\[([^]]*)\]\([^)]*\)|[*`$]", r"\1", f"{able[1]} {able[2]}")
        notebook.metadata["myst"] = {"html_meta": {"description": said}}


def name_outcomes(notebook: Any) -> None:
    """Call what hides the output of a cell, which the reader is to predict, by what it is."""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "hide-output" in tags and "hide-input" not in tags:
            named = {"code_prompt_show": "Show the outcome", "code_prompt_hide": "Hide the outcome"}
            cell.metadata["mystnb"] = {**named, **cell.metadata.get("mystnb", {})}


def leave_out_empty(notebook: Any) -> None:
    """Take cells off the page that are about a reader's photographs, and had none to show."""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "photographs" in tags and not cell.get("outputs"):
            cell.metadata["tags"] = [*tags, "remove-cell"]


def merge_parameters(notebook: Any) -> None:
    """Write the values of the run into the cell of parameters, and take papermill's own cell away.

    Who downloads the notebook then changes its settings in one place. An `output_dir` stays as it
    was: it is a folder of this machine.
    """
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    ours, run = (
        next((k for k, own in enumerate(tags) if tag in own), None)
        for tag in ("parameters", INJECTED)
    )
    if ours is None or run is None:
        return
    values = {name: value for name, (_, value) in _assigned(notebook.cells[run].source).items()}
    lines = notebook.cells[ours].source.splitlines()
    for name, (place, _) in _assigned(notebook.cells[ours].source).items():
        if name in values and name != "output_dir":
            lines[place] = f"{name} = {values[name]}"
    notebook.cells[ours].source = "\n".join(lines)
    del notebook.cells[run]


def _assigned(source: str) -> dict[str, tuple[int, str]]:
    """Return {name: (line, value as code)} of the plain assignments of a cell, one a line."""
    return {
        target.id: (node.lineno - 1, ast.get_source_segment(source, node.value) or "")
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def trained_as(place: Layout) -> Profile:
    """Return the profile, and the folder of its trainings, that the chapters were executed with."""
    values = read_record(place, next(iter(place.chapters())))["parameters"]
    return profiles.load(values["profile"], output_dir=values.get("output_dir"))


def run_sphinx(place: Layout, source: Path) -> Path:
    """Run Jupyter Book with every warning an error; return the folder of the HTML."""
    output = place.build / "render"
    remove(output)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    command += [str(source), "--path-output", str(output), "--config", str(source / "_config.yml")]
    command += ["-n", "-W", "--keep-going"]
    with kernel_environment(place.root):
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "MPLBACKEND": "Agg", "NO_COLOR": "1"},
            cwd=place.root,
            check=False,
        )
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).replace(f"{source}/", "")
    files.write_text(place.build / "render.log", log)
    made = output / "_build" / "html"
    if done.returncode != 0 or not (made / "index.html").exists():
        lines = log.splitlines()
        problems = [line for line in lines if re.search(r"WARNING|ERROR|CRITICAL|Error:", line)]
        problems = problems or lines[-15:]
        shown = "\n  ".join(dict.fromkeys(problems[:40]))
        log_file = place.relative(place.build / "render.log")
        raise SDNError(f"the book did not render (all of it in {log_file}):\n  {shown}")
    return made


def export_networks(place: Layout, source: Path) -> Path | None:
    """Write the networks that paint on the pages, where there is a page for it; return the folder.

    Sphinx empties its own folder, so they are written beside it.
    """
    folder = place.build / "networks"
    remove(folder)
    if not (source / try_it.PAGE).exists():
        return None
    try_it.export_networks(trained_as(place), folder)
    for name in try_it.PHOTOGRAPHS:
        try_it.export_shipped(name, folder / name)
    return folder


def copy_mathjax(folder: Path) -> None:
    """Copy the parts of MathJax that the pages load, and its fonts, which load as they are used."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or not spec.origin:
        raise SDNError(
            "sphinx-mathjax-offline is not installed, and formulas need its MathJax: "
            "pip install -r requirements.lock"
        )
    whole = Path(spec.origin).parent / "static" / "mathjax"
    fonts = whole.glob("output/chtml/fonts/woff-v2/*.woff")
    for part in (*map(whole.joinpath, MATHJAX), *fonts):
        target = folder / part.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(part, target)


def put_in_place(made: Path, target: Path) -> Path:
    """Move rendered HTML to where it is read, in one step for whoever has it open.

    `target` may be a link, or on another disk than `made`. Where it cannot be moved aside, as a
    mount cannot, what is in it is replaced.
    """
    place = target.resolve()
    if place.exists() and not place.is_dir():
        raise SDNError(f"{target} is a file: move it away, the book's folder goes there")
    place.parent.mkdir(parents=True, exist_ok=True)
    remove(place.with_name("html.old"))  # of earlier versions
    files.remove_leftovers(place)
    new, old = files.partial_path(place), files.partial_path(place)
    try:
        shutil.move(made, new)
    except PermissionError:
        new = made  # nothing may be put beside the target
    except shutil.Error as error:  # a list of (from, to, reason)
        remove(new)
        raise SDNError(f"{target} could not be written: {error.args[0][0][2]}") from None
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)
    except OSError as error:
        if old.exists():
            old.rename(place)
        if error.errno not in (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM):
            raise
        inside = files.partial_path(place / "index.html")
        try:
            shutil.copytree(new, inside)
        except shutil.Error as error:
            remove(inside)
            raise SDNError(f"{target} could not be written: {error.args[0][0][2]}") from None
        finally:
            remove(new)
        for path in place.iterdir():
            if path != inside:
                remove(path)
        for path in inside.iterdir():
            path.rename(place / path.name)
        inside.rmdir()
    remove(old)
    return target


def remove(path: Path) -> None:
    """Remove a file, a link (not what it points to) or a folder with all that is in it, if any."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
