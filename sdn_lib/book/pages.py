"""Pages of prose with marked places, and the tables that go there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sdn_lib.errors import SDNError, counted, near
from sdn_lib.machine import gigabytes
from sdn_lib.show.tables import markdown_lines


def fill(page: Path, values: Mapping[str, str]) -> str:
    """Return the text of a page with its marks replaced: lines that are comments to Markdown.

    `% put NAME` stands for the value of that name; what lies between `% if NAME`, or
    `% if not NAME`, and `% end` stays where that value is not empty, or is. A name without a value,
    and an `% if` or `% end` without the other, raise SDNError.
    """
    lines: list[str] = []
    blocks: list[bool] = []
    for line in page.read_text(encoding="utf-8").splitlines():
        mark, *words = (line[2:].split() if line.startswith("% ") else []) or [""]
        if mark in ("put", "if") and not words:
            raise SDNError(f"{page} has an `% {mark}` without a name: give it one")
        if mark in ("put", "if") and words[-1] not in values:
            raise SDNError(f"{page} asks for {words[-1]!r}: {near(words[-1], values)}")
        if mark == "if":
            blocks.append(bool(values[words[-1]]) == (words[0] != "not"))
        elif mark == "end" and blocks:
            blocks.pop()
        elif mark == "end":
            raise SDNError(f"{page} has an `% end` without an `% if`: take it away")
        elif all(blocks):
            lines += values[words[-1]].splitlines() if mark == "put" else [line]
    if blocks:
        raise SDNError(f"{page} has an `% if` without an `% end`: add it")
    return "\n".join(lines) + "\n"


def measured_table(rows: Sequence[dict]) -> list[str]:
    """Return the lines of a Markdown table of rows with equal keys, numbers to three digits."""
    return markdown_lines(list(rows[0]), [[*map(_digits, row.values())] for row in rows])


def _digits(value: float | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


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
