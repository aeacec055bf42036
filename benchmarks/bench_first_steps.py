"""The first hundred steps of the teacher at 128 pixels (profile `gpu`), on whatever is here.

Does its loss fall, and how long would the whole training take on this machine?
"""

from __future__ import annotations

import time

import record

from sdn_lib import profiles, runs

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
    record.save("first_steps", {f"The first {STEPS} steps at {profile.data.size} pixels": [row]})


if __name__ == "__main__":
    main()
