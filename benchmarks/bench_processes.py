"""Time a training step of stage two in one process and in as many as there are cores."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import record
import torch

from sdn_lib import distillation, learning, machine
from sdn_lib.profiles import TrainConfig
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher

SIZE, BATCH, STEPS = 128, 16, 12


class Noise(learning.Task):
    """A student of VGG19 at half width under stage two, on noise."""

    size = 1000

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        last = {"memory_format": torch.channels_last}
        self.student = Student(19, 0.5, SIZE, 1024, 1024).to(**last)
        self.frozen = (Teacher(19, 0.5).freeze().to(**last),)

    def sample(self, step: int, seed: int, batch: int) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Return text and images of one batch."""
        draw = torch.Generator().manual_seed(step)
        images = torch.rand(batch, 3, SIZE, SIZE, generator=draw)
        return {"text": torch.randn(batch, 1024, generator=draw), "images": images}

    def forward(self, text: torch.Tensor, images: torch.Tensor) -> distillation.LayerLosses:
        """Return stage two's losses."""
        return distillation.stage_two(self.student, self.frozen[0], text, images)


def work() -> None:
    """Train a few steps and print the median seconds of a step, once."""
    settings = TrainConfig(STEPS, batch=BATCH, clip=0.0, log_every=1, checkpoint_every=STEPS + 1)
    log = learning.fit(Noise(), settings)
    if os.environ["RANK"] == "0":
        ends = [entry["seconds"] for entry in log]
        steps = [b - a for a, b in zip(ends, ends[1:], strict=False)]
        print(json.dumps({"seconds": statistics.median(steps), "loss": log[-1]["total"]}))


def main() -> None:
    """Measure, print and keep the table; a started process only works."""
    if "RANK" in os.environ:
        work()
        return
    cores, rows = machine.cores(), []
    most = max(n for n in range(1, cores + 1) if BATCH % n == 0)
    for processes in sorted({1, most}):
        launch = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        launch += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
        threads = {"SDN_DEVICE": "cpu", "OMP_NUM_THREADS": str(cores // processes)}
        done = subprocess.run(
            [*launch, str(Path(__file__).resolve())],
            env={**os.environ, **threads},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"error: {processes} processes failed:\n{done.stderr[-3000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            {
                "processes": processes,
                "threads each": cores // processes,
                "seconds a step": found["seconds"],
                "of one process": found["seconds"] / rows[0]["seconds a step"] if rows else 1.0,
                "last loss (bf16)": found["loss"],
            }
        )
    title = f"Stage two, VGG19 at half width, {SIZE} px, batch {BATCH} in all"
    record.save("processes", {title: rows})


if __name__ == "__main__":
    main()
