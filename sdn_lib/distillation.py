"""Symmetrical distillation: two stages, one sum of mean absolute differences.

Stage one compares the student's own layers with the teacher's layers on the real image. Stage
two shows the generated image to the teacher and compares what the teacher sees. All are called as
`stage(student, teacher, text, image)`; `STAGES` has them by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from sdn_lib import fast
from sdn_lib.errors import SDNError, near
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher

DISTANCES = ("l1", "l2")


class LayerLosses(dict[str, Tensor]):
    """{layer name: scalar loss}, each already multiplied by its weight."""

    @property
    def total(self) -> Tensor:
        """The sum over layers: what is minimised."""
        return torch.stack(list(self.values())).sum()


def layer_losses(
    got: Mapping[str, Tensor], want: Mapping[str, Tensor], **options
) -> LayerLosses:
    """Return the difference at each layer of `want`, by name; `options` as for `compare`.

    Raises SDNError that names a layer which `got` has not.
    """
    chosen = options.get("layers")
    for name in want:
        if name not in got and (chosen is None or name in chosen):
            raise SDNError(f"layer {name!r} is missing: expected {list(want)}, got {list(got)}")
    pairs = ((name, got[name], target) for name, target in want.items() if name in got)
    return compare(pairs, **options)


def compare(
    pairs: Iterable[tuple[str, Tensor, Tensor]],
    *,
    layers: Collection[str] | None = None,
    weights: Mapping[str, float] | None = None,
    distance: str = "l1",
) -> LayerLosses:
    """Return the mean absolute (or, for 'l2', squared) difference of each (name, got, want).

    A loss is taken before the next layer is asked for. Autograd goes the same way backwards, and
    so holds one layer's gradient at a time. Summed in float32 at least, whatever the precision.
    `layers` keeps only those named; `weights` (default 1 each) multiply. Gradients flow into `got`
    alone. Raises SDNError that names a layer that is unknown or whose shapes differ.
    """
    if distance not in DISTANCES:
        raise SDNError(f"unknown distance {distance!r}: {near(distance, DISTANCES)}")
    losses, names = LayerLosses(), []
    for name, got, want in pairs:
        names.append(name)
        if layers is not None and name not in layers:
            continue
        if got.shape != want.shape:
            raise SDNError(
                f"layer {name!r} has shape {tuple(got.shape)}, expected {tuple(want.shape)}"
            )
        if distance == "l1":
            loss = fast.mean_absolute(got, want)
        else:
            difference = got - want.detach()
            loss = difference.to(fast.at_least_float32(difference)).square().mean()
        losses[name] = loss * (weights or {}).get(name, 1.0)
    for kind, chosen in (("layers", layers), ("weights", weights)):
        for name in chosen or ():
            if name not in names:
                raise SDNError(f"{kind} names {name!r}, which is no layer: {near(name, names)}")
    if not losses:
        raise SDNError("no layer is left to compare: name at least one in `layers`")
    return losses


def stage_one(
    student: Student, teacher: Teacher, text: Tensor, image: Tensor, **options
) -> LayerLosses:
    """Return stage one's losses: the student's layers against the teacher's on the real image.

    `text` (batch, text_dim), `image` (batch, 3, size, size) RGB 0..1; with k captions of each image
    in a row, `text` is (k batch, text_dim), and the teacher looks at each image once. `options` as
    for `compare`. Source: the paper's first stage, authors' stage1.
    """
    real = dict(teacher.walk(image, grad=False))
    # The student meets the layers from the top; each target is let go of once it was compared.
    wanted = ((name, real.pop(name)) for name in reversed(teacher.names))
    losses = compare(_paired(student.walk(text), _repeated(wanted, text, image)), **options)
    return LayerLosses({name: losses[name] for name in teacher.names if name in losses})


def stage_two(
    student: nn.Module, teacher: Teacher, text: Tensor, image: Tensor, **options
) -> LayerLosses:
    """Return stage two's losses: the teacher on the painted image against it on the real image.

    Shapes and `options` as for `stage_one`. Source: the paper's second stage, authors' stage2.
    """
    return perceptual(teacher, student(text)["image"], image, **options)


def perceptual(teacher: Teacher, generated: Tensor, image: Tensor, **options) -> LayerLosses:
    """Return the differences of the teacher's layers on two images, (batch, 3, size, size) RGB.

    `generated` enters unclamped and carries the gradient. It may hold k images in a row for each
    real one, which the teacher then looks at once. `options` as for `compare`. Source: the
    perceptual loss of Johnson et al. 2016, at every layer.
    """
    real = _repeated(teacher.walk(image, grad=False), generated, image)
    return compare(_paired(teacher.walk(generated), real), **options)


def pixels(
    student: nn.Module, teacher: Teacher | None, text: Tensor, image: Tensor, **options
) -> LayerLosses:
    """Return the baseline's loss: the image term of stage one alone. No teacher is asked."""
    real = dict(_repeated([("image", image)], text, image))
    return layer_losses({"image": student(text)["image"]}, real, **options)


def both(
    student: nn.Module, teacher: Teacher, text: Tensor, image: Tensor, **options
) -> LayerLosses:
    """Return the losses of both stages for one pass of the student; stage two's end in '_seen'.

    Not in the paper, whose stages follow each other. Shapes and `options` as for `stage_one`.
    """
    made, real = student(text), teacher.walk(image, grad=False)
    wanted = dict(_repeated(real, text, image))
    losses = layer_losses(made, wanted, **options)
    again = layer_losses(teacher(made["image"]), wanted, **options)
    return LayerLosses({**losses, **{f"{name}_seen": loss for name, loss in again.items()}})


STAGES: dict[str, Callable[..., LayerLosses]] = {
    "pixels": pixels,
    "stage_one": stage_one,
    "stage_two": stage_two,
    "both": both,
}
"""What a student may learn from, by name."""

STEP_COST = {"pixels": 3, "stage_one": 4, "stage_two": 6, "both": 6}
"""What a training step costs, in forward passes of a VGG trunk.

A forward and backward pass counts 3, 2 where no gradients of weights are needed: the student 3,
the teacher on the real picture 1, on the painted one 1 + 1.
"""


def stage(name: str, **options) -> Callable[..., LayerLosses]:
    """Return a stage of `STAGES` with its `options` filled in; SDNError lists the near matches."""
    if name not in STAGES:
        raise SDNError(f"unknown stage {name!r}: {near(name, STAGES)}")
    return partial(STAGES[name], **options)


def _paired(
    got: Iterable[tuple[str, Tensor]], want: Iterable[tuple[str, Tensor]]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Walk through two networks layer by layer; SDNError where their names part."""
    for (name, made), (wanted, target) in zip(got, want, strict=True):
        if name != wanted:
            raise SDNError(f"layer {wanted!r} is missing: the student has {name!r} in its place")
        yield name, made, target


def _repeated(
    real: Iterable[tuple[str, Tensor]], captions: Tensor, images: Tensor
) -> Iterable[tuple[str, Tensor]]:
    """Repeat the activations of images for the captions that share them, where they do."""
    if len(captions) == len(images):
        return real
    if not len(images) or len(captions) % len(images):
        raise SDNError(f"{len(captions)} captions cannot share {len(images)} images evenly")
    return ((name, x.repeat_interleave(len(captions) // len(images), 0)) for name, x in real)
