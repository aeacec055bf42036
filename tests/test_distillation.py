from __future__ import annotations

import pytest
import torch

from sdn_lib import distillation
from sdn_lib.distillation import layer_losses
from sdn_lib.errors import SDNError
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher


@pytest.fixture
def pair():
    torch.manual_seed(0)
    got = {"image": torch.rand(2, 3, 4, 4), "pool1": torch.rand(2, 5, 2, 2)}
    want = {"image": torch.rand(2, 3, 4, 4), "pool1": torch.rand(2, 5, 2, 2)}
    return got, want


def test_values_by_hand(pair):
    got, want = pair
    losses = layer_losses(got, want)
    assert losses["pool1"].item() == pytest.approx(
        (got["pool1"] - want["pool1"]).abs().sum().item() / 40
    )
    assert losses.total.item() == pytest.approx(sum(v.item() for v in losses.values()))
    squared = layer_losses(got, want, distance="l2")
    assert squared["image"].item() == pytest.approx(
        (got["image"] - want["image"]).pow(2).mean().item()
    )


def test_zero_for_equal_activations_and_only_then(pair):
    got, want = pair
    assert layer_losses(want, want).total.item() == 0
    assert all(v > 0 for v in layer_losses(got, want).values())


def test_layers_and_weights(pair):
    got, want = pair
    plain = layer_losses(got, want)
    assert list(layer_losses(got, want, layers=["pool1"])) == ["pool1"]
    doubled = layer_losses(got, want, weights={"image": 2.0})
    torch.testing.assert_close(doubled["image"], 2 * plain["image"])
    torch.testing.assert_close(doubled["pool1"], plain["pool1"])


def test_bf16_is_reduced_in_float32(pair):
    got, want = ({k: v.bfloat16() for k, v in side.items()} for side in pair)
    assert layer_losses(got, want).total.dtype == torch.float32


def test_gradients_by_finite_differences():
    torch.manual_seed(0)
    want = {"a": torch.rand(2, 3, dtype=torch.float64)}
    got = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    for distance in ("l1", "l2"):
        assert torch.autograd.gradcheck(
            lambda x, d=distance: layer_losses({"a": x}, want, distance=d).total, (got,)
        )


def test_no_gradient_reaches_the_target(pair):
    got, want = pair
    want["image"].requires_grad_()
    got["image"].requires_grad_()
    layer_losses(got, want).total.backward()
    assert want["image"].grad is None and got["image"].grad is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda got: got.pop("pool1"), "'pool1' is missing"),
        (lambda got: got.update(image=torch.rand(2, 3, 8, 8)), r"'image'.*8, 8.*expected.*4, 4"),
    ],
)
def test_a_layer_that_does_not_fit_is_named(pair, change, words):
    got, want = pair
    change(got)
    with pytest.raises(SDNError, match=words):
        layer_losses(got, want)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": ["pool_1"]}, "did you mean 'pool1'"),
        ({"weights": {"conv": 1.0}}, "'conv', which is no layer"),
        ({"distance": "l3"}, "distance 'l3'"),
        ({"layers": []}, "no layer is left"),
    ],
)
def test_bad_options_are_named(pair, options, words):
    with pytest.raises(SDNError, match=words):
        layer_losses(*pair, **options)


def test_stages_compare_what_they_say():
    torch.manual_seed(0)
    student, teacher = Student(11, 1 / 16, 32, 8, 16), Teacher(11, 1 / 16).freeze()
    text, image = torch.randn(2, 8), torch.rand(2, 3, 32, 32)
    mirrored, real = student(text), teacher(image)
    one = distillation.stage_one(student, teacher, text, image)
    torch.testing.assert_close(one["pool3"], (mirrored["pool3"] - real["pool3"]).abs().mean())
    two = distillation.stage_two(teacher, mirrored["image"], image)
    again = teacher(mirrored["image"])
    torch.testing.assert_close(two["pool3"], (again["pool3"] - real["pool3"]).abs().mean())
    torch.testing.assert_close(one["image"], two["image"])
    assert list(distillation.pixels(student, text, image)) == ["image"]
    torch.testing.assert_close(
        distillation.pixels(student, text, image).total, one["image"]
    )


def test_stage_one_reaches_fully_connected_layers_even_without_the_image_term():
    torch.manual_seed(0)
    student, teacher = Student(11, 1 / 16, 32, 8, 16), Teacher(11, 1 / 16).freeze()
    text, image = torch.randn(2, 8), torch.rand(2, 3, 32, 32)
    losses = distillation.stage_one(student, teacher, text, image, layers=["pool5"])
    losses.total.backward()
    assert student.fcs["fc7"].weight.grad.abs().sum() > 0
    assert student.convs["image"].weight.grad is None
