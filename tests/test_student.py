from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from sdn_lib import fast, vgg
from sdn_lib.errors import SDNError
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher


def small(**options):
    return Student(**{"depth": 19, "width": 1 / 16, "size": 32, "fc_width": 32, **options})


@pytest.mark.parametrize("depth", [11, 16, 19])
@pytest.mark.parametrize("width", [1 / 16, 0.25])
@pytest.mark.parametrize("size", [32, 64])
def test_student_mirrors_the_teacher_in_names_and_shapes(depth, width, size):
    student = small(depth=depth, width=width, size=size)(torch.randn(2, 1024))
    teacher = Teacher(depth, width)(torch.rand(2, 3, size, size))
    assert list(student) == list(teacher)
    assert {k: v.shape for k, v in student.items()} == {k: v.shape for k, v in teacher.items()}


@pytest.mark.parametrize("output", ["unit", "authors"])
def test_a_walk_yields_what_a_pass_returns_from_the_top_down(output):
    torch.manual_seed(0)
    model, text = small(size=64, output=output), torch.randn(2, 1024)
    walked, passed = list(model.walk(text)), model(text)
    assert [name for name, _ in walked] == list(reversed(passed))
    for name, activation in walked:
        assert torch.equal(activation, passed[name])


def test_a_block_s_head_is_the_tensor_before_it_repeated():
    activations = small(size=64)(torch.randn(1, 1024))
    torch.testing.assert_close(activations["conv5_4"][:, :, ::2, 1::2], activations["pool5"])
    torch.testing.assert_close(activations["conv1_2"][:, :, 1::2, ::2], activations["pool1"])


def test_shapes_can_be_had_without_memory():
    with torch.device("meta"):
        activations = Student(19, 1.0)(torch.empty(2, 1024))
    assert activations["image"].shape == (2, 3, 224, 224)


def test_only_the_image_may_be_negative():
    torch.manual_seed(0)
    activations = small(output="authors")(torch.randn(4, 1024))
    assert activations["image"].min() < 0
    assert all(activations[name].min() >= 0 for name in vgg.names(19)[1:])


def test_authors_initialisation():
    torch.manual_seed(0)
    model = Student(19, 1 / 4, 64, 1024, 512, init="authors", output="authors")
    assert model.fcs["fc7"].weight.std().item() == pytest.approx(0.1, rel=0.02)
    assert model.convs["conv5_3"].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert all(m.bias.abs().sum() == 0 for m in model.convs.values())


def test_pool5_is_reshaped_channels_last():
    model = small(size=64)
    with torch.no_grad():
        model.fcs["pool5"].weight.zero_()
        model.fcs["pool5"].bias.copy_(torch.arange(2 * 2 * 32.0))
    pool5 = model(torch.zeros(1, 1024))["pool5"]
    assert pool5[0, 3, 0, 1].item() == 32 + 3
    assert pool5[0, 3, 1, 0].item() == 64 + 3


def test_folding_normalisation_changes_no_output():
    torch.manual_seed(0)
    model = small(norm=True).double()
    for norm in model.norms.values():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
        torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
        torch.nn.init.normal_(norm.bias)
    model.eval()
    text = torch.randn(3, 1024, dtype=torch.float64)
    before = model(text)
    after = model.fold()(text)
    assert not model.norms
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: small(init="xavier"), "init 'xavier'"),
        (lambda: small(output="rgb"), "output 'rgb'"),
        (lambda: small(size=48), "multiple of 32"),
        (lambda: small()(torch.randn(2, 1000)), r"\(batch, 1024\), got \(2, 1000\)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(SDNError, match=words):
        call()


def test_a_split_convolution_is_that_of_the_enlarged_map():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 5, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)
    split = fast.upsampled_conv(x, weight, bias)
    torch.testing.assert_close(split, plain, rtol=1e-12, atol=1e-12)
    up = torch.randn_like(plain)
    for ours, theirs in zip(
        torch.autograd.grad(split, (x, weight, bias), up),
        torch.autograd.grad(plain, (x, weight, bias), up),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_student_paints_the_same_with_split_convolutions(monkeypatch):
    torch.manual_seed(0)
    model, text = small(size=64).double(), torch.randn(2, 1024, dtype=torch.float64)
    plain = model(text)
    monkeypatch.setattr(fast, "WORTH_SPLITTING", 0)
    monkeypatch.setattr(fast, "upsampled_conv", counted := Counted(fast.upsampled_conv))
    split = model(text)
    assert counted.calls == 5, "once a block"
    for name in plain:
        torch.testing.assert_close(split[name], plain[name], rtol=1e-10, atol=1e-10)


class Counted:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)
