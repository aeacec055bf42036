from __future__ import annotations

import pytest
import torch

from sdn_lib import vgg
from sdn_lib.errors import SDNError
from sdn_lib.teacher import Teacher


@pytest.mark.parametrize("depth", [11, 16, 19])
@pytest.mark.parametrize("width", [1 / 16, 0.25])
def test_shapes_come_from_the_table(depth, width):
    images = torch.rand(2, 3, 32, 32)
    activations = Teacher(depth, width)(images)
    assert {k: tuple(v.shape[1:]) for k, v in activations.items()} == vgg.shapes(depth, width, 32)
    assert list(activations) == list(vgg.names(depth))


def test_folding_batch_norm_changes_no_output():
    torch.manual_seed(0)
    model = Teacher(16, 1 / 8, norm=True)
    for norm in model.norms.values():
        torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
        torch.nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    model.double().eval()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    before = model(images)
    after = model.fold()(images)
    assert not model.norms
    assert {k.split(".")[0] for k in model.state_dict()} == {"convs"}
    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=1e-10, atol=1e-10)


def test_authors_preprocessing_is_bgr_255_without_mean():
    images = torch.rand(1, 3, 32, 32)
    kept = images.clone()
    fed = Teacher(11, 1 / 16, preprocessing="authors").preprocess(images)
    torch.testing.assert_close(fed[:, 0], images[:, 2] * 255)
    torch.testing.assert_close(images, kept)


def test_a_frozen_teacher_hands_gradients_through_and_keeps_none():
    model = Teacher(11, 1 / 16).freeze()
    images = torch.rand(1, 3, 32, 32, requires_grad=True)
    model(images)["pool5"].sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Teacher(pooling="mean"), "pooling 'mean'"),
        (lambda: Teacher(preprocessing="imagnet"), "did you mean 'imagenet'"),
        (lambda: Teacher(11, 1 / 16)(torch.rand(1, 3, 30, 32)), "multiples of 32"),
        (lambda: Teacher(11, 1 / 16)(torch.rand(3, 32, 32)), r"got \(3, 32, 32\)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(SDNError, match=words):
        call()


def test_a_walk_yields_what_a_pass_returns_and_leaves_gradients_as_they_were():
    torch.manual_seed(0)
    teacher, images = Teacher(11, 1 / 16), torch.rand(2, 3, 32, 32)
    whole = teacher(images)
    assert list(whole) == teacher.names
    for name, activation in teacher.walk(images, grad=False):
        assert torch.is_grad_enabled()
        assert not activation.requires_grad
        torch.testing.assert_close(activation, whole[name])
    with torch.no_grad():
        assert not any(x.requires_grad for _, x in teacher.walk(images))
    assert whole["pool5"].requires_grad
