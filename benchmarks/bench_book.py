"""Time the book: each chapter as last executed, and everything again when nothing changed."""

from __future__ import annotations

import time

import record

from sdn_lib.book.execute import reproduce
from sdn_lib.book.render import render

GOAL = 60  # seconds for a book in which nothing changed


def main() -> None:
    """Bring the book up to date, time it again, print and keep the tables."""
    silent = {"report": lambda _: None}
    chapters = reproduce("cpu", **silent)
    render("cpu", **silent)
    began = time.perf_counter()
    reproduce("cpu", **silent)
    checked = time.perf_counter()
    render("cpu", **silent)
    done = time.perf_counter()
    rows = [
        {"chapter": r["chapter"], "seconds": r["seconds"], "peak GB": r["peak_memory_bytes"] / 1e9}
        for r in chapters
    ]
    total = sum(r["seconds"] for r in chapters)
    rows.append({"chapter": "all", "seconds": total, "peak GB": max(r["peak GB"] for r in rows)})
    again = {
        "chapters checked": checked - began,
        "pages rendered": done - checked,
        "together": done - began,
        "of the goal": (done - began) / GOAL,
    }
    record.save("book", {"Chapters, as last executed": rows, "Nothing changed, seconds": [again]})


if __name__ == "__main__":
    main()
