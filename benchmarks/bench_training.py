"""Time a training step and its peak memory: this library against a plain port, and the floor.

Each variant lives in a process of its own, and they take steps in turns, so that a slow minute of
the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import re
import resource
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import plain_port
import record
import torch

from sdn_lib import distillation, fast
from sdn_lib.experiments import cost
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher


@dataclass(frozen=True)
class Case:
    """One variant at one size.

    `kind` is 'plain', 'fast', 'greedy' (fast, and no freed memory goes back to the system),
    'shared' (captions share images), or a key of COMPILED.
    """

    kind: str
    stage: str
    depth: int = 19
    width: float = 1.0
    size: int = 224
    batch: int = 12
    fc_width: int = 4096
    together: int = 1


KEEP_ALL = {f"MALLOC_{what}_THRESHOLD_": str(2**31 - 1) for what in ("MMAP", "TRIM")}
COMPILED = {"compiled": {}, "CUDA graphs": {"mode": "reduce-overhead"}}
"""What torch.compile is told for the variants that use it; `bench_gpu.py` times them."""

PAPER = {}
CPU = {"depth": 13, "width": 0.25, "size": 64, "batch": 16, "fc_width": 768}


def stepper(case: Case):
    """Return a function that takes one training step of a case and returns the loss."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    text = torch.randn(case.batch, 1024, device=device)
    image = torch.rand(case.batch // case.together, 3, case.size, case.size, device=device)
    if case.kind == "plain":
        teacher = plain_port.Teacher(case.depth, case.width).to(device)
        student = plain_port.Student(case.depth, case.width, case.size, 1024, case.fc_width)
        student.to(device)
        optimiser = torch.optim.Adam(student.parameters(), lr=1e-4)
        loss = getattr(plain_port, case.stage)
        return lambda: plain_port.train_step(optimiser, loss, student, teacher, text, image)
    if device.type == "cpu":
        fast.keep_freed_memory()
    last = {"memory_format": torch.channels_last}
    teacher = Teacher(case.depth, case.width).freeze().to(device, **last)
    student = Student(case.depth, case.width, case.size, 1024, case.fc_width).to(device, **last)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-4, fused=True)
    image = image.to(**last)

    def loss() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return distillation.STAGES[case.stage](student, teacher, text, image).total

    if case.kind in COMPILED:
        loss = torch.compile(loss, **COMPILED[case.kind])

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        total = loss()
        total.backward()
        optimiser.step()
        return total.item()

    return step


def serve(case: Case, pipe) -> None:
    """Build a case in this process, then answer every message with the seconds of a step.

    They are infinite where the GPU's memory does not suffice.
    """
    step = stepper(case)
    while pipe.recv():
        began = time.perf_counter()
        try:
            step()
            pipe.send(time.perf_counter() - began)
        except torch.cuda.OutOfMemoryError:
            pipe.send(math.inf)
    pipe.send(peak())


def peak() -> int:
    """Return the most bytes that this process has held, on the GPU where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts the parent's memory in
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(cases: list[Case], steps: int, warm_up: int = 2) -> dict[Case, tuple[float, int]]:
    """Return {case: (median seconds of a step, peak bytes)}, the cases taking steps in turns.

    Raises RuntimeError that names a case whose process ended early; it has printed why.
    """

    def answer(case: Case, message: bool):
        try:
            workers[case][1].send(message)
            return workers[case][1].recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(f"{case} failed, see above") from None

    context = multiprocessing.get_context("spawn")
    workers = {}
    for case in cases:
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(case, there), daemon=True)
        # The C library reads it when a process starts, and `keep_freed_memory` respects it.
        os.environ.update(KEEP_ALL if case.kind == "greedy" else {})
        process.start()
        there.close()  # else a process that ends early would be waited for
        for variable in KEEP_ALL:
            os.environ.pop(variable, None)
        workers[case] = (process, here)
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    for turn in range(warm_up + steps):
        for case in workers:
            took = answer(case, True)
            if turn >= warm_up:
                seconds[case].append(took)
    found = {}
    for case, (process, _) in workers.items():
        found[case] = statistics.median(seconds[case]), answer(case, False)
        process.join()
    return found


def multiply_adds(case: Case) -> float:
    """Return the multiply-adds of a training step as the method is written, without tricks."""
    return cost.multiply_adds(
        case.stage, case.depth, case.width, case.size, case.fc_width, case.batch, case.together
    )


def rates() -> dict[str, float]:
    """Return the machine's rates: bf16 and fp32 multiply-adds and bytes copied a second."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = 8192 if device == "cuda" else 4096

    def product(dtype: torch.dtype) -> float:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))

        def run() -> None:
            a @ b
            if device == "cuda":
                torch.cuda.synchronize()

        return side**3 / record.best(run)

    source = torch.randn(50_000_000, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / record.best(lambda: (target.copy_(source), float(target[0])))
    return {
        "bf16": product(torch.bfloat16), "fp32": product(torch.float32), "copy": copied
    }  # fmt: skip


def compare(name: str, size: dict, steps: int, together: tuple[int, ...]) -> list[dict]:
    """Return one row a variant and stage: seconds, memory, and both over the plain port's."""
    rows = []
    for stage in ("stage_one", "stage_two"):
        kinds = ("plain", "fast", "greedy")
        plain, *ours = (Case(kind, stage, **size) for kind in kinds)
        ours += [Case("shared", stage, **size, together=k) for k in together]
        found = measure([plain, *ours], steps)
        for case, (seconds, peak) in found.items():
            variant = f"{case.together} captions an image" if case.kind == "shared" else case.kind
            rows.append(
                {
                    "size": name,
                    "stage": stage,
                    "variant": variant,
                    "seconds a step": seconds,
                    "of plain": seconds / found[plain][0],
                    "peak GB": peak / 1e9,
                    "peak of plain": peak / found[plain][1],
                }
            )
            print(rows[-1], flush=True)
    return rows


def floors(rows: list[dict], size: dict, rate: dict[str, float]) -> list[dict]:
    """Return how far the fast variant is from what the machine's rates allow."""
    found = []
    with torch.device("meta"):
        student = Student(**{k: v for k, v in size.items() if k != "batch"})
    parameters = sum(p.numel() for p in student.parameters())
    for row in rows:
        if row["variant"] != "fast":
            continue
        work = multiply_adds(Case("fast", row["stage"], **size))
        adam = 7 * 4 * parameters  # reads weight, gradient, moments; writes three
        floor = work / rate["bf16"] + adam / rate["copy"]
        found.append(
            {
                "size": row["size"],
                "stage": row["stage"],
                "10^9 multiply-adds": work / 1e9,
                "GB of Adam": adam / 1e9,
                "floor s": floor,
                "measured s": row["seconds a step"],
                "measured / floor": row["seconds a step"] / floor,
            }
        )
    return found


def growth(steps: int) -> list[dict]:
    """Return the fast stage two's time an image as batch, picture and width grow, one at a time."""
    base = {"depth": 19, "width": 0.5, "size": 128, "batch": 8, "fc_width": 1024}
    steps_of = {"batch": (2, 8, 32), "size": (64, 128, 224), "width": (0.25, 0.5, 1)}
    rows = []
    for key, values in steps_of.items():
        for value in values:
            case = Case("fast", "stage_two", **{**base, key: value})
            ((seconds, peak),) = measure([case], steps).values()
            work = multiply_adds(case)
            rows.append(
                {
                    "grows": key,
                    "to": value,
                    "ms an image": 1e3 * seconds / case.batch,
                    "10^9 multiply-adds a second": work / seconds / 1e9,
                    "peak GB": peak / 1e9,
                }
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3, help="steps a variant at the paper's size")
    options = parser.parse_args()
    rate = rates()
    paper = compare("paper", PAPER, options.steps, (3,))
    small = compare("cpu profile", CPU, 20 * options.steps, (4,))
    rows = [
        {"bf16 10^9 multiply-adds a second": rate["bf16"] / 1e9,
         "fp32": rate["fp32"] / 1e9, "copied GB a second": rate["copy"] / 1e9}
    ]  # fmt: skip
    full = {"depth": 19, "width": 1.0, "size": 224, "batch": 12, "fc_width": 4096}
    record.save(
        "training",
        {
            "A training step": paper + small,
            "Measured rates": rows,
            "Floor": floors(paper, full, rate) + floors(small, CPU, rate),
            "Growth of stage two (VGG19, half width, 128 px, batch 8)": growth(options.steps),
        },
    )


if __name__ == "__main__":
    main()
