"""The first steps of trainings in which one setting differs, as two exercises ask for them.

Chapters 2 and 3 read what `benchmarks/bench_first_steps.py` has stored: to train four networks,
even for a few steps, would take a chapter longer than all of its figures.
"""

from __future__ import annotations

from typing import Any

from sdn_lib import files, profiles, runs

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
        changes = {f"network__{setting}": value, "live_steps": STEPS}
        log = runs.train_live(run, profiles.load("cpu", **changes)).log
        seconds = log[-1]["seconds"] / STEPS
        losses = {FIRST: log[0]["total"], LAST: log[-1]["total"]}
        rows.append({"network": run, "variant": value, "seconds a step": seconds, **losses})
    return rows


def stored(run: str) -> dict[str, tuple[float, float]]:
    """Return {variant: (loss at the first logged step, loss at step `STEPS`)} as stored.

    Raises SDNError where the table is not there, or damaged.
    """
    path = profiles.ROOT / "results" / "benchmarks" / "first_steps.json"
    remedy = "run `benchmarks/bench_first_steps.py`"
    rows = files.read_json(path, remedy).get("tables", {}).get(TITLE, [])
    return {row["variant"]: (row[FIRST], row[LAST]) for row in rows if row["network"] == run}
