"""Where benchmarks put what they measured: on the screen, and as JSON in results/benchmarks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import torch

from sdn_lib import files, machine
from sdn_lib.book import pages
from sdn_lib.profiles import ROOT

FOLDER = ROOT / "results" / "benchmarks"


def best(action, times: int = 3) -> float:
    """Return the least seconds of `times` calls, after one that does not count."""
    action()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return min(found)


Tables = dict[str, list[dict[str, Any]]]
"""Rows by the title of their table; the rows of one have equal keys."""


def save(name: str, tables: Tables) -> None:
    """Print tables and keep them."""
    for title, rows in tables.items():
        print(f"\n**{title}**", "", *pages.measured_table(rows), sep="\n", flush=True)
    hardware = keep(name, tables)["hardware"]
    print(f"\n{pages.describe_hardware(hardware)}, torch {torch.__version__}")


def keep(name: str, tables: Tables) -> dict[str, Any]:
    """Keep tables, with the machine, in results/benchmarks/NAME.json; return what is there now."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    facts = {
        "tables": tables,
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        # The benchmark before this one has just written its own table there.
        "git": machine.git_state(ROOT, besides=FOLDER.relative_to(ROOT).as_posix()),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    files.write_json(FOLDER / f"{name}.json", facts)
    return facts
