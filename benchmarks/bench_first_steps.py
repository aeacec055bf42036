"""The first steps of trainings that the book does not run, on whatever is here.

Of the teacher at 128 pixels (profile `gpu`) a hundred: does its loss fall, and how long would the
whole training take on this machine? And those with one setting changed, as exercises ask for them.
"""

from __future__ import annotations

import time

import record

from sdn_lib import profiles, runs
from sdn_lib.runs import first_steps

STEPS = 100


def main() -> None:
    """Train, print and keep the table."""
    profile = profiles.load("gpu", live_steps=STEPS)
    runs.data_of("teacher", profile)
    began = time.perf_counter()
    log = runs.train_live("teacher", profile).log
    setup = time.perf_counter() - began - log[-1]["seconds"]
    seconds = log[-1]["seconds"] / STEPS
    row = {
        "network": "teacher",
        "pictures a step": profile.teacher.batch,
        "seconds a step": seconds,
        f"loss at step {log[0]['step']}": log[0]["total"],
        f"loss at step {STEPS}": log[-1]["total"],
        f"hours for all {profile.teacher.steps:,}": (
            (setup + profile.teacher.steps * seconds) / 3600
        ),
    }
    changed = [line for run in first_steps.VARIANTS for line in first_steps.measure(run)]
    large = f"The first {STEPS} steps at {profile.data.size} pixels"
    record.save("first_steps", {large: [row], first_steps.TITLE: changed})


if __name__ == "__main__":
    main()
