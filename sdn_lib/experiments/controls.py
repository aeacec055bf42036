"""The teachers and students of rows: the method's own, and the controls it is held against."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from torch import Tensor, nn

from sdn_lib import runs
from sdn_lib.errors import SDNError
from sdn_lib.experiments.rows import CONTROLS, Row
from sdn_lib.profiles import Profile
from sdn_lib.teacher import Teacher


def teacher_of(row: Row, profile: Profile, seed: int) -> Teacher:
    """Return the row's teacher, frozen: the profile's, one trained anew, or one of the controls.

    The controls' layers are scaled until pictures differ there as much as in the trained teacher:
    a loss that is larger or smaller would be another difference than the one in question.
    """
    n, data = profile.network, runs.dataset(profile)
    draw = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    teacher = Teacher(n.depth, n.width, row.pooling, n.preprocessing)
    own = pooled(profile, row.pooling) if row.teacher == "retrained" else profile
    trained = runs.get("teacher", own).model
    if row.teacher != "random":
        teacher.load_state_dict(trained.state_dict())
    if row.teacher == "shuffled":
        with torch.no_grad():
            for conv in teacher.convs.values():
                weight, _ = conv.parameters()
                order = torch.randperm(weight.numel(), generator=draw)
                weight.copy_(weight.flatten()[order].view_as(weight))
    if row.teacher in CONTROLS:
        _scale(teacher, trained, runs.images(data, data.indices("train")[:128]))
    return teacher.freeze().to(memory_format=torch.channels_last)


def pooled(profile: Profile, pooling: str) -> Profile:
    """Return the profile whose teacher learns with `pooling`, with a folder of its own for it."""
    network = dataclasses.replace(profile.network, pooling=pooling, teacher_weights=None)
    folder = profile.runs / "pooling" / pooling
    return dataclasses.replace(profile, network=network, output_dir=str(folder))


@torch.no_grad()
def _scale(teacher: Teacher, like: Teacher, pictures: Tensor) -> None:
    """Scale each convolution until pictures differ after it as much as they do in `like`."""
    wanted = {name: _contrast(x) for name, x in like(pictures).items()}
    for name, conv in teacher.convs.items():
        factor = wanted[name] / _contrast(teacher(pictures)[name])
        if not factor.isfinite():
            raise SDNError(f"{name} of the control is the same for all pictures: another seed")
        for parameter in conv.parameters():
            parameter.mul_(factor)


def _contrast(x: Tensor) -> Tensor:
    """Return the mean absolute difference of an activation between one picture and the next."""
    return (x - x.roll(1, 0)).abs().mean()


def student_of(row: Row, profile: Profile, seed: int) -> nn.Module:
    """Return the row's untrained student."""
    torch.manual_seed(seed)
    mirrored = runs.build("stage_two", profile, profile.network.student_norm)
    if row.mirrored:
        return mirrored
    count = sum(p.numel() for p in runs.build("stage_two", profile).parameters())
    n = profile.network
    plain = PlainStudent(n.text_dim, n.fc_width, profile.data.size, count)
    return plain.to(memory_format=torch.channels_last)


class PlainStudent(nn.Module):
    """A painter without the mirror: channels halve wherever the picture's side doubles.

    It begins with `cells` x `cells`: 2 x 2, or where `size` is no power of two the odd number that
    doubles to it. `student(text)` returns {'image'} alone. `channels`, those of the beginning, are
    chosen so that it has about `weights` weights. Source: the generator of DCGAN (Radford et al.
    2016), with nearest upsampling.
    """

    def __init__(self, text_dim: int, fc_width: int, size: int, weights: int) -> None:
        super().__init__()
        self.cells, doublings = size, 0
        while self.cells > 2 and self.cells % 2 == 0:
            self.cells, doublings = self.cells // 2, doublings + 1
        area = self.cells**2

        def widths(channels: int) -> list[int]:
            return [max(8, channels >> k) for k in range(doublings + 1)]

        def excess(channels: int) -> int:
            dense = fc_width * (text_dim + area * channels)
            pairs = itertools.pairwise([*widths(channels), 3])
            return abs(dense + 9 * sum(a * b for a, b in pairs) - weights)

        self.channels = min(range(8, 2048), key=excess)
        start = area * self.channels
        self.dense = nn.Sequential(
            *_block(nn.Linear(text_dim, fc_width), nn.BatchNorm1d(fc_width)),
            *_block(nn.Linear(fc_width, start), nn.BatchNorm1d(start)),
        )
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(widths(self.channels)):
            conv = nn.Conv2d(a, b, 3, padding=1)
            layers += [nn.Upsample(scale_factor=2), *_block(conv, nn.BatchNorm2d(b))]
        self.body = nn.Sequential(*layers, nn.Conv2d(widths(self.channels)[-1], 3, 3, padding=1))
        with torch.no_grad():
            weight, bias = self.body[-1].parameters()
            weight.mul_(0.1)
            bias.fill_(0.5)

    def forward(self, text: Tensor) -> dict[str, Tensor]:
        """Return {'image': (batch, 3, size, size)} of text (batch, text_dim)."""
        x = self.dense(text.float()).view(len(text), self.channels, self.cells, self.cells)
        return {"image": self.body(x)}


def _block(layer: nn.Module, norm: nn.Module) -> tuple[nn.Module, ...]:
    weight, bias = layer.parameters()
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
    nn.init.zeros_(bias)
    return layer, norm, nn.ReLU(inplace=True)
