"""Two processes on the loopback against one: the same losses, and a state that either resumes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from sdn_lib import distillation, training
from sdn_lib.errors import SDNError
from sdn_lib.profiles import TrainConfig
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher

STEPS = 6


class Small(training.Task):
    """A tiny student under stage two, on noise."""

    size = 1000

    def __init__(self, norm=False):
        super().__init__()
        torch.manual_seed(0)
        self.student = Student(11, 1 / 16, 32, 16, 16, norm=norm)
        self.teacher = (Teacher(11, 1 / 16).freeze(),)

    def sample(self, step, seed, batch):
        draw = torch.Generator().manual_seed(1000 * seed + step)
        text = torch.randn(batch, 16, generator=draw)
        return {"text": text, "images": torch.rand(batch, 3, 32, 32, generator=draw)}

    def forward(self, text, images):
        return distillation.stage_two(self.teacher[0], self.student(text)["image"], images)


def settings(batch=8):
    return TrainConfig(STEPS, batch=batch, precision="fp32", log_every=1, checkpoint_every=2)


def in_two(folder, stop_after=None, task="Small()", batch=8):
    """Train in two processes and return what they printed."""
    code = (
        "import os, test_processes as t\n"
        f"log = t.training.fit(t.{task}, t.settings({batch}), {str(folder)!r},"
        f" stop_after={stop_after})\n"
        "if os.environ['RANK'] == '0': print(t.json.dumps(log))\n"
    )
    script = folder.parent / f"{folder.name}.py"
    script.write_text(code)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    here = {"PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run(
        [*launch, "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", str(script)],
        env={**os.environ, **here, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done


def totals(log):
    return [entry["total"] for entry in log]


@pytest.fixture(scope="module")
def alone():
    return totals(training.fit(Small(), settings()))


def test_two_processes_give_the_losses_of_one(alone, tmp_path):
    done = in_two(tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    assert totals(json.loads(done.stdout.splitlines()[-1])) == pytest.approx(alone, rel=1e-5)


def test_two_processes_go_on_where_one_stopped_and_back(alone, tmp_path):
    folder = tmp_path / "run"
    training.fit(Small(), settings(), folder, stop_after=2)
    done = in_two(folder, stop_after=4)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) == 4
    assert totals(training.fit(Small(), settings(), folder)) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize(
    ("task", "batch", "words"),
    [("Small(norm=True)", 8, "batch norm sees only"), ("Small()", 7, "cannot be shared by 2")],
)
def test_what_two_processes_would_do_otherwise_is_refused(task, batch, words, tmp_path):
    done = in_two(tmp_path / "no", task=task, batch=batch)
    assert done.returncode != 0 and words in done.stderr
    assert not list((tmp_path / "no").glob("*"))


def test_a_batch_that_is_compared_with_itself_is_not_divided():
    task = Small()
    task.divisible = False
    with pytest.raises(SDNError, match="Small compares a batch with itself"):
        training._shareable(task, settings(), 2)
