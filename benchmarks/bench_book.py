"""Time the book when nothing changed; the page on status has the time of each chapter."""

from __future__ import annotations

import time

import record

from sdn_lib.book.execute import reproduce
from sdn_lib.book.render import render

GOAL = 60  # seconds for a book in which nothing changed


def main() -> None:
    """Bring the book up to date, time it again, print and keep the tables."""
    silent = {"report": lambda _: None}
    reproduce("cpu", **silent)
    render("cpu", **silent)
    began = time.perf_counter()
    reproduce("cpu", **silent)
    checked = time.perf_counter()
    render("cpu", **silent)
    done = time.perf_counter()
    again = {
        "chapters checked": checked - began,
        "pages rendered": done - checked,
        "together": done - began,
        "of the goal": (done - began) / GOAL,
    }
    record.save("book", {"Nothing changed, seconds": [again]})


if __name__ == "__main__":
    main()
