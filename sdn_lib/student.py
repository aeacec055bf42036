"""The symmetric student: a text embedding in, the teacher's activations mirrored, and an image.

Read the teacher's table backwards. The last convolution of a block becomes a nearest 2x
upsample without parameters; a pool becomes a convolution that sets the next width; the last
one paints the image. Every tensor then has the teacher's shape at the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from sdn_lib import vgg
from sdn_lib.errors import SDNError, near

INITS = ("he", "authors")
WORTH_SPLITTING = 2e9
"""Multiply-adds of a convolution from which `upsampled_conv` was faster on a CPU."""


def _without_autocast(device: str) -> AbstractContextManager:
    known = torch.amp.is_autocast_available(device)  # not on 'meta'
    return torch.autocast(device, enabled=False) if known else nullcontext()


def upsampled_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return conv2d(nearest 2x upsample of x, weight, bias, padding=1), at 4/9 of its cost.

    x (n, c, h, w), weight (o, c, 3, 3) -> (n, o, 2h, 2w). An output in an even row sees its three
    rows of the enlarged map as two of x: one through the kernel's first row, one through the sum of
    the other two. Odd rows and columns likewise: four kernels of 2x2.
    """
    top, middle, bottom = weight.unbind(2)
    even = torch.stack([top, middle + bottom], 2)
    odd = torch.stack([top + middle, bottom], 2)
    kernels = []
    for rows in (even, odd):
        left, centre, right = rows.unbind(3)
        kernels.append(torch.stack([left, centre + right], 3))
        kernels.append(torch.stack([left + centre, right], 3))
    kernel = torch.cat(kernels).contiguous(memory_format=torch.channels_last)
    return _Interleave.apply(F.conv2d(x, kernel, bias.repeat(4), padding=1))


class _Interleave(torch.autograd.Function):
    """Maps (n, 4 o, h + 1, w + 1) of the four kernels -> (n, o, 2h, 2w), channels last."""

    @staticmethod
    def _phases(y: Tensor) -> list[tuple[int, int, Tensor]]:
        parts = y.unflatten(1, (2, 2, -1))
        height, width = y.shape[2] - 1, y.shape[3] - 1
        return [
            (a, b, parts[:, a, b, :, a : a + height, b : b + width])
            for a in range(2)
            for b in range(2)
        ]

    @staticmethod
    def forward(ctx, y: Tensor) -> Tensor:
        n, channels, height, width = y.shape
        shape = n, channels // 4, 2 * height - 2, 2 * width - 2
        whole = torch.empty(shape, dtype=y.dtype, device=y.device)
        whole = whole.contiguous(memory_format=torch.channels_last)
        for a, b, part in _Interleave._phases(y):
            whole[:, :, a::2, b::2] = part
        ctx.shape = y.shape
        return whole

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        y = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device)
        y = y.contiguous(memory_format=torch.channels_last)
        y[:, :, [0, -1]] = 0
        y[:, :, :, [0, -1]] = 0
        for a, b, part in _Interleave._phases(y):
            part.copy_(gradient[:, :, a::2, b::2])
        return y


class Student(nn.Module):
    """The mirrored VGG; `student(text)` returns {layer name: activation} in the teacher's order.

    `text` is (batch, text_dim); 'image' is (batch, 3, size, size) RGB, about 0..1 and not clamped.
    `init` is 'he', or 'authors' (normal, 0.02 for convolutions and 0.1 for fully connected).
    `output` is 'unit', or 'authors': the last convolution speaks B, G, R in 0..255 as theirs does
    and is translated to RGB 0..1. With `norm`, batch norm for training, which `fold` removes.
    Source: the authors' generator; no noise, no activation on the image.
    """

    def __init__(
        self,
        depth: int = 19,
        width: float = 1.0,
        size: int = 224,
        text_dim: int = 1024,
        fc_width: int = 4096,
        init: str = "he",
        output: str = "unit",
        norm: bool = False,
    ) -> None:
        super().__init__()
        if init not in INITS:
            raise SDNError(f"unknown init {init!r}: {near(init, INITS)}")
        if output not in ("unit", "authors"):
            raise SDNError(f"unknown output {output!r}: {near(output, ('unit', 'authors'))}")
        self.table, self.shapes = vgg.layers(depth, width), vgg.shapes(depth, width, size)
        self.text_dim, self.output = text_dim, output
        channels, height, breadth = self.shapes["pool5"]
        widths = {"fc7": (text_dim, fc_width), "fc6": (fc_width, fc_width)}
        widths["pool5"] = (fc_width, channels * height * breadth)
        self.fcs = nn.ModuleDict({name: nn.Linear(*io) for name, io in widths.items()})
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        for layer in reversed(self.table[:-1]):
            if not self.is_upsample(layer.name):
                self.convs[layer.name] = nn.Conv2d(channels, layer.channels, 3, padding=1)
                channels = layer.channels
        if norm:
            for name, fc in self.fcs.items():
                self.norms[name] = nn.BatchNorm1d(fc.out_features)
            for name, conv in self.convs.items():
                if name != "image":
                    self.norms[name] = nn.BatchNorm2d(conv.out_channels)
        self._initialise(init)

    def is_upsample(self, name: str) -> bool:
        """Say whether `name` heads a block: there the student upsamples and has no weights."""
        return name.startswith("conv") and self._next(name).startswith("pool")

    def _next(self, name: str) -> str:
        order = [layer.name for layer in self.table]
        return order[order.index(name) + 1]

    def forward(self, text: Tensor) -> dict[str, Tensor]:
        """Return every mirrored activation, 'image' first; SDNError for another text shape."""
        activations = dict(self.walk(text))
        return {layer.name: activations[layer.name] for layer in self.table}

    def walk(self, text: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield what `forward` returns as it is made, one (name, activation), from 'pool5' on."""
        if text.ndim != 2 or text.shape[1] != self.text_dim:
            raise SDNError(
                f"the student takes text (batch, {self.text_dim}), got {tuple(text.shape)}"
            )
        # In bf16 these matrices would be copied, at more cost than the few products save.
        with _without_autocast(text.device.type):
            x = text.to(self.fcs["fc7"].weight.dtype)
            for name, fc in self.fcs.items():
                x = self._activate(name, fc(x))
        channels, height, breadth = self.shapes["pool5"]
        x = x.view(-1, height, breadth, channels).permute(0, 3, 1, 2)
        yield "pool5", x
        small = None
        for layer in reversed(self.table[:-1]):
            if layer.name not in self.convs:
                small, x = x, F.interpolate(x, scale_factor=2, mode="nearest")
            else:
                x, small = self._convolve(layer.name, x, small), None
            yield layer.name, x

    def _convolve(self, name: str, x: Tensor, small: Tensor | None) -> Tensor:
        """Make a layer of x; `small` is the map that x enlarges, where it does."""
        conv = self.convs[name]
        if small is not None and x.numel() * conv.weight[:, 0].numel() > WORTH_SPLITTING:
            x = upsampled_conv(small, conv.weight, conv.bias)
        else:
            x = conv(x)
        if name != "image":
            return self._activate(name, x)
        return x if self.output == "unit" else x.flip(1) / 255

    def _activate(self, name: str, x: Tensor) -> Tensor:
        return F.relu(self.norms[name](x) if name in self.norms else x, inplace=True)

    def fold(self) -> Student:
        """Fold batch norm into the weights, in place; outputs stay those of evaluation mode."""
        self.eval()
        for name in list(self.norms):
            if name in self.fcs:
                self.fcs[name] = fuse_linear_bn_eval(self.fcs[name], self.norms[name])
            else:
                self.convs[name] = fuse_conv_bn_eval(self.convs[name], self.norms[name])
            del self.norms[name]
        return self

    def _initialise(self, init: str) -> None:
        for module in [*self.fcs.values(), *self.convs.values()]:
            nn.init.zeros_(module.bias)
            if init == "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            else:
                sd = 0.1 if isinstance(module, nn.Linear) else 0.02
                nn.init.normal_(module.weight, std=sd)
        if init == "he" and self.output == "unit":
            # Start from a mid-grey picture: a ReLU network without it spends steps on brightness.
            with torch.no_grad():
                self.convs["image"].weight.mul_(0.1)
                self.convs["image"].bias.fill_(0.5)
