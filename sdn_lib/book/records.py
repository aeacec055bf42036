"""What a chapter's executed copy came from, kept beside it, and whether that still holds.

A record says which source, library, weights, parameters, packages and hardware a run had. As long
as all but the hardware still hold, and the copy is the one that the run left, it is not run again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdn_lib import files, profiles
from sdn_lib.book import dependencies
from sdn_lib.book.chapters import Layout, read_source, title
from sdn_lib.book.gate import INJECTED, gate
from sdn_lib.errors import SDNError
from sdn_lib.machine import versions

STORED = {
    "experiments": (
        "ablation/*/*.*", "*/evaluation.json", "*/trainings.json", "*/timings.json", "*/data.json",
        "*/captions.txt", "*/painted-*.png", "*/kinds*.*",
    ),
    "first_steps": ("benchmarks/first_steps.json",),
    "gpu.json": ("benchmarks/gpu.json",),
}  # fmt: skip
"""{a word in the code of chapters: the figures of record, under results/, that they may read}."""


TEXT_CHANGED = "its text changed"


def stale(place: Layout, name: str, values: Mapping[str, Any] | None = None) -> str | None:
    """Return why a chapter's executed copy does not hold, or None when it does.

    TEXT_CHANGED means that the code and its outputs still do. `values` are the parameters that it
    must have been run with, or None to accept any. Hardware is not compared, nor the build of a
    package for it ('2.15.0+cpu').
    """
    executed = place.executed(name)
    if not executed.exists() or not place.record(name).exists():
        return "it has not been run"
    try:
        record = read_record(place, name)
    except SDNError:
        return "its record is damaged"
    if not executed.is_file() or record["executed"] != files.checksum(executed):
        return "its executed copy is damaged, or was changed by hand"
    if values is not None and record["parameters"] != dict(values):
        return "its parameters changed"
    if changed := _other_versions(record["versions"], versions()):
        return f"packages changed ({changed})"
    now = fingerprints(place, name, record["parameters"])
    for key, reason in (
        ("profile", "its profile's file changed"),
        ("code", "its code changed"),
        ("library", "sdn_lib changed"),
        ("weights", "the shipped weights changed"),
        ("photographs", "other photographs are prepared"),
        ("results", "the stored results changed"),
        ("text", TEXT_CHANGED),
    ):
        if record["origin"].get(key, "") != now[key]:
            return reason
    return None


def _other_versions(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the packages that are not what they were: 'numpy 2.4.1, now 2.5.0'.

    What renders pages decides no output, and a local part ('+cu132') names hardware.
    """
    changes = []
    for package in sorted((set(then) | set(now)) - {"jupyter-book"}):
        old, new = (str(known.get(package, "none")).split("+")[0] for known in (then, now))
        if old != new:
            changes.append(f"{package} {old}, now {new}")
    return "; ".join(changes)


def refresh(place: Layout, name: str) -> dict:
    """Put a chapter's new text around the outputs it has, and return the renewed record."""
    import nbformat

    old = nbformat.read(place.executed(name), as_version=4)
    new = read_source(place.chapters()[name])
    injected = [c for c in old.cells if INJECTED in c.metadata.get("tags", [])]
    ran = iter(c for c in old.cells if c.cell_type == "code" and c not in injected)
    for cell in new.cells:
        if cell.cell_type == "code":
            before = next(ran)
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
    at = next(i for i, c in enumerate(new.cells) if "parameters" in c.metadata.get("tags", []))
    new.cells[at + 1 : at + 1] = injected
    numbers = gate(read_source(place.chapters()[name]), new, name)
    record = read_record(place, name)
    origin = fingerprints(place, name, record["parameters"])
    renewed = {"numbers": numbers, "origin": origin, "title": title(new, name)}
    return write_run(place, name, new, record | renewed)


def write_run(place: Layout, name: str, executed: Any, record: dict) -> dict:
    """Write a chapter's executed copy, then its record, which knows the copy; return the record."""
    import nbformat

    text = nbformat.writes(executed)
    record = {**record, "executed": _digest(text)}
    files.write_text(place.executed(name), text)
    files.write_json(place.record(name), record)
    return record


_REMEDY = "delete it, and run the chapter again with `sdn reproduce`"


_RECORD = {
    "chapter": str,
    "title": str,
    "profile": str,
    "seed": (int, type(None)),
    "parameters": dict,
    "started": str,
    "seconds": (int, float),
    "peak_memory_bytes": int,
    "workers": int,
    "hardware": {
        "processor": str, "cores": int, "memory_bytes": int, "accelerators": list, "system": str,
    },
    "versions": dict,
    "git": {"commit": (str, type(None)), "dirty": (bool, type(None))},
    "origin": dict,
    "numbers": dict,
    "executed": str,
}  # fmt: skip


def read_record(place: Layout, name: str) -> dict:
    """Return a chapter's record; SDNError names one that is missing or damaged, and the remedy."""
    path = place.record(name)
    record = files.read_json(path, _REMEDY)
    if missing := _missing(record, _RECORD):
        raise SDNError(f"{path} is damaged (its {missing!r} is missing or wrong): {_REMEDY}")
    return record


def _missing(record: Any, shape: Mapping[str, Any]) -> str:
    """Return the first key of `shape` that `record` has not, or has with another type; else ''."""
    for key, kind in shape.items():
        inner = kind if isinstance(kind, dict) else None
        if not isinstance(record.get(key), dict if inner else kind):
            return key
        if inner and (missing := _missing(record[key], inner)):
            return f"{key}.{missing}"
    return ""


def fingerprints(place: Layout, name: str, values: Mapping[str, Any]) -> dict[str, str]:
    """Return hashes of what a chapter's outputs depend on, if run with parameters.

    Text, code, the library's files that it uses, shipped weights, a profile's own file and its
    photographs, and, if it speaks of them, other prepared photographs and the stored results.
    """
    cells = read_source(place.chapters()[name]).cells
    joined = [(c.cell_type, c.source, c.metadata) for c in cells]
    code = [(source, m.get("tags", [])) for kind, source, m in joined if kind == "code"]
    sources = dependencies.imported([source for source, _ in code])
    shipped = place.root / "results"
    weights = [p for p in shipped.rglob("*") if p.name in ("weights.safetensors", "config.json")]
    text = "\n".join(source for source, _ in code)
    patterns = [pattern for word, of in STORED.items() if word in text for pattern in of]
    stored = [path for pattern in patterns for path in shipped.glob(pattern)]
    own = _own_profile(str(values.get("profile", "")))
    named = [*(profiles.PROFILES.values() if ".photos" in text else ()), *own]
    folders = {place.root / p.photos for p in named if p.photos}
    photographs = [m for f in folders if (m := f / "manifest.json").is_file()]
    return {
        "text": _digest(json.dumps(joined, sort_keys=True)),
        "code": _digest(json.dumps(code, sort_keys=True)),
        "library": _digest_files(sources, dependencies.LIBRARY),
        "weights": _digest_files(weights, shipped),
        "photographs": _digest_files(photographs, place.root),
        "results": _digest_files(stored, shipped),
        "profile": "".join(_digest(p.to_json()) for p in own),
    }


def _own_profile(profile: str) -> list[profiles.Profile]:
    """Return the profile that a file holds; none for a built-in one, or a file that is none."""
    try:
        return [profiles.load(profile)] if profiles.is_file(profile) else []
    except SDNError:
        return []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_files(paths: Sequence[Path], base: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(Path(os.path.relpath(path, base)).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
