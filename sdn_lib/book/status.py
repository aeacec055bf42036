"""The page on status: which run, on which machine, every output of the book came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sdn_lib.book.pages import commit, describe_hardware, fill
from sdn_lib.machine import gigabytes, seconds
from sdn_lib.show.tables import markdown_lines


def status_page(page: Path, records: Sequence[dict]) -> str:
    """Return the page (book/status.md), in Markdown, filled with the chapters' records."""
    smoke = any(record["profile"] == "smoke" for record in records)
    return fill(
        page,
        {
            "smoke": smoke_note(page.parent) if smoke else "",
            "runs": "\n".join(runs_table(records)),
            "settings": grouped(records, settings_of),
            "hardware": grouped(records, lambda r: describe_hardware(r["hardware"])),
            "versions": grouped(
                records, lambda r: ", ".join(f"{k} {v}" for k, v in r["versions"].items())
            ),
        },
    )


def smoke_note(book: Path) -> str:
    """Return what is said of a book whose networks were trained for seconds only."""
    return (book / "smoke.txt").read_text(encoding="utf-8").strip()


def runs_table(records: Sequence[dict]) -> list[str]:
    """Return the table of the chapters' runs, their sum, and who had parameters of its own."""
    head = ("Chapter", "Time", "Peak memory", "Weights", "Run (UTC)")
    rows = [
        (
            f"[{r['title']}]({r['chapter']}.ipynb)",
            seconds(r["seconds"]),
            gigabytes(r["peak_memory_bytes"]),
            provenance(r["numbers"]),
            r["started"].replace("T", " ")[:16],
        )
        for r in records
    ]
    total = sum(r["seconds"] for r in records)
    peak = max(r["peak_memory_bytes"] for r in records)
    lines = ["```{table}", ":class: sdn-status", "", *markdown_lines(head, rows), "```"]
    together = max(r["workers"] for r in records)
    shared = ""
    if together > 1:
        shared = f", run up to {together} at a time on the processors that they share"
        if (whole := _span(records)) < total:
            shared += f": {seconds(whole)} by the clock"
    lines += ["", f"All chapters: {seconds(total)}{shared}; {gigabytes(peak)} at most.", ""]
    for record in records:
        usual = ("profile", "seed", "output_dir")
        if other := {k: v for k, v in record["parameters"].items() if k not in usual}:
            name = record["chapter"]
            lines.append(f"- {name} ran with other parameters than its profile's: `{other}`")
    return lines


def _span(records: Sequence[dict]) -> float:
    """Return the seconds in which at least one chapter ran."""
    starts = (datetime.fromisoformat(r["started"]).timestamp() for r in records)
    total, done = 0.0, float("-inf")
    for start, length in sorted(zip(starts, (r["seconds"] for r in records), strict=True)):
        total += max(0.0, start + length - max(start, done))
        done = max(done, start + length)
    return total


def settings_of(record: dict) -> str:
    """Return one line on what a chapter was run with: profile, seed and commit."""
    code = commit(record["git"])
    return f"profile `{record['profile']}`, seed {record['seed']}, commit {code}"


def grouped(records: Sequence[dict], describe: Callable[[dict], str]) -> str:
    """Return one line for each distinct description, with its chapters where there are several."""
    groups: dict[str, list[str]] = {}
    for record in records:
        groups.setdefault(describe(record), []).append(record["chapter"][:2])
    if len(groups) == 1:
        return f"- {next(iter(groups))}"
    return "\n".join(
        f"- {text} (chapter{'s' * (len(names) > 1)} {', '.join(names)})"
        for text, names in groups.items()
    )


def provenance(numbers: dict) -> str:
    """Return which runs a chapter loaded or trained, from the numbers glued as `run_NAME`."""
    runs: dict[str, list[str]] = {}
    for key, value in numbers.items():
        if key.startswith("run_"):
            runs.setdefault(str(value), []).append(key.removeprefix("run_"))
    kinds = (f"{kind}: {', '.join(names)}" for kind, names in sorted(runs.items()))
    return "; ".join(kinds) or "none"
