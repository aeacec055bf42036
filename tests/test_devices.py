"""Training, painting and judging on the CPU and on an accelerator, real or the second device."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time

import conftest
import numpy as np
import pytest
import second_device
import torch
from torch import nn

from sdn_lib import devices, experiments, judging, learning, profiles, runs
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError
from sdn_lib.experiments import free_pictures, photographs
from sdn_lib.student import Student
from sdn_lib.text import CharCNNRNN


def smoke(home, kind):
    """Return a small smoke profile in float32, its trainings in a folder of the device's own."""
    changes = {f"{name}__precision": "fp32" for name in runs.NAMES}
    changes |= {"data__captions": 2, "evaluation__seeds": [0], "evaluation__images": 16}
    return profiles.load("smoke", output_dir=str(home / f"runs-{kind}"), **changes)


@pytest.fixture(scope="module")
def q(home, device):
    return smoke(home, device.type)


@pytest.fixture(scope="module")
def trained(q):
    return {name: runs.get(name, q) for name in runs.NAMES}


@pytest.fixture(scope="module")
def on_cpu(home):
    """The profile whose networks are trained on the CPU, for comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(devices.VARIABLE, "cpu")
        for name in runs.NAMES:
            runs.get(name, smoke(home, "cpu"))
    return smoke(home, "cpu")


def test_heavy_work_runs_on_the_device(device, monkeypatch):
    assert devices.best().type == device.type
    if device.type != "cpu":
        monkeypatch.delenv(devices.VARIABLE)
        assert devices.best().type == device.type, "by itself"


def test_every_network_trains_there_and_comes_back(trained, device, q):
    for name, run in trained.items():
        assert run.how == "trained"
        assert devices.of(run.model).type == "cpu"
        config = json.loads((run.folder / "config.json").read_text())
        assert config["device"].split()[0] == device.type
        assert runs.get(name, q).how == "loaded"


@pytest.mark.parametrize("name", runs.NAMES)
def test_a_live_training_has_the_losses_of_the_cpu_and_leaves_no_network_behind(
    on_cpu, device, name
):
    recorded = {entry["step"]: entry["total"] for entry in runs.get(name, on_cpu).log}
    live = runs.train_live(name, on_cpu)
    assert devices.of(live.model).type == "cpu" and live.log[-1]["step"] == on_cpu.live_steps
    within = 2e-3 if device.type in ("cpu", "second") else 3e-2  # a GPU rounds products
    for entry in live.log:
        assert entry["total"] == pytest.approx(recorded[entry["step"]], rel=within)


def test_tensors_that_a_user_makes_by_default_elsewhere_change_nothing(device, on_cpu, monkeypatch):
    """`torch.set_default_device` and the like are common first lines of a notebook."""
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    plain = {name: runs.train_live(name, on_cpu).log for name in ("text", "stage_one")}
    torch.set_default_dtype(torch.float64)
    torch.set_default_device(device)
    try:
        with torch.no_grad():
            there = {name: runs.train_live(name, on_cpu).log for name in plain}
        report = experiments.evaluate(on_cpu, ["stage_one"])
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    for name, log in plain.items():
        assert [entry["losses"] for entry in there[name]] == [entry["losses"] for entry in log]
    again = experiments.evaluate(on_cpu, ["stage_one"])
    assert report["runs"]["stage_one"] == again["runs"]["stage_one"]


def test_the_time_lapse_is_painted_while_the_student_trains(trained, q):
    frames, captions, _ = runs.read_time_lapse(trained["stage_two"].folder)
    assert {0, q.stage_two.steps} <= set(frames)
    pictures = runs.paint(trained["stage_two"].model, trained["text"].model, captions)
    last = pictures.permute(0, 2, 3, 1).numpy() * 255
    assert np.abs(last - frames[q.stage_two.steps]).max() <= 4


@pytest.mark.parametrize("native", [False, True])
def test_avx512_without_bf16_of_its_own_takes_fp32(native, monkeypatch):
    monkeypatch.setattr(devices.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert devices.has_bf16.__wrapped__(torch.device("cpu")) == native


@pytest.mark.parametrize("name", ["text", "stage_two"])
def test_a_device_with_bf16_trains_in_it(trained, q, name, monkeypatch):
    monkeypatch.setattr(devices, "has_bf16", lambda device: True)
    config = dataclasses.replace(
        runs.train_config(name, q), steps=2, batch=8, precision="bf16", log_every=1
    )
    task, _ = runs.make_task(name, q, whole=False)
    kind, ran = devices.best().type, set()
    task.register_forward_pre_hook(
        lambda *_: ran.add(torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind))
    )
    log = learning.fit(task, config)
    assert ran == {torch.bfloat16}
    assert log[0]["total"] == pytest.approx(trained[name].log[0]["total"], rel=0.2)


class Fit(learning.Task):
    """Fits a line, a frozen network beside it."""

    size = 16

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(1, 1)
        self.frozen = (nn.Linear(1, 1).requires_grad_(False),)

    def sample(self, step, seed, batch):
        rows = learning.batch_indices(self.size, batch, step, seed)
        return {"x": torch.from_numpy(rows).float()[:, None] / self.size}

    def forward(self, x):
        return LayerLosses(line=(self.net(x) - self.frozen[0](x)).square().mean())


SETTINGS = profiles.TrainConfig(
    12, batch=4, learning_rate=0.1, precision="fp32", log_every=1, checkpoint_every=4
)


def test_an_interrupted_training_goes_on(device, tmp_path):
    whole, first, second = Fit(), Fit(), Fit()
    log = learning.fit(whole, SETTINGS)
    learning.fit(first, SETTINGS, tmp_path, stop_after=7)
    resumed = learning.fit(second, SETTINGS, tmp_path)
    assert [e["total"] for e in resumed] == pytest.approx([e["total"] for e in log], rel=1e-5)
    for task in (whole, second):
        assert devices.of(task).type == devices.of(task.frozen[0]).type == "cpu"


def test_a_state_of_one_device_resumes_on_another(device, tmp_path, monkeypatch):
    learning.fit(Fit(), SETTINGS, tmp_path, stop_after=5)
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    log = learning.fit(Fit(), SETTINGS, tmp_path)
    alone = learning.fit(Fit(), SETTINGS)
    assert [e["total"] for e in log] == pytest.approx([e["total"] for e in alone], rel=1e-4)


def test_a_failure_puts_the_networks_back(device):
    class Broken(Fit):
        def sample(self, step, seed, batch):
            if step == 6:
                raise SDNError("picture 6 is damaged")
            return super().sample(step, seed, batch)

    task = Broken()
    with pytest.raises(SDNError, match="picture 6 is damaged"):
        learning.fit(task, SETTINGS)
    assert devices.of(task).type == devices.of(task.frozen[0]).type == "cpu"


def test_a_network_stays_where_its_caller_put_it(device):
    torch.manual_seed(0)
    student = Student(11, 1 / 16, 32, 16, 16).eval().requires_grad_(False)
    text = torch.randn(5, 16)
    at_home = runs.paint_embeddings(student, text)
    assert devices.of(student).type == at_home.device.type == "cpu"
    student.to(device)
    there = runs.paint_embeddings(student, text)
    assert devices.of(student).type == device.type and there.device.type == "cpu"
    torch.testing.assert_close(there, at_home, rtol=1e-3, atol=1e-3)
    seen = judging.pooled_activations(student, text)
    assert all(isinstance(x, np.ndarray) for x in seen.values())


def test_captions_are_embedded_and_calibrated(device):
    torch.manual_seed(0)
    encoder = CharCNNRNN("icml", 16)
    lines = [f"a bird with {n} wings and a {c} crown" for n in "abcdef" for c in ("red", "blue")]
    before = encoder.encode(lines)
    assert before.device.type == devices.of(encoder).type == "cpu"
    encoder.to(device)
    torch.testing.assert_close(encoder.encode(lines), before, rtol=1e-3, atol=1e-4)
    encoder.calibrate(lines)
    assert devices.of(encoder).type == device.type
    after = encoder.encode(lines)
    assert after.mean(0).abs().max() < 1e-3
    assert float(after.var(0).mean()) == pytest.approx(1, abs=0.02)


def test_pictures_are_judged_and_evaluated(trained, q, monkeypatch):
    report = experiments.evaluate(q)
    assert report["protocol"]["device"].split()[0] == devices.best().type
    features, guess = judging.predict(trained["evaluator"].model, torch.rand(3, 3, 32, 32))
    assert features.shape[0] == 3 and all(isinstance(x, np.ndarray) for x in guess.values())
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    there, here = (r["runs"]["stage_two"] for r in (report, experiments.evaluate(q)))
    assert there["accuracy"]["mean"] == pytest.approx(here["accuracy"]["mean"], abs=0.02)
    assert there["frechet"]["mean"] == pytest.approx(here["frechet"]["mean"], rel=0.05)


def test_captions_are_painted_and_scored(trained, q, tmp_path, monkeypatch):
    folder = photographs.generate(q, "stage_two", tmp_path / "painted")
    there = photographs.score(q, folder)["scores"]
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    own = photographs.generate(q, "stage_two", tmp_path / "painted_here")
    here = photographs.score(q, own)["scores"]
    assert there["ssim"] == pytest.approx(here["ssim"], abs=0.01)


def test_pixels_are_moved_as_on_the_cpu(trained, q, device, monkeypatch):
    monkeypatch.setattr(free_pictures, "STEPS", 4)
    there, pictures = free_pictures.of_kinds(q)
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    here, _ = free_pictures.of_kinds(q)
    assert (there["protocol"]["device"], here["protocol"]["device"]) == (device.type, "cpu")
    assert all(x.device.type == "cpu" and x.isfinite().all() for x in pictures.values())
    assert there["loss"] == pytest.approx(here["loss"], rel=2e-2)
    assert there["loss"]["free"] < there["loss"]["student"]


def test_a_row_of_the_ablation_trains(trained, q, tmp_path):
    facts = experiments.train_row("brief", 0, q, tmp_path)
    assert np.isfinite(facts["frechet"])
    assert experiments.stored_row("brief", 0, q, tmp_path)["steps"] == facts["steps"]


def test_too_little_memory_is_said_in_one_line(device):
    class Greedy(Fit):
        def forward(self, x):
            raise self.error

    task = Greedy()
    for task.error in (torch.OutOfMemoryError("tried to allocate 2.00 TiB"), MemoryError()):
        words = "too little memory for training in batches of 4: lower"
        with pytest.raises(SDNError, match=words) as caught:
            learning.fit(task, SETTINGS)
        assert ("another device" in str(caught.value)) is (device.type != "cpu")


def test_a_device_that_is_not_here_is_named(monkeypatch):
    monkeypatch.setenv(devices.VARIABLE, "xpu")
    with pytest.raises(SDNError, match="SDN_DEVICE=xpu is not on this machine: set it to one of c"):
        devices.best()
    monkeypatch.setenv(devices.VARIABLE, "gpu0")
    with pytest.raises(SDNError, match="SDN_DEVICE=gpu0 names no device"):
        devices.best()


def test_batches_are_read_ahead_in_order_and_all_of_them(device):
    class Watched(Fit):
        def __init__(self):
            super().__init__()
            self.asked = []

        def sample(self, step, seed, batch):
            self.asked.append(step)
            return super().sample(step, seed, batch)

    task = Watched()
    for steps in (range(0), range(3, 4), range(5, 12)):
        task.asked.clear()
        batches = list(learning.loop._batches(task, SETTINGS, steps, devices.best()))
        assert sorted(task.asked) == list(steps) and len(batches) == len(steps)
        for step, batch in zip(steps, batches, strict=True):
            assert batch["x"].device.type == device.type
            torch.testing.assert_close(batch["x"].cpu(), Fit().sample(step, 0, 4)["x"])
    if device.type != "cpu":
        task.asked.clear()
        batches = learning.loop._batches(task, SETTINGS, range(5, 12), devices.best())
        next(batches)
        until = time.monotonic() + 5
        while len(task.asked) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        assert set(task.asked) >= {5, 6, 7}
        batches.close()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["accelerator"], indirect=True)
def test_chapters_five_and_six_run_on_the_accelerator(device, tmp_path):
    environment = {**os.environ, devices.VARIABLE: device.type}
    if device.type == "second":
        environment |= second_device.plug_in(tmp_path / "plug", conftest.second_library())
    code = (
        "from sdn_lib import devices\nfrom sdn_lib.book.execute import reproduce\n"
        f"assert devices.best().type == {device.type!r}\n"
        "reproduce('smoke', ['5', '6'], fresh=True, output_dir='runs', root='.')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=copy_of_the_project(tmp_path / "project"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def copy_of_the_project(folder):
    """Return a folder with the chapters, whose runs are its own."""
    folder.mkdir()
    (folder / "book").symlink_to(profiles.BESIDE / "book")
    return folder


@pytest.mark.parametrize("change", ["dtype", "device"])
def test_a_user_s_defaults_change_no_training(on_cpu, change, monkeypatch):
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    wanted = [entry["total"] for entry in runs.train_live("teacher", on_cpu).log]
    task = Fit()
    try:
        if change == "dtype":
            torch.set_default_dtype(torch.float64)
        else:
            torch.set_default_device("meta")
        live = runs.train_live("teacher", on_cpu)
        loaded = runs.get("teacher", on_cpu).model
        with torch.no_grad():
            log = learning.fit(task, SETTINGS)
        kept = torch.get_default_dtype(), torch.get_default_device().type
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert [entry["total"] for entry in live.log] == wanted
    assert {p.dtype for p in (*live.model.parameters(), *loaded.parameters())} == {torch.float32}
    assert devices.of(live.model).type == devices.of(loaded).type == "cpu"
    assert len(log) == SETTINGS.steps
    assert kept == ((torch.float64, "cpu") if change == "dtype" else (torch.float32, "meta"))
