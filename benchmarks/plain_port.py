"""SDN as anyone would first write it in PyTorch: float32, contiguous tensors, no tricks.

It stands apart from `sdn_lib` on purpose, as the thing that the benchmarks compare with.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

BLOCKS = {
    13: (2, 2, 2, 2, 2),
    19: (2, 2, 4, 4, 4),
}
CHANNELS = (64, 128, 256, 512, 512)


class Teacher(nn.Module):
    """A VGG trunk with average pooling; returns the picture and every activation."""

    def __init__(self, depth: int = 19, width: float = 1.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        before = 3
        for count, channels in zip(BLOCKS[depth], CHANNELS, strict=True):
            channels = int(channels * width)
            block = nn.ModuleList()
            for _ in range(count):
                block.append(nn.Conv2d(before, channels, 3, padding=1))
                before = channels
            self.blocks.append(block)
        for parameter in self.parameters():
            parameter.requires_grad = False
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return every activation, the image (batch, 3, height, width) RGB 0..1 first."""
        activations = [image]
        x = (image - self.mean) / self.std
        for block in self.blocks:
            for conv in block.children():
                x = F.relu(conv(x))
                activations.append(x)
            x = F.avg_pool2d(x, 2)
            activations.append(x)
        return activations


class Student(nn.Module):
    """The trunk mirrored; returns the picture and every activation, in the teacher's order."""

    def __init__(
        self,
        depth: int = 19,
        width: float = 1.0,
        size: int = 224,
        text_dim: int = 1024,
        fc_width: int = 4096,
    ) -> None:
        super().__init__()
        channels = [int(c * width) for c in CHANNELS]
        self.side, self.top = size // 32, channels[-1]
        self.fc7 = nn.Linear(text_dim, fc_width)
        self.fc6 = nn.Linear(fc_width, fc_width)
        self.pool5 = nn.Linear(fc_width, self.top * self.side**2)
        self.blocks = nn.ModuleList()
        for level in reversed(range(5)):
            inner = [
                nn.Conv2d(channels[level], channels[level], 3, padding=1)
                for _ in range(BLOCKS[depth][level] - 1)
            ]
            after = channels[level - 1] if level else 3
            last = nn.Conv2d(channels[level], after, 3, padding=1)
            self.blocks.append(nn.ModuleList([*inner, last]))

    def forward(self, text: torch.Tensor) -> list[torch.Tensor]:
        """Return every activation of text (batch, text_dim), the picture first."""
        x = F.relu(self.fc6(F.relu(self.fc7(text))))
        x = F.relu(self.pool5(x))
        x = x.view(-1, self.side, self.side, self.top).permute(0, 3, 1, 2)
        activations = [x]
        for number, block in enumerate(self.blocks):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            activations.append(x)
            for conv in block[:-1]:
                x = F.relu(conv(x))
                activations.append(x)
            x = block[-1](x)
            if number < 4:
                x = F.relu(x)
            activations.append(x)
        return activations[::-1]


def stage_one(student: Student, teacher: Teacher, text: torch.Tensor, image: torch.Tensor):
    """Return the sum over layers: the student's own activations against the teacher's."""
    with torch.no_grad():
        real = teacher(image)
    made = student(text)
    return sum(F.l1_loss(a, b) for a, b in zip(made, real, strict=True))


def stage_two(student: Student, teacher: Teacher, text: torch.Tensor, image: torch.Tensor):
    """Return the sum over layers: the teacher on the picture made against it on the real one."""
    with torch.no_grad():
        real = teacher(image)
    made = teacher(student(text)[0])
    return sum(F.l1_loss(a, b) for a, b in zip(made, real, strict=True))


def train_step(optimiser, loss, *inputs) -> float:
    """One step of Adam; returns the loss."""
    total = loss(*inputs)
    optimiser.zero_grad()
    total.backward()
    optimiser.step()
    return total.item()
