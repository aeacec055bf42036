"""On a GPU: images a second in both stages, share of the matrix rate, profile, data path.

Without one it says so and measures nothing.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np
import record
import torch
from bench_training import COMPILED, Case, measure, multiply_adds, rates, stepper
from torch.profiler import ProfilerActivity, profile

from sdn_lib import runs
from sdn_lib.data import painted_birds

BATCHES = (12, 24, 48, 96, 192)
KINDS = ("plain", "fast", *COMPILED)


def throughput(
    stage: str, rate: float, batches: tuple[int, ...], kinds: tuple[str, ...], steps: int, **size
) -> list[dict]:
    """Return one row a batch and variant, as long as they fit; `rate` in multiply-adds a second."""
    rows = []
    for batch in batches:
        cases = [Case(kind, stage, **size, batch=batch) for kind in kinds]
        # One at a time: on a GPU nothing else runs, and each may have all of its memory.
        found = {case: measure([case], steps, warm_up=4)[case] for case in cases}
        plain = found[cases[0]][0]
        for case, (seconds, peak) in found.items():
            if math.isinf(seconds):
                continue
            rows.append(
                {
                    "stage": stage,
                    "batch": batch,
                    "variant": case.kind,
                    "images a second": batch / seconds,
                    "times plain": plain / seconds if math.isfinite(plain) else "",
                    "of the bf16 rate": multiply_adds(case) / seconds / rate,
                    "peak GB": peak / 1e9,
                }
            )
            print(rows[-1], flush=True)
    return rows


def where_time_goes(case: Case, steps: int = 3, most: int = 12) -> list[dict]:
    """Return the profiler's dearest kernels (operations, without a GPU) of a training step."""
    step = stepper(case)
    for _ in range(4):
        step()
    on_gpu = torch.cuda.is_available()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=kinds) as profiler:
        for _ in range(steps):
            step()

    def cost(event) -> float:
        return event.self_device_time_total if on_gpu else event.self_cpu_time_total

    events = sorted(profiler.key_averages(), key=cost, reverse=True)
    total = sum(cost(event) for event in events)
    return [
        {"kernel": event.key[:60], "ms a step": cost(event) / 1e3 / steps,
         "share": cost(event) / total}
        for event in events[:most]
    ]  # fmt: skip


def loaded(size: int, batch: int, images: int = 1024) -> float:
    """Return pictures a second from the prepared form to the device, in random batches."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        data = painted_birds.generate(
            Path(folder) / "birds", size=size, images_per_species=max(1, images // 200)
        )
        rows = np.random.default_rng(0).permutation(len(data))

        def read() -> None:
            for part in np.array_split(rows, max(1, len(rows) // batch)):
                runs.images(data, part).to(device, non_blocking=True)
            if device == "cuda":
                torch.cuda.synchronize()

        return len(rows) / record.best(read)


def main() -> None:
    """Measure, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="steps a variant and batch")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch sees no GPU here: nothing was measured on one")
        return
    rate = rates()
    rows = [
        row
        for stage in ("stage_one", "stage_two")
        for row in throughput(stage, rate["bf16"], BATCHES, KINDS, options.steps)
    ]
    ours = [row for row in rows if row["stage"] == "stage_two" and row["variant"] != "plain"]
    best = max(ours, key=lambda row: row["images a second"])
    data = loaded(224, best["batch"])
    needs = max(row["images a second"] for row in rows)
    record.save(
        "gpu",
        {
            "Training on a GPU": rows,
            "Its rates": [
                {"bf16 10^9 multiply-adds a second": rate["bf16"] / 1e9,
                 "fp32": rate["fp32"] / 1e9, "copied GB a second": rate["copy"] / 1e9}
            ],
            f"Stage two, {best['variant']}, batch {best['batch']}: where the time goes":
                where_time_goes(Case(best["variant"], "stage_two", batch=best["batch"])),
            "Pictures of 224 pixels a second": [
                {"loaded": data, "needed at most": needs, "loaded / needed": data / needs}
            ],
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
