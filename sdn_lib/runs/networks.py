"""The untrained network of each run."""

from __future__ import annotations

import torch
from torch import nn

from sdn_lib import devices
from sdn_lib.data import painted_birds
from sdn_lib.errors import SDNError, near
from sdn_lib.judging.evaluator import Evaluator
from sdn_lib.profiles import Profile
from sdn_lib.runs.data import EVALUATORS
from sdn_lib.runs.settings import NEEDS
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher
from sdn_lib.text import CharCNNRNN


@devices.own_defaults()
def build(name: str, profile: Profile, norm: bool = False) -> nn.Module:
    """Return the untrained network of a run; `norm` adds batch norm to a teacher or a student."""
    if name not in NEEDS:
        raise SDNError(f"unknown run {name!r}: {near(name, NEEDS)}")
    if name in EVALUATORS:
        return build_evaluator(name)
    if name == "teacher":
        return build_teacher(profile, norm)
    text = name in ("text", "judge_text")
    return build_encoder(profile) if text else build_student(profile, norm)


def build_evaluator(name: str) -> Evaluator:
    """Return an untrained evaluator of the painted birds' attributes."""
    return Evaluator(painted_birds.ATTRIBUTES, EVALUATORS[name])


def build_teacher(profile: Profile, norm: bool = False) -> Teacher:
    """Return the profile's untrained teacher, channels last."""
    n = profile.network
    teacher = Teacher(n.depth, n.width, n.pooling, n.preprocessing, norm)
    return teacher.to(memory_format=torch.channels_last)


def build_encoder(profile: Profile) -> CharCNNRNN:
    """Return the profile's untrained text encoder."""
    return CharCNNRNN(profile.network.text_variant, profile.network.text_dim)


def build_student(profile: Profile, norm: bool = False) -> Student:
    """Return the profile's untrained student, channels last."""
    n = profile.network
    student = Student(
        n.depth,
        n.width,
        profile.data.size,
        n.text_dim,
        n.fc_width,
        init=n.student_init,
        output=n.student_output,
        norm=norm,
    )
    return student.to(memory_format=torch.channels_last)
