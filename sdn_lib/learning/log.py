"""The log of a training: one JSON object a line, one line a logged step."""

from __future__ import annotations

import json
from pathlib import Path

from sdn_lib import files
from sdn_lib.errors import SDNError


def write(path: Path, log: list[dict]) -> None:
    """Write a log as JSON lines, atomically."""
    files.write_text(path, "".join(json.dumps(entry) + "\n" for entry in log))


def read(path: str | Path) -> list[dict]:
    """Return the entries of a JSONL log; SDNError names the file and line that is no JSON."""
    remedy = "restore it, or delete its folder and train again"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SDNError(f"{path} cannot be read ({error}): {remedy}") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise SDNError(f"{path}, line {number}, is no JSON ({error}): {remedy}") from None
        if not isinstance(entries[-1], dict) or not {"step", "total"} <= entries[-1].keys():
            raise SDNError(f"{path}, line {number}, is no record of a step: {remedy}")
    if not entries:
        raise SDNError(f"{path} is empty: {remedy}")
    return entries
