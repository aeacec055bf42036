"""The first steps of trainings in which one setting differs, as two exercises ask for them.

Chapters 2 and 3 read what `benchmarks/bench_first_steps.py` has stored: to train four networks,
even for a few steps, would take a chapter longer than all of its figures.
"""

from __future__ import annotations

from typing import Any

from sdn_lib import files, profiles
from sdn_lib.errors import SDNError
from sdn_lib.runs import store
from sdn_lib.runs.data import data_of

STEPS = 70
VARIANTS = {"text": ("text_variant", ("icml", "cvpr")), "teacher": ("pooling", ("avg", "max"))}
"""{run: (setting of NetworkConfig, its values)}."""

TITLE = f"The first {STEPS} steps with one setting changed"
FIRST, LAST = (f"loss at step {step}" for step in (10, STEPS))


def measure(run: str) -> list[dict[str, Any]]:
    """Train each variant of a run for `STEPS` steps of the profile `cpu`; return a row of each."""
    setting, values = VARIANTS[run]
    rows = []
    for value in values:
        profile = profiles.load("cpu", **{f"network__{setting}": value, "live_steps": STEPS})
        data_of(run, profile)
        log = store.train_live(run, profile).log
        losses = {f"loss at step {entry['step']}": entry["total"] for entry in (log[0], log[-1])}
        seconds = log[-1]["seconds"] / STEPS
        rows.append({"network": run, "variant": value, "seconds a step": seconds, **losses})
    return rows


def stored(run: str) -> dict[str, tuple[float, float]]:
    """Return {variant: (loss at step 10, loss at step `STEPS`)} as stored.

    Raises SDNError where the table is not there, or lacks a variant.
    """
    path = profiles.ROOT / "results" / "benchmarks" / "first_steps.json"
    remedy = "run `benchmarks/bench_first_steps.py`"
    tables = files.read_json(path, remedy).get("tables")
    try:
        rows = tables[TITLE]
        found = {r["variant"]: (r[FIRST], r[LAST]) for r in rows if r["network"] == run}
    except (KeyError, TypeError):
        found = {}
    if set(found) != set(VARIANTS[run][1]):
        raise SDNError(f"{path} has no whole table {TITLE!r}: {remedy}")
    return found
