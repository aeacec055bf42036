from __future__ import annotations

import pytest
import torch

from sdn_lib import distillation, fast
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


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_large_and_channels_last_layers_agree_with_autograd(dtype, last):
    torch.manual_seed(0)
    size = (2, 3, 320, 320)  # several parts of distillation._parts
    got, want = (torch.randn(size).to(dtype) for _ in range(2))
    if last:
        got = got.contiguous(memory_format=torch.channels_last)
    got[0, 0, 0, :5] = want[0, 0, 0, :5]
    got.requires_grad_()
    loss = layer_losses({"a": got}, {"a": want}).total
    (gradient,) = torch.autograd.grad(loss, got)
    exact = (got.detach().double() - want.double()).abs().mean().item()
    assert loss.item() == pytest.approx(exact, rel=1e-5 if dtype == torch.float32 else 1e-3)
    sign = torch.sign(got.detach().float() - want.float())
    torch.testing.assert_close(gradient.float() * got.numel(), sign, rtol=0.01, atol=0)
    assert (gradient[0, 0, 0, :5] == 0).all()


def test_captions_share_the_teacher_s_view_of_their_image():
    torch.manual_seed(0)
    student, teacher = Student(11, 1 / 16, 32, 8, 16), Teacher(11, 1 / 16).freeze()
    text, image = torch.randn(6, 8), torch.rand(2, 3, 32, 32)
    every = image.repeat_interleave(3, 0)
    for stage in ("stage_one", "stage_two", "pixels"):
        losses = []
        for pictures in (image, every):
            if stage == "stage_one":
                got = distillation.stage_one(student, teacher, text, pictures)
            elif stage == "stage_two":
                got = distillation.stage_two(student, teacher, text, pictures)
            else:
                got = distillation.pixels(student, None, text, pictures)
            losses.append(got)
        for name in losses[0]:
            torch.testing.assert_close(losses[0][name], losses[1][name])
    with pytest.raises(SDNError, match="5 captions cannot share 2 images evenly"):
        distillation.stage_one(student, teacher, text[:5], image)


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
    two = distillation.perceptual(teacher, mirrored["image"], image)
    again = teacher(mirrored["image"])
    torch.testing.assert_close(two["pool3"], (again["pool3"] - real["pool3"]).abs().mean())
    torch.testing.assert_close(one["image"], two["image"])
    assert list(distillation.pixels(student, None, text, image)) == ["image"]
    torch.testing.assert_close(
        distillation.pixels(student, None, text, image).total, one["image"]
    )


def test_stage_one_reaches_fully_connected_layers_even_without_the_image_term():
    torch.manual_seed(0)
    student, teacher = Student(11, 1 / 16, 32, 8, 16), Teacher(11, 1 / 16).freeze()
    text, image = torch.randn(2, 8), torch.rand(2, 3, 32, 32)
    losses = distillation.stage_one(student, teacher, text, image, layers=["pool5"])
    losses.total.backward()
    assert student.fcs["fc7"].weight.grad.abs().sum() > 0
    assert student.convs["image"].weight.grad is None


@pytest.fixture
def networks():
    torch.manual_seed(0)
    student, teacher = Student(13, 1 / 16, 32, 8, 16), Teacher(13, 1 / 16).freeze()
    return student, teacher, torch.randn(2, 8), torch.rand(2, 3, 32, 32)


def both_ways(stage, student, teacher, text, image, **options):
    """Return a stage's losses as the library takes them, and from two complete passes."""
    if stage == "stage_one":
        found = distillation.stage_one(student, teacher, text, image, **options)
        return found, layer_losses(student(text), teacher(image), **options)
    found = distillation.stage_two(student, teacher, text, image, **options)
    return found, layer_losses(teacher(student(text)["image"]), teacher(image), **options)


@pytest.mark.parametrize("stage", ["stage_one", "stage_two"])
@pytest.mark.parametrize(
    "options",
    [{}, {"distance": "l2"}, {"layers": ["pool5", "conv1_2"], "weights": {"pool5": 3.0}}],
)
def test_losses_taken_along_the_way_are_those_of_complete_passes(networks, stage, options):
    student, *_ = networks
    along, complete = both_ways(stage, *networks, **options)
    assert list(along) == list(complete)
    gradients = []
    for losses in (along, complete):
        student.zero_grad()
        losses.total.backward()
        gradients.append([None if p.grad is None else p.grad.clone() for p in student.parameters()])
    for name in complete:
        torch.testing.assert_close(along[name], complete[name])
    for one, other in zip(*gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("stage", ["stage_one", "stage_two"])
def test_autograd_makes_one_layer_s_gradient_at_a_time(networks, stage, monkeypatch):
    """A loss's gradient is made when the pass reaches its layer, not long before."""
    student, teacher, text, image = networks
    order = []
    original = fast._MeanAbsolute.backward

    def backward(ctx, gradient):
        order.append("loss")
        return original(ctx, gradient)

    monkeypatch.setattr(fast._MeanAbsolute, "backward", staticmethod(backward))
    passing = student if stage == "stage_one" else teacher
    walk = passing.walk

    def watched(*inputs, **options):
        for name, x in walk(*inputs, **options):
            if x.requires_grad:
                x.register_hook(lambda _: order.append("layer"))
            yield name, x

    passing.walk = watched
    both_ways(stage, *networks)[0].total.backward()
    assert order.count("layer") == len(teacher.names)
    waiting, most = 0, 0
    for event in order:
        waiting = waiting + 1 if event == "loss" else 0
        most = max(most, waiting)
    assert order.count("loss") == len(teacher.names) and most <= 2


def test_stages_hold_no_target_that_was_compared(networks):
    """What the teacher saw on the real image is freed layer by layer."""
    import weakref

    student, teacher, text, image = networks
    walk, alive, most = teacher.walk, weakref.WeakSet(), []

    class Watched(Teacher):
        def walk(self, images, grad=True):
            for name, x in walk(images, grad):
                x = x.clone()
                alive.add(x)
                yield name, x
                del x

    def made(text):
        for name, x in Student.walk(student, text):
            yield name, x
            most.append(len(alive))

    teacher.__class__ = Watched
    student.walk = made
    distillation.stage_one(student, teacher, text, image)
    assert most[0] <= len(teacher.names) and most[-1] <= 2
    assert most == sorted(most, reverse=True)


def test_a_student_of_another_depth_is_refused(networks):
    _, teacher, text, image = networks
    deeper = Student(16, 1 / 16, 32, 8, 16)
    with pytest.raises(SDNError, match=r"'conv5_2' is missing.*'conv5_3' in its place"):
        distillation.stage_one(deeper, teacher, text, image)
