"""The page on speed: the tables that the benchmarks kept, around the prose of book/speed.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdn_lib import files
from sdn_lib.book.pages import commit, describe_hardware, fill, measured_table
from sdn_lib.errors import SDNError

if TYPE_CHECKING:
    import matplotlib.figure

STEPS = "steps.png"


def speed_page(page: Path, measured: Path, static: Path | None = None) -> str:
    """Return the page (book/speed.md), in Markdown, filled from the folder `measured`.

    Each `% put NAME` of it gets the tables of NAME.json there; nothing, where there is no such
    file. Its figure goes into the folder `static`; without one, the page has none.
    """
    values = {"steps": ""}
    for name in re.findall(r"^% put (\w+)$", page.read_text(encoding="utf-8"), re.M):
        path = measured / f"{name}.json"
        values[name] = "\n".join(measurements(path)) if path.exists() else ""
        if static and values[name] and name == "training":
            figure = draw_steps(read_measured(path)["tables"])
            figure.savefig(static / STEPS, bbox_inches="tight")
            values["steps"] = STEPS
    return fill(page, values)


def read_measured(path: Path) -> dict:
    """Return what a benchmark kept; SDNError names a file that is damaged, and the remedy."""
    facts = files.read_json(path, "run its benchmark again, or delete it")
    if missing := {"tables", "versions", "when", "hardware", "git"} - facts.keys():
        raise SDNError(f"{path} has no {min(missing)!r}: run its benchmark again, or delete it")
    return facts


def measurements(path: Path) -> list[str]:
    """Return the lines of a benchmark's tables, and of when and where it was run."""
    facts, lines = read_measured(path), []
    for title, rows in facts["tables"].items():
        lines += [
            f"```{{table}} {title}",
            ":class: sdn-status",
            "",
            *measured_table(rows),
            "```",
            "",
        ]
    lines.append(
        f"Measured with `benchmarks/bench_{path.stem}.py` on {facts['when'][:10]}: "
        f"{describe_hardware(facts['hardware'])}; torch {facts['versions']['torch']}, "
        f"commit {commit(facts['git'])}."
    )
    return lines


def draw_steps(tables: Mapping[str, Sequence[dict]]) -> matplotlib.figure.Figure:
    """Draw time and memory of the training steps at the paper's size, from bench_training's tables.

    A dotted line is the floor.
    """
    from sdn_lib.show import charts

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
    return charts.cost_bars(costs, {"seconds a step": floors})
