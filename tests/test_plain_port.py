"""The library computes what the plain port of the benchmarks does, and bf16 stays near it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from sdn_lib import distillation
from sdn_lib.student import Student
from sdn_lib.teacher import Teacher

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def module(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def port():
    return module("plain_port")


@pytest.fixture(scope="module")
def pair(port):
    """Teachers and students of both, with equal weights, and one batch."""
    module("record")
    copy_weights = module("bench_curves").copy_weights
    torch.manual_seed(0)
    teacher, student = Teacher(19, 1 / 8).freeze(), Student(19, 1 / 8, 64, 16, 64)
    plain = port.Teacher(19, 1 / 8), port.Student(19, 1 / 8, 64, 16, 64)
    copy_weights(teacher, plain[0])
    copy_weights(student, plain[1])
    return (teacher, student), plain, torch.randn(4, 16), torch.rand(4, 3, 64, 64)


def ours(pair, stage):
    (teacher, student), _, text, image = pair
    return distillation.STAGES[stage](student, teacher, text, image).total


def gradient_of(loss, student):
    parts = torch.autograd.grad(loss, [*student.fcs.parameters(), *student.convs.parameters()])
    return torch.cat([part.flatten() for part in parts])


def plain_gradient_of(loss, student):
    fcs = [p for name in ("fc7", "fc6", "pool5") for p in getattr(student, name).parameters()]
    parts = torch.autograd.grad(loss, [*fcs, *student.blocks.parameters()])
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("stage", ["stage_one", "stage_two"])
def test_float32_agrees_and_bf16_is_near(port, pair, stage):
    (_, student), (simple, mirrored), text, image = pair
    plain = getattr(port, stage)(mirrored, simple, text, image)
    slope = plain_gradient_of(plain, mirrored)
    exact = ours(pair, stage)
    assert exact.item() == pytest.approx(plain.item(), rel=1e-5)
    found = gradient_of(exact, student)
    assert torch.linalg.vector_norm(found - slope) < 1e-3 * torch.linalg.vector_norm(slope)
    with torch.autocast("cpu", torch.bfloat16):
        rough = ours(pair, stage)
    assert rough.item() == pytest.approx(plain.item(), rel=0.01)
    found = gradient_of(rough, student)
    assert torch.cosine_similarity(found, slope, dim=0) > 0.97
