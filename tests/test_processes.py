"""Two processes on the loopback against one: the same losses, and a state that either resumes."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
import torch

from sdn_lib import distillation, learning, processes, runs
from sdn_lib.errors import SDNError
from sdn_lib.learning import checkpoints
from sdn_lib.profiles import TrainConfig
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher

STEPS = 6


class Small(learning.Task):
    """A tiny student under stage two, on noise."""

    size = 1000

    def __init__(self, norm=False):
        super().__init__()
        torch.manual_seed(0)
        self.student = Student(11, 1 / 16, 32, 16, 16, norm=norm)
        self.frozen = (Teacher(11, 1 / 16).freeze(),)

    def sample(self, step, seed, batch):
        draw = torch.Generator().manual_seed(1000 * seed + step)
        text = torch.randn(batch, 16, generator=draw)
        return {"text": text, "images": torch.rand(batch, 3, 32, 32, generator=draw)}

    def forward(self, text, images):
        return distillation.stage_two(self.student, self.frozen[0], text, images)


class Ill(Small):
    """Its second half of a batch, the second process's, is not finite at the third step."""

    def sample(self, step, seed, batch):
        sample = super().sample(step, seed, batch)
        if step == 2:
            sample["text"][1::2] = math.nan
        return sample


def settings(batch=8, log_every=1):
    return TrainConfig(
        STEPS, batch=batch, precision="fp32", log_every=log_every, checkpoint_every=2
    )


def interrupt_the_second(step, task):
    if step == 3 and os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGINT)


def in_two(folder, stop_after=None, task="Small()", batch=8, **options):
    """Train in two processes and return what they printed."""
    code = (
        "import os, test_processes as t\n"
        f"log = t.learning.fit(t.{task}, t.settings({batch}, {options.get('log_every', 1)}),"
        f" {str(folder)!r}, stop_after={stop_after}, on_step={options.get('on_step')})\n"
        "if os.environ['RANK'] == '0': print(t.json.dumps(log))\n"
    )
    script = folder.parent / f"{folder.name}.py"
    script.write_text(code)
    return launched(str(script))


def launched(*command):
    """Run a program in two processes and return what they printed."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    here = {"PYTHONPATH": os.path.dirname(__file__), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launch, "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", *command],
        env={**os.environ, **here},
        capture_output=True,
        text=True,
        timeout=240,
    )


def totals(log):
    return [entry["total"] for entry in log]


@pytest.fixture(scope="module")
def alone():
    return totals(learning.fit(Small(), settings()))


def test_two_processes_give_the_losses_of_one(alone, tmp_path):
    done = in_two(tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    assert totals(json.loads(done.stdout.splitlines()[-1])) == pytest.approx(alone, rel=1e-5)


def test_two_processes_go_on_where_one_stopped_and_back(alone, tmp_path):
    folder = tmp_path / "run"
    learning.fit(Small(), settings(), folder, stop_after=2)
    done = in_two(folder, stop_after=4)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads(done.stdout.splitlines()[-1])) == 4
    assert totals(learning.fit(Small(), settings(), folder)) == pytest.approx(alone, rel=1e-5)


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
        learning.loop._shareable(task, settings(), 2)


def test_an_interrupt_of_one_process_stops_both_and_keeps_the_state(tmp_path):
    done = in_two(tmp_path / "run", on_step="t.interrupt_the_second")
    assert done.returncode != 0 and "training stopped at step 3 of 6" in done.stderr
    assert checkpoints.read_meta(tmp_path / "run" / "state.safetensors")["step"] == 3


def test_a_loss_of_one_process_that_is_not_finite_stops_both(tmp_path):
    done = in_two(tmp_path / "run", task="Ill()", log_every=STEPS)
    assert done.returncode != 0 and "at step 3 of training: lower learning_rate" in done.stderr
    assert checkpoints.read_meta(tmp_path / "run" / "state.safetensors")["step"] == 2


@pytest.mark.slow
def test_two_processes_train_one_run_and_record_it(p):
    runs.get("text", p)
    plain = dataclasses.replace(
        p,
        name="two",
        network=dataclasses.replace(p.network, student_norm=False),
        baseline=dataclasses.replace(p.baseline, steps=4),
    )
    path = p.runs.parent / "two.json"
    path.write_text(plain.to_json())
    done = launched("-m", "sdn_lib", "train", "baseline", "--profile", str(path))
    assert done.returncode == 0, done.stderr[-3000:]
    run = runs.get("baseline", plain)
    assert run.how == "loaded" and run.config["processes"] == 2
    assert [entry["step"] for entry in run.log] == [1, 2, 3, 4]


def test_a_run_that_two_processes_would_spoil_is_refused(p):
    done = launched("-m", "sdn_lib", "train", "teacher", "--profile", "smoke",
                    "--output-dir", str(p.runs.parent / "refused"))  # fmt: skip
    assert done.returncode != 0 and "batch norm sees only" in done.stderr


def test_variables_left_over_in_a_shell_start_no_second_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = "WORLD_SIZE=2 is ignored: RANK, LOCAL_RANK, .* are not set"
    with pytest.warns(UserWarning, match=said):
        assert processes.count() == 1
    assert processes.rank() == 0


def test_processes_that_do_not_come_are_not_waited_for(monkeypatch):
    left = dict(zip(processes.VARIABLES, ("0", "0", "2", "127.0.0.1", "0"), strict=True))
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processes, "MEET", timedelta(seconds=1))
    with pytest.raises(SDNError, match="cannot be reached .*unset RANK LOCAL_RANK WORLD_SIZE"):
        processes.join()


@pytest.mark.parametrize(
    "variable",
    [
        ("ACCELERATE_MIXED_PRECISION", "bf16"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "3"),
        ("ACCELERATE_DYNAMO_BACKEND", "eager"),
    ],
)
def test_the_environment_changes_no_setting(variable, alone, monkeypatch):
    monkeypatch.setenv(*variable)
    assert totals(learning.fit(Small(), settings())) == alone
