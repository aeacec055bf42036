"""The teacher: a frozen VGG trunk that returns every named activation.

Departs from torchvision's VGG in one thing that the authors changed: average pooling.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sdn_lib import vgg
from sdn_lib.errors import SDNError, near

PREPROCESSING = ("imagenet", "matconvnet", "authors", "unit")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MATCONVNET_MEAN = (123.68, 116.779, 103.939)


class Teacher(nn.Module):
    """A VGG trunk; `teacher(images)` returns {layer name: activation}, from 'image' to 'pool5'.

    `preprocessing` is 'imagenet' (torchvision's mean and standard deviation), 'matconvnet' (0..255
    minus the mean colour), 'authors' (0..255 and B, G, R without mean, as the paper's code feeds
    it) or 'unit' (RGB 0..1 as it comes).
    With `norm`, each convolution is followed by batch normalisation for training; `fold` removes
    it again without changing the outputs. Source: Simonyan and Zisserman 2015; authors' VGG19.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        depth: int = 19,
        width: float = 1.0,
        pooling: str = "avg",
        preprocessing: str = "imagenet",
        norm: bool = False,
    ) -> None:
        super().__init__()
        if pooling not in ("avg", "max"):
            raise SDNError(f"unknown pooling {pooling!r}: {near(pooling, ('avg', 'max'))}")
        if preprocessing not in PREPROCESSING:
            raise SDNError(
                f"unknown preprocessing {preprocessing!r}: {near(preprocessing, PREPROCESSING)}"
            )
        self.depth, self.width = depth, width
        self.pooling, self.preprocessing = pooling, preprocessing
        self.table = vgg.layers(depth, width)
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        channels = 3
        for layer in self.table:
            if layer.kind == "conv":
                conv = nn.Conv2d(channels, layer.channels, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)
                self.convs[layer.name] = conv
                if norm:
                    self.norms[layer.name] = nn.BatchNorm2d(layer.channels)
                channels = layer.channels
        mean = _MATCONVNET_MEAN if preprocessing == "matconvnet" else _MEAN
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    @property
    def names(self) -> list[str]:
        """The names of its activations, in the order in which they are made."""
        return [layer.name for layer in self.table]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return every activation of `images`, (batch, 3, height, width) RGB float.

        'image' is the input itself; 'convX_Y' is after its ReLU. Raises SDNError for another shape.
        """
        return dict(self.walk(images))

    def walk(self, images: Tensor, grad: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield what `forward` returns, one (name, activation) after the other.

        Whoever lets go of each before taking the next holds two at most, where there is no graph;
        `grad=False` builds none.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 32 or images.shape[3] % 32:
            raise SDNError(
                "the teacher takes images (batch, 3, height, width) with sides that are multiples "
                f"of 32, got {tuple(images.shape)}"
            )
        yield "image", images
        # Gradients are switched off for each layer alone: a generator hands control back between.
        switch = torch.enable_grad if grad and torch.is_grad_enabled() else torch.no_grad
        with switch():
            x = self.preprocess(images)
        for layer in self.table[1:]:
            with switch():
                x = self._layer(layer, x)
            yield layer.name, x

    def _layer(self, layer: vgg.Layer, x: Tensor) -> Tensor:
        if layer.kind == "pool":
            return F.avg_pool2d(x, 2) if self.pooling == "avg" else F.max_pool2d(x, 2)
        x = self.convs[layer.name](x)
        if layer.name in self.norms:
            x = self.norms[layer.name](x)
        return F.relu(x, inplace=True)

    def preprocess(self, images: Tensor) -> Tensor:
        """Return images (batch, 3, height, width) RGB 0..1 as the trunk's weights expect them."""
        if self.preprocessing == "imagenet":
            return (images - self.mean) / self.std
        if self.preprocessing == "matconvnet":
            return images * 255 - self.mean
        if self.preprocessing == "authors":
            return images.flip(1) * 255
        return images

    def fold(self) -> Teacher:
        """Fold batch norm into the convolutions, in place: what remains is exactly VGG.

        Outputs stay those of evaluation mode, which the teacher is in afterwards.
        """
        self.eval()
        for name in list(self.norms):
            self.convs[name] = fuse_conv_bn_eval(self.convs[name], self.norms[name])
            del self.norms[name]
        return self

    def freeze(self) -> Teacher:
        """Stop training for good: evaluation mode, no gradient for any weight."""
        return self.eval().requires_grad_(False)
