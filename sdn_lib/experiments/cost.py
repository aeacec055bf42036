"""What a training costs, counted from its network and not measured: work, memory, hours, money."""

from __future__ import annotations

import torch
from torch import Tensor

from sdn_lib import distillation, vgg
from sdn_lib.profiles import Profile
from sdn_lib.runs.settings import STAGE
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher

CARD = "an NVIDIA A100"
RATES = {"bf16": 312e12 / 2, "fp32": 156e12 / 2}
"""Multiply-adds a second of that card on paper; in fp32 those of TF32, which PyTorch's convolutions
take by default."""

SHARE = 0.3
"""The share of its rate that a training of this kind is taken to reach."""

PRICE = 1.5
"""Dollars an hour, an assumption: what such a card costs to rent differs widely."""


def multiply_adds(
    stage: str, depth: int, width: float, size: int, fc_width: int, batch: int, together: int = 1
) -> float:
    """Return the multiply-adds of a training step as the method is written, without tricks.

    `stage` is a name of `distillation.STEP_COST`, whose passes beyond those of 'pixels' are the
    teacher's; the first, on the real picture, is shared by `together` captions. A backward pass
    counts as two forward ones; of the teacher, which learns nothing, it costs one. The text
    encoder's work is none: its embeddings are made once.
    """
    shapes = vgg.shapes(depth, width, size)
    student, teacher = _networks(depth, width, size, fc_width)
    convolutions = {
        who: sum(
            conv.get_parameter("weight").numel() * shapes[name][1] * shapes[name][2]
            for name, conv in network.convs.items()
        )
        for who, network in (("student", student), ("teacher", teacher))
    }
    dense = sum(fc.get_parameter("weight").numel() for fc in student.fcs.values())
    passes = distillation.STEP_COST[stage] - distillation.STEP_COST["pixels"]
    looks = passes - 1 + 1 / together if passes else 0.0
    return batch * (3 * (convolutions["student"] + dense) + looks * convolutions["teacher"])


def memory(stage: str, depth: int, width: float, size: int, fc_width: int, batch: int) -> float:
    """Return the bytes that a step in fp32 needs at least: weights, and what is kept for gradients.

    Float32 weights and Adam's two moments; the teacher's weights; and every tensor that autograd
    keeps, each once, when the backward pass begins (gradients come as these go). The work space of
    the convolutions comes on top.
    """
    student, teacher = _networks(depth, width, size, fc_width)
    weights = [p for network in (student, teacher) for p in network.parameters()]
    counted = {p.untyped_storage()._cdata for p in weights}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in counted:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.device("meta"):
        text, image = torch.empty(batch, 1024), torch.empty(batch, 3, size, size)
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            losses = distillation.STAGES[stage](student, teacher, text, image)
            held = losses.total  # as long as the graph lives, so do its tensors
    del held
    learned = sum(p.numel() for p in student.parameters())
    fixed = sum(p.numel() for p in teacher.parameters()) if stage != "pixels" else 0
    return sum(kept.values()) + 12 * learned + 4 * fixed


def hours(profile: Profile, name: str) -> float:
    """Return the hours of a student's training, at SHARE of the card's rate in its precision."""
    training, n = getattr(profile, name), profile.network
    step = multiply_adds(
        STAGE[name], n.depth, n.width, profile.data.size, n.fc_width, training.batch,
        training.captions_together,
    )  # fmt: skip
    return training.steps * step / (SHARE * RATES[training.precision]) / 3600


def _networks(depth: int, width: float, size: int, fc_width: int) -> tuple[Student, Teacher]:
    with torch.device("meta"):
        student = Student(depth, width, size, 1024, fc_width)
        teacher = Teacher(depth, width)
    teacher.requires_grad_(False)
    like = torch.channels_last
    return student.to(memory_format=like), teacher.to(memory_format=like)
