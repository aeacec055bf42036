"""On a GPU: images a second in both stages, share of the matrix rate, profile, data path.

Without one it says so and measures nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import record
import torch
from bench_training import COMPILED, Case, measure, multiply_adds, rates, stepper
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from sdn_lib import runs
from sdn_lib.data import painted_birds

BATCHES = (12, 24, 48, 96, 192)
KINDS = ("plain", "fast", *COMPILED)


def throughput(
    stage: str, rate: float, batch: int, kinds: Sequence[str], steps: int, **size
) -> list[dict]:
    """Return one row a variant whose steps ran and fit; `rate` in multiply-adds a second.

    One that needs more memory than there is, or fails, is named on the screen and left out.
    """
    rows, plain = [], math.inf
    for kind in kinds:
        case = Case(kind, stage, **size, batch=batch)
        try:
            # One at a time: on a GPU nothing else runs, and each may have all of its memory.
            seconds, peak = measure([case], steps, warm_up=4)[case]
        except RuntimeError as error:
            print(error, flush=True)
            continue
        if math.isinf(seconds):
            print(f"{kind}, {stage}, batch {batch}: too large for this GPU", flush=True)
            continue
        plain = seconds if kind == "plain" else plain
        rows.append(
            {
                "stage": stage,
                "batch": batch,
                "variant": kind,
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

    # A GPU's kernels alone: the operations that launched them hold the same time once more.
    where = DeviceType.CUDA if on_gpu else DeviceType.CPU
    events = [event for event in profiler.key_averages() if event.device_type == where]
    events.sort(key=cost, reverse=True)
    total = sum(cost(event) for event in events)
    return [
        {"kernel": f"`{event.key[:60]}`", "ms a step": cost(event) / 1e3 / steps,
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
    """Measure and print; keep what was measured after each batch, in case time runs out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="steps a variant and batch")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch sees no GPU here: nothing was measured on one")
        return
    rate, rows = rates(), []
    tables = {
        "Training on a GPU": rows,
        "Its rates": [
            {"bf16 10^9 multiply-adds a second": rate["bf16"] / 1e9,
             "fp32": rate["fp32"] / 1e9, "copied GB a second": rate["copy"] / 1e9,
             "TF32 in plain's convolutions": str(torch.backends.cudnn.allow_tf32)}
        ],
    }  # fmt: skip
    for batch in options.batches:
        for stage in ("stage_one", "stage_two"):
            rows += throughput(stage, rate["bf16"], batch, options.kinds, options.steps)
            if rows:
                record.keep("gpu", tables)
    ours = [row for row in rows if row["stage"] == "stage_two" and row["variant"] != "plain"]
    if not ours:
        sys.exit("error: no variant of ours took a step of stage two, see above")
    best = max(ours, key=lambda row: row["images a second"])
    case = Case(best["variant"], "stage_two", batch=best["batch"])
    title = f"Stage two, {best['variant']}, batch {best['batch']}: where the time goes"
    tables[title] = where_time_goes(case)
    data, needs = loaded(case.size, case.batch), max(row["images a second"] for row in rows)
    tables[f"Pictures of {case.size} pixels a second"] = [
        {"loaded": data, "needed at most": needs, "loaded / needed": data / needs}
    ]
    record.save("gpu", tables)


if __name__ == "__main__":
    main()
