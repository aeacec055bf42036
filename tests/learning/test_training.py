from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from sdn_lib import learning
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError
from sdn_lib.learning.checkpoints import CheckpointError
from sdn_lib.profiles import TrainConfig


class Line(learning.Task):
    """Fits y = 2 x with a small network; records the batches that it was asked for."""

    size = 20

    def __init__(self, width=8):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, 1))
        self.seen = []

    def sample(self, step, seed, batch):
        rows = learning.batch_indices(self.size, batch, step, seed)
        self.seen.append(rows.tolist())
        x = torch.from_numpy(rows).float()[:, None] / self.size
        return {"x": x, "y": 2 * x}

    def forward(self, x, y):
        return LayerLosses(line=(self.net(x) - y).square().mean())


CONFIG = TrainConfig(steps=30, batch=4, precision="fp32", log_every=1, checkpoint_every=10, clip=0)


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.parameters()])


def without_time(log):
    return [{k: v for k, v in entry.items() if k != "seconds"} for entry in log]


def test_training_learns_and_logs(tmp_path):
    task = Line()
    config = TrainConfig(steps=300, batch=4, learning_rate=0.02, precision="fp32", seed=1)
    log = learning.fit(task, config, tmp_path)
    assert log[-1]["total"] < 0.05 * log[0]["total"]
    assert learning.log.read(tmp_path / "log.jsonl") == log
    assert log[-1]["step"] == 300 and log[-1]["losses"].keys() == {"line"}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stop", [3, 10, 17])
def test_interrupted_and_uninterrupted_runs_agree_bit_for_bit(tmp_path, stop, precision):
    config = TrainConfig(
        steps=30, batch=4, precision=precision, log_every=1, checkpoint_every=10, clip=1.0
    )
    whole = Line()
    log = learning.fit(whole, config, tmp_path / "whole")
    first, second = Line(), Line()
    learning.fit(first, config, tmp_path / "parts", stop_after=stop)
    resumed = learning.fit(second, config, tmp_path / "parts")
    assert torch.equal(weights(whole), weights(second))
    assert without_time(log) == without_time(resumed)
    assert whole.seen == first.seen + second.seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state(tmp_path, number):
    def interrupt(step, task):
        if step == 7:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt, match="step 7 of 30"):
        learning.fit(Line(), CONFIG, tmp_path, on_step=interrupt)
    assert len(learning.log.read(tmp_path / "log.jsonl")) == 7
    resumed, whole = Line(), Line()
    learning.fit(resumed, CONFIG, tmp_path)
    learning.fit(whole, CONFIG)
    assert torch.equal(weights(resumed), weights(whole))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_crash_leaves_the_last_periodic_state(tmp_path):
    def crash(step, task):
        if step == 14:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        learning.fit(Line(), CONFIG, tmp_path, on_step=crash)
    resumed = Line()
    log = learning.fit(resumed, CONFIG, tmp_path)
    assert [entry["step"] for entry in log] == list(range(1, 31))
    assert len(resumed.seen) == 20, "it went on from step 10"


def test_gradients_are_let_go_of_before_the_forward_pass():
    class Watched(Line):
        def forward(self, x, y):
            assert all(p.grad is None for p in self.parameters())
            return super().forward(x, y)

    task, whole = Watched(), Line()
    for p in task.parameters():
        p.grad = torch.ones_like(p)
    learning.fit(task, CONFIG)
    learning.fit(whole, CONFIG)
    assert torch.equal(weights(task), weights(whole))


def test_every_epoch_sees_every_sample_once_in_another_order():
    epochs = [
        np.concatenate([learning.batch_indices(12, 4, 3 * epoch + s, seed=5) for s in range(3)])
        for epoch in range(2)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0].tolist() != epochs[1].tolist()
    assert learning.batch_indices(12, 4, 0, 5).tolist() != learning.batch_indices(
        12, 4, 0, 6
    ).tolist()


def test_schedule():
    config = TrainConfig(steps=100, learning_rate=1.0)
    rates = [learning.learning_rate(config, step) for step in range(100)]
    assert max(rates) == rates[9] == 1.0 and rates[0] == pytest.approx(0.1) and rates[-1] < 0.01
    constant = TrainConfig(steps=100, learning_rate=0.3, schedule="constant")
    assert {learning.learning_rate(constant, step) for step in range(100)} == {0.3}


def test_tensorflow_epsilon_turns_torch_s_adam_into_tensorflow_s():
    gradient = torch.tensor([1e-9, 3e-8, 1.0], dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    adam = torch.optim.Adam([weight], lr=0.1)
    m = v = torch.zeros(3, dtype=torch.float64)
    want = torch.zeros(3, dtype=torch.float64)
    for step in range(1, 4):
        weight.grad = gradient.clone()
        adam.param_groups[0]["eps"] = learning.schedule.tensorflow_epsilon(1e-8, step, 0.999)
        adam.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        rate = 0.1 * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
        want = want - rate * m / (v.sqrt() + 1e-8)
    torch.testing.assert_close(weight.detach(), want, rtol=1e-12, atol=0)


def test_a_state_of_another_architecture_is_refused(tmp_path):
    learning.fit(Line(8), CONFIG, tmp_path, stop_after=2)
    with pytest.raises(CheckpointError, match=r"state.safetensors.*net.0.weight.*\(8, 1\)"):
        learning.fit(Line(9), CONFIG, tmp_path)


def test_a_loss_that_is_not_finite_stops_and_says_so(tmp_path):
    class Broken(Line):
        def forward(self, x, y):
            return LayerLosses(line=(self.net(x) * float("nan")).mean())

    with pytest.raises(SDNError, match="loss is nan at step 1"):
        learning.fit(Broken(), CONFIG, tmp_path)
    assert not (tmp_path / "state.safetensors").exists()


def test_bad_settings_are_named(tmp_path):
    with pytest.raises(SDNError, match="batch 21 is larger than the 20"):
        learning.fit(Line(), TrainConfig(steps=1, batch=21))
    with pytest.raises(SDNError, match="did you mean 'warmup_cosine'"):
        TrainConfig(steps=1, schedule="warmup")
    with pytest.raises(SDNError, match="unknown precision 'fp16'"):
        TrainConfig(steps=1, batch=4, precision="fp16")
    entry = json.dumps({"step": 1, "total": 2.0})
    for damage, said in (("{", "is no JSON"), ("null", "is no record"), ("{}", "is no record")):
        (tmp_path / "log.jsonl").write_text(f"{entry}\n{damage}\n")
        with pytest.raises(SDNError, match=f"log.jsonl, line 2, {said}"):
            learning.log.read(tmp_path / "log.jsonl")
