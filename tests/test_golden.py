"""Teacher, student, both stages, gradients and Adam against numbers from the authors' graph.

Width 1, 224 px, float64: the losses must agree to 1e-12. A dozen plausible mistakes (max pooling,
a mean subtracted, B and R swapped, bilinear upsampling, ...) each break it. The numbers and how
they were recorded: tests/reference.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matconvnet import matconvnet
from reference import regenerate_inputs as inputs
from torch.utils.checkpoint import checkpoint

from sdn_lib import distillation, learning, profiles, runs, vgg
from sdn_lib.data import prepared
from sdn_lib.learning.schedule import tensorflow_epsilon
from sdn_lib.runs import weights
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher

REFERENCE = Path(__file__).resolve().parent / "reference"
IMAGE_WEIGHT = {"image": 255.0}  # the authors' image term is in 0..255


@pytest.fixture(scope="module")
def golden():
    return json.loads((REFERENCE / "golden.json").read_text())


@pytest.fixture(scope="module")
def teacher():
    model = Teacher(19, 1.0, pooling="avg", preprocessing="authors").double().freeze()
    for name, (weight, bias) in inputs.teacher_weights().items():
        load(model.convs[name], weight, bias)
    return model


@pytest.fixture(scope="module")
def batch():
    # The recorded picture is B, G, R in 0..255; ours is RGB in 0..1.
    image = torch.from_numpy(inputs.image()).double().permute(0, 3, 1, 2).flip(1) / 255
    return torch.from_numpy(inputs.text()).double(), image


def load(module, weight, bias):
    weight, bias = torch.from_numpy(weight), torch.from_numpy(bias)
    with torch.no_grad():
        module.weight.copy_(weight.permute(3, 2, 0, 1) if weight.ndim == 4 else weight.T)
        module.bias.copy_(bias)


def modules(student):
    """{name in golden.json: module}."""
    named = {f"g_{name}": m for name, m in [*student.fcs.items(), *student.convs.items()]}
    named["g_img"] = named.pop("g_image")
    return named


@pytest.fixture
def student():
    with torch.device("meta"):
        model = Student(19, 1.0, 224, 1024, 4096, output="authors")
    model = model.to_empty(device="cpu").double()
    for index, (name, shape) in enumerate(inputs.STUDENT):
        load(modules(model)[name], *inputs.layer(2000 + index, shape))
    return model


def like_tensorflow(tensor):
    """NHWC for activations."""
    if tensor.ndim == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.detach()


def check_samples(got, want, golden, tolerance, what):
    places = np.unravel_index(golden["sample_indices"][str(got.numel())], got.shape)
    picked = got.numpy()[places]
    error = np.abs(picked - np.array(want)).max() / max(np.abs(want).max(), 1e-300)
    assert error <= tolerance, f"{what}: samples differ by {error:.2e}"


def check_activation(got, want, golden, what):
    x, tolerance = like_tensorflow(got), 1e-10
    facts = {
        "mean": x.mean(), "std": x.std(correction=0), "abs_mean": x.abs().mean(),
        "min": x.min(), "max": x.max(), "zero_fraction": (x == 0).double().mean(),
    }  # fmt: skip
    scale = max(abs(want["max"]), abs(want["min"]))
    for key, value in facts.items():
        assert abs(value.item() - want[key]) <= tolerance * scale, f"{what}: {key} differs"
    check_samples(x, want["samples"], golden, tolerance, what)


def golden_name(name):
    return {"image": "g_img"}.get(name, f"g_{name}")


def image_in_bgr(activations):
    return {**activations, "image": activations["image"].flip(1) * 255}


def test_inputs_are_those_that_were_recorded(golden):
    inputs.main()
    for size, places in golden["sample_indices"].items():
        assert places == inputs.sample_indices(int(size))


def test_parameter_counts(golden, teacher):
    with torch.device("meta"):
        model = Student(19, 1.0, 224)
    assert sum(p.numel() for p in model.parameters()) == golden["parameters"]["student"]
    assert sum(p.numel() for p in teacher.parameters()) == golden["parameters"]["teacher"]


@torch.no_grad()
def test_every_activation(golden, teacher, student, batch):
    text, image = batch
    want = golden["float64"]
    real = image_in_bgr(teacher(image))
    mirrored = student(text)
    again = image_in_bgr(teacher(mirrored["image"]))
    mirrored = image_in_bgr(mirrored)
    for name in vgg.names(19):
        recorded = "input" if name == "image" else name
        check_activation(real[name], want["teacher"][recorded], golden, f"teacher {name}")
        check_activation(
            again[name], want["teacher_on_generated"][recorded], golden, f"on generated {name}"
        )
        recorded = "g_pool5_reshape" if name == "pool5" else golden_name(name)
        check_activation(mirrored[name], want["student"][recorded], golden, f"student {name}")
    x = text
    for name in ("fc7", "fc6"):
        x = torch.relu(student.fcs[name](x))
        check_activation(x, want["student"][f"g_{name}"], golden, name)


def losses_of(stage, student, teacher, text, image):
    if stage == "stage1":
        return distillation.stage_one(student, teacher, text, image, weights=IMAGE_WEIGHT)
    generated = checkpoint(lambda t: student(t)["image"], text, use_reentrant=False)
    return distillation.perceptual(teacher, generated, image, weights=IMAGE_WEIGHT)


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_losses_gradients_and_three_adam_steps(request, stage, golden, teacher, student, batch):
    text, image = batch
    want = golden["float64"][stage]
    recorded = want["adam"]["total_before_each_step_and_after_last"]
    adam = TensorFlowAdam(student, want["adam"]["lr"])
    request.addfinalizer(adam.remove_hooks)
    check = lambda name, gradient: check_gradient(name, gradient, want, golden)  # noqa: E731
    totals = []
    for step in range(1, 4):
        losses = losses_of(stage, student, teacher, text, image)
        totals.append(losses.total.item())
        if step == 1:
            terms = [loss.item() for loss in losses.values()]
            np.testing.assert_allclose(terms, want["terms"], rtol=1e-12)
            np.testing.assert_allclose(totals[0], want["total"], rtol=1e-12)
        seen = adam.backward_and_step(losses.total, check if step == 1 else None)
        assert seen == set(golden_variables(golden))
    with torch.no_grad():
        totals.append(losses_of(stage, student, teacher, text, image).total.item())
    np.testing.assert_allclose(totals, recorded, rtol=1e-9)
    parameters = variables(student)
    for name, samples in want["adam"]["weight_samples_after"].items():
        weight = like_recorded(parameters[name].detach())
        check_samples(weight, samples, golden, 1e-9, f"{stage} {name} after Adam")


@pytest.mark.parametrize("stage", ["stage_one", "stage_two"])
def test_the_authors_profile_trains_as_the_authors_code_does(stage, golden, tmp_path, monkeypatch):
    """Profile, converted .mat, task and training loop together, in their float32."""
    profile = profiles.load(
        "authors",
        network__teacher_weights=str(tmp_path / "vgg19.safetensors"),
        **{f"{stage}__steps": 2, f"{stage}__log_every": 1},
    )
    mat = matconvnet(tmp_path / "imagenet-vgg-verydeep-19.mat", inputs.teacher_weights())
    weights.convert(mat, tmp_path / "vgg19.safetensors")
    monkeypatch.setattr(torch.nn.init, "normal_", lambda *_, **__: None)
    student = runs.build(stage, profile, profile.network.student_norm)
    for index, (name, shape) in enumerate(inputs.STUDENT):
        load(modules(student)[name], *inputs.layer(2000 + index, shape))
    data = prepared.Prepared(
        *(tmp_path, np.zeros((1, 224, 224, 3), np.uint8), [["a bird"] * 10]),
        *(np.zeros(1, np.int64), ["one"], ["train"]),
    )
    settings = runs.train_config(stage, profile)
    teacher = runs.get("teacher", profile).model
    loss = distillation.stage(stage, weights={"image": settings.image_weight})
    task = learning.DistillationTask(data, student, teacher, None, loss, pairs=True)
    image = torch.from_numpy(inputs.image()).permute(0, 3, 1, 2).flip(1) / 255
    batch = {"images": image, "text": torch.from_numpy(inputs.text())}
    monkeypatch.setattr(task, "sample", lambda *_: batch)
    log = learning.fit(task, settings)
    want = golden["float32"][stage.replace("_one", "1").replace("_two", "2")]
    got = list(log[0]["losses"].values())
    np.testing.assert_allclose(got, want["terms"], rtol=5e-6)  # the log keeps six digits
    before, after = want["adam"]["total_before_each_step_and_after_last"][:2]
    assert log[0]["total"] == pytest.approx(before, rel=1e-6)
    assert log[1]["total"] == pytest.approx(after, rel=1e-5)


def golden_variables(golden):
    return [name for name, _ in golden["student_variables"]]


def variables(student):
    """{name in golden.json: parameter}."""
    named = {}
    for name, module in modules(student).items():
        named |= {f"{name}_W": module.weight, f"{name}_b": module.bias}
    return named


def like_recorded(tensor):
    """A view as HWIO of an OIHW weight, IO of an OI one; a bias stays."""
    return tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor.t()


class TensorFlowAdam:
    """PyTorch's Adam on each parameter as soon as its gradient is there, in TensorFlow's form.

    Stepping inside the backward pass keeps one gradient of 144 million in memory at a time.
    """

    def __init__(self, student, rate):
        self.step, self.rate = 0, rate
        self.betas = float(np.float32(0.9)), float(np.float32(0.999))
        # TensorFlow keeps the running powers of beta in float32, even in a float64 graph.
        self.power1, self.power2 = np.float32(1), np.float32(1)
        self.check, self.seen, self.hooks = None, set(), []
        for name, parameter in variables(student).items():
            adam = torch.optim.Adam([parameter], lr=rate, betas=self.betas, fused=True)
            hook = lambda p, name=name, adam=adam: self.update(name, p, adam)  # noqa: E731
            self.hooks.append(parameter.register_post_accumulate_grad_hook(hook))

    def remove_hooks(self):
        """Until then the hooks keep weights and moments in memory, out of the collector's reach."""
        for hook in self.hooks:
            hook.remove()

    def backward_and_step(self, total, check):
        self.step, self.check, self.seen = self.step + 1, check, set()
        self.power1, self.power2 = self.power1 * np.float32(0.9), self.power2 * np.float32(0.999)
        total.backward()
        return self.seen

    def update(self, name, parameter, adam):
        if self.check:
            self.check(name, like_recorded(parameter.grad))
        beta1, beta2 = self.betas
        rounding = np.sqrt((1 - float(self.power2)) / (1 - beta2**self.step))
        rounding *= (1 - beta1**self.step) / (1 - float(self.power1))
        adam.param_groups[0]["lr"] = self.rate * rounding
        adam.param_groups[0]["eps"] = tensorflow_epsilon(1e-8, self.step, beta2)
        adam.step()
        parameter.grad = None
        self.seen.add(name)


def check_gradient(name, gradient, want, golden):
    norm, got = want["gradient_l2_every_variable"][name], gradient.norm().item()
    assert abs(got - norm) <= 1e-10 * norm, f"gradient of {name}: {got} against {norm}"
    facts = want["gradients"].get(name)
    if facts:
        largest = max(gradient.max().item(), -gradient.min().item())
        assert abs(largest - facts["abs_max"]) <= 1e-10 * facts["abs_max"]
        check_samples(gradient, facts["samples"], golden, 1e-10, f"gradient of {name}")
