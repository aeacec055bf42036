"""The symmetric student: a text embedding in, the teacher's activations mirrored, and an image.

Read the teacher's table backwards. Three fully connected layers make pool5 from the text. Then the
last convolution of each block becomes a nearest 2x upsample without parameters, each other pool a
convolution that sets the next width, and a last convolution paints the image. Every tensor then has
the teacher's shape at the same name.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from sdn_lib import fast, vgg
from sdn_lib.errors import SDNError, near

INITS = ("he", "authors")


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
        with fast.without_autocast(text.device.type):
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
        x = conv(x) if small is None else fast.conv_of_enlarged(conv, small, x)
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
