"""Render the book from executed chapters: assemble the sources, write the status page, run Sphinx.

Nothing executes here. A chapter without a good executed copy stops the rendering.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdn_lib import files
from sdn_lib.errors import SDNError, counted
from sdn_lib.machine import gigabytes, seconds
from sdn_lib.reproduce import (
    INJECTED,
    Layout,
    alone,
    kernel_environment,
    layout,
    read_record,
    shown,
    stale,
)

if TYPE_CHECKING:
    import matplotlib.figure

MATHJAX = "tex-svg-full.js"
SMOKE = (
    "Smoke run: networks trained for seconds, to prove that every cell runs. "
    "Its numbers and pictures mean nothing."
)

BENCHMARKS = ("training", "curves", "processes", "data", "sampling", "book", "gpu")
SPEED = """\
What a step, a picture and a page cost, against the plainest program that does the same
(`benchmarks/plain_port.py`: float32, no tricks), and against a floor: the multiply-adds of the
method as it is written, at the machine's measured bf16 rate, and Adam's traffic at its measured
copying rate. The variants of a training step take steps in turns, so that a slow minute falls on
all. *Fast* is what the book trains with. *Greedy* also keeps the largest pieces of freed memory
(`MALLOC_MMAP_THRESHOLD_` and `MALLOC_TRIM_THRESHOLD_`, both 2147483647): quicker, and larger.
*k captions an image* means that captions of one picture share the teacher's pass: a step is
cheaper. In a batch of the same size it teaches less, as there are fewer pictures in it; where the
batch grows, so that there are as many pictures and more captions, it does no harm. `make bench`
measures everything again; `benchmarks/README.md` says what was tried and what it gave.
"""

STEPS = "steps.png"
STEPS_FIGURE = f"""\
:::{{figure}} _static/{STEPS}
:alt: Bars of the seconds and the peak memory of a training step, for both stages and each variant

A training step at the paper's size (VGG19, 224 pixels, batch 12). The dotted line is the floor. A
step can pass below it: convolutions after an upsampling need fewer multiply-adds than the method as
written, and the rate behind it was measured once, before the steps.
:::
"""

NO_GPU = """\
No GPU was at hand: nothing here was measured on one. `benchmarks/bench_gpu.py` is ready for it,
with `torch.compile` and with CUDA graphs; until it says that they pay, a training goes through
`torch.compile` only if its setting `compiled` asks for it.
"""


def book(
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
    with alone(place, report):
        problems = {name: stale(place, name) for name in place.chapters()}
        problems = {name: why for name, why in problems.items() if why}
        if problems:
            said = "; ".join(f"{name}: {why}" for name, why in problems.items())
            remedy = f"run `sdn reproduce --profile {profile}` first"
            raise SDNError(f"the book cannot be rendered ({said}): {remedy}")
        source = assemble(place)
        made = run_sphinx(place, source)
        copy_mathjax(made / "_static" / "mathjax")
        target = place.root / "_build" / "html"
        with files.alone(target):
            publish(made, target)
    index = target / "index.html"
    report(f"book of profile {place.profile}: open {shown(index, place)}")
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
        for cell in notebook.cells:
            if INJECTED in cell.metadata.get("tags", []):
                cell.metadata["tags"].append("hide-input")
                cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
        nbformat.write(notebook, target / f"{name}.ipynb")
    config = yaml.safe_load((place.root / "_config.yml").read_text(encoding="utf-8"))
    if place.profile == "smoke":
        config.setdefault("html", {})["announcement"] = SMOKE
    files.write_text(target / "_config.yml", yaml.safe_dump(config, sort_keys=False))
    records = [read_record(place, name) for name in place.chapters()]
    files.write_text(target / "status.md", status(records))
    folder = place.root / "results" / "benchmarks"
    measured = [path for name in BENCHMARKS if (path := folder / f"{name}.json").exists()]
    if measured:
        files.write_text(target / "speed.md", speed(measured, target / "_static"))
    return target


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
        told = [line for line in lines if re.search(r"WARNING|ERROR|CRITICAL|Error:", line)]
        told = told or lines[-15:]
        said = "\n  ".join(dict.fromkeys(told[:40]))
        log_file = shown(place.build / "render.log", place)
        raise SDNError(f"the book did not render (all of it in {log_file}):\n  {said}")
    return made


def copy_mathjax(folder: Path) -> None:
    """Copy the one MathJax file that the pages load; it needs no fonts and no other file."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or not spec.origin:
        raise SDNError(
            "sphinx-mathjax-offline is not installed, and formulas need its MathJax: "
            "pip install -r requirements.lock"
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy2(Path(spec.origin).parent / "static" / "mathjax" / MATHJAX, folder / MATHJAX)


def publish(made: Path, target: Path) -> Path:
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
    new, old = (
        place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.partial") for _ in range(2)
    )
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
        for path in place.iterdir():
            remove(path)
        shutil.copytree(new, place, dirs_exist_ok=True)
        remove(new)
    remove(old)
    return target


def remove(path: Path) -> None:
    """Remove a file, a link (not what it points to) or a folder with all that is in it, if any."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def status(records: Sequence[dict]) -> str:
    """Return the status page, in Markdown, of the chapters' records."""
    lines = ["# Status", ""]
    if any(record["profile"] == "smoke" for record in records):
        lines += [":::{warning}", SMOKE, ":::", ""]
    lines += [
        "Every output in this book comes from the runs below. Peak memory is that of the",
        "chapter's kernel and its workers. *Loaded* weights ship with the project; *trained* ones",
        "were made in the run.",
        "",
    ]
    head = ("Chapter", "Time", "Peak memory", "Profile", "Seed", "Weights", "Commit", "Run (UTC)")
    rows = [
        (
            f"[{r['title']}]({r['chapter']}.ipynb)",
            seconds(r["seconds"]),
            gigabytes(r["peak_memory_bytes"]),
            r["profile"],
            str(r["seed"]),
            weights(r["numbers"]),
            commit(r["git"]),
            r["started"].replace("T", " ")[:16],
        )
        for r in records
    ]
    lines += ["```{table}", ":class: sdn-status", "", *table(head, rows), "```"]
    total = sum(r["seconds"] for r in records)
    peak = max(r["peak_memory_bytes"] for r in records)
    lines += ["", f"All chapters: {seconds(total)}, {gigabytes(peak)} at most.", ""]
    changed = {
        r["chapter"]: {
            k: v for k, v in r["parameters"].items() if k not in ("profile", "seed", "output_dir")
        }
        for r in records
    }
    for name, values in changed.items():
        if values:
            lines += [f"- {name} ran with other parameters than its profile's: `{values}`"]
    lines += ["", "## Hardware", ""]
    lines += grouped(records, lambda r: describe_hardware(r["hardware"]))
    lines += ["", "## Versions", ""]
    lines += grouped(records, lambda r: ", ".join(f"{k} {v}" for k, v in r["versions"].items()))
    return "\n".join(lines) + "\n"


def speed(measured: Sequence[Path], static: Path | None = None) -> str:
    """Return the page of benchmarks, in Markdown, from the JSON files that they wrote.

    Its figure goes into the folder `static`; without one, the page has none.
    """
    lines = ["# Speed", "", *SPEED.splitlines(), ""]
    if not any(path.stem == "gpu" for path in measured):
        lines += [*NO_GPU.splitlines(), ""]
    for path in measured:
        facts = files.read_json(path, "run its benchmark again, or delete it")
        if lacking := {"tables", "versions", "when", "hardware", "git"} - facts.keys():
            raise SDNError(f"{path} has no {min(lacking)!r}: run its benchmark again, or delete it")
        title = "GPU" if path.stem == "gpu" else path.stem.capitalize()
        lines += [f"## {title}", ""]
        if static and path.stem == "training":
            draw_steps(facts["tables"]).savefig(static / STEPS, bbox_inches="tight")
            lines += [*STEPS_FIGURE.splitlines(), ""]
        for title, rows in facts["tables"].items():
            body = measured_table(rows)
            lines += [f"```{{table}} {title}", ":class: sdn-status", "", *body, "```", ""]
        versions = facts["versions"]
        lines += [
            f"Measured with `benchmarks/bench_{path.stem}.py` on {facts['when'][:10]}: "
            f"{describe_hardware(facts['hardware'])}; torch {versions['torch']}, "
            f"commit {commit(facts['git'])}.",
            "",
        ]
    return "\n".join(lines)


def draw_steps(tables: Mapping[str, Sequence[dict]]) -> matplotlib.figure.Figure:
    """Draw time and memory of the training steps at the paper's size, from bench_training's tables.

    A dotted line is the floor.
    """
    from sdn_lib import figures

    measures = ("seconds a step", "peak GB")
    costs: dict[str, dict] = {measure: {} for measure in measures}
    for row in tables["A training step"]:
        if row["size"] == "paper":
            for measure in measures:
                group = costs[measure].setdefault(row["stage"].replace("_", " "), {})
                group[row["variant"]] = row[measure]
    floors = {
        row["stage"].replace("_", " "): row["floor s"]
        for row in tables["Floor"]
        if row["size"] == "paper"
    }
    return figures.cost_bars(costs, {"seconds a step": floors})


def measured_table(rows: Sequence[dict]) -> list[str]:
    """Return the lines of a Markdown table of rows with equal keys, numbers to three digits."""
    return table(list(rows[0]), ([_digits(value) for value in row.values()] for row in rows))


def _digits(value: float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    ruled = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in ruled]


def grouped(records: Sequence[dict], describe: Callable[[dict], str]) -> list[str]:
    """Return one line for each distinct description, with its chapters where there are several."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(describe(record), []).append(record["chapter"][:2])
    if len(groups) == 1:
        return [f"- {text}" for text in groups]
    return [
        f"- {text} (chapter{'s' * (len(names) > 1)} {', '.join(names)})"
        for text, names in groups.items()
    ]


def weights(numbers: dict) -> str:
    """Return which runs a chapter loaded or trained, from the numbers glued as `run_NAME`."""
    how = {key[4:]: value for key, value in numbers.items() if key.startswith("run_")}
    kinds = sorted(set(map(str, how.values())))
    said = (f"{kind}: {', '.join(k for k, v in how.items() if str(v) == kind)}" for kind in kinds)
    return "; ".join(said) or "none"


def commit(git: dict) -> str:
    """Return a short commit, marked where the checkout had changes of its own."""
    if not git["commit"]:
        return "none"
    return f"`{git['commit'][:10]}`" + (" with changes" if git["dirty"] else "")


def describe_hardware(hardware: dict) -> str:
    """Return one line on a machine."""
    gpu = ", ".join(hardware["accelerators"]) or "no GPU"
    memory = gigabytes(hardware["memory_bytes"])
    cores = counted(hardware["cores"], "core")
    return f"{hardware['processor']}, {cores}, {memory}, {gpu}, {hardware['system']}"
