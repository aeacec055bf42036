"""Symmetrical distillation: two stages, one sum of mean absolute differences.

Stage one compares the student's own layers with the teacher's layers on the real image. Stage
two shows the generated image to the teacher and compares what the teacher sees.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from sdn_lib.errors import SDNError, near

DISTANCES = ("l1", "l2")


class LayerLosses(dict[str, Tensor]):
    """{layer name: scalar loss}, each already multiplied by its weight."""

    @property
    def total(self) -> Tensor:
        """The sum over layers: what is minimised."""
        return torch.stack(list(self.values())).sum()


def layer_losses(
    got: Mapping[str, Tensor],
    want: Mapping[str, Tensor],
    *,
    layers: Collection[str] | None = None,
    weights: Mapping[str, float] | None = None,
    distance: str = "l1",
) -> LayerLosses:
    """Return the mean absolute (or, for 'l2', squared) difference at each layer of `want`.

    Summed in float32 at least, whatever the activations' precision. `layers` keeps only those
    named; `weights` (default 1 each) multiply. Gradients flow into `got` alone. Raises SDNError
    that names the layer when one is missing, unknown, or of another shape.
    """
    if distance not in DISTANCES:
        raise SDNError(f"unknown distance {distance!r}: {near(distance, DISTANCES)}")
    for kind, chosen in (("layers", layers), ("weights", weights)):
        for name in chosen or ():
            if name not in want:
                raise SDNError(f"{kind} names {name!r}, which is no layer: {near(name, want)}")
    losses = LayerLosses()
    for name, target in want.items():
        if layers is not None and name not in layers:
            continue
        if name not in got:
            raise SDNError(f"layer {name!r} is missing: expected {list(want)}, got {list(got)}")
        if got[name].shape != target.shape:
            raise SDNError(
                f"layer {name!r} has shape {tuple(got[name].shape)}, "
                f"expected {tuple(target.shape)}"
            )
        if distance == "l1":
            loss = _MeanAbsolute.apply(got[name], target.detach())
        else:
            difference = got[name] - target.detach()
            loss = difference.to(_at_least_float32(difference)).square().mean()
        losses[name] = loss * (weights or {}).get(name, 1.0)
    if not losses:
        raise SDNError("no layer is left to compare: name at least one in `layers`")
    return losses


def stage_one(
    student: nn.Module, teacher: nn.Module, text: Tensor, image: Tensor, **options
) -> LayerLosses:
    """Return stage one's losses: the student's layers against the teacher's on the real image.

    `text` (batch, text_dim), `image` (batch, 3, size, size) RGB 0..1; `options` as for
    `layer_losses`. Source: the paper's first stage, authors' stage1.
    """
    with torch.no_grad():
        real = teacher(image)
    return layer_losses(student(text), real, **options)


def stage_two(teacher: nn.Module, generated: Tensor, image: Tensor, **options) -> LayerLosses:
    """Return stage two's losses: the teacher on the generated image against it on the real image.

    Both images (batch, 3, size, size) RGB; `generated` enters unclamped and carries the gradient.
    Source: the paper's second stage, authors' stage2.
    """
    with torch.no_grad():
        real = teacher(image)
    return layer_losses(teacher(generated), real, **options)


def pixels(student: nn.Module, text: Tensor, image: Tensor, **options) -> LayerLosses:
    """Return the baseline's loss: the image term of stage one alone, no teacher."""
    return layer_losses({"image": student(text)["image"]}, {"image": image}, **options)


class _MeanAbsolute(torch.autograd.Function):
    """The mean absolute difference, summed in float32 at least; the gradient is a scaled sign.

    Under bf16, autograd's own would copy both sides to float32, for two fifths of a step's time.
    """

    @staticmethod
    def forward(ctx, got: Tensor, want: Tensor) -> Tensor:
        difference = got - want
        ctx.save_for_backward(difference)
        total = difference.abs().sum(dtype=_at_least_float32(difference))
        return total / difference.numel()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        scale = (gradient / difference.numel()).to(difference.dtype)
        return difference.sign().mul_(scale), None


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
