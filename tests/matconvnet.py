"""Writes a model in the nested form of MatConvNet's files."""

from __future__ import annotations

import numpy as np
from scipy.io import savemat


def matconvnet(path, kernels, old=False, keep=slice(None)):
    """Write kernels, {name: (HWIO, bias)}, as imagenet-vgg-verydeep-N.mat nests them."""
    layers = []
    for name, (weight, bias) in kernels.items():
        pair = np.empty((1, 2), dtype=object)
        pair[0, 0], pair[0, 1] = weight, bias[:, None]
        held = {"filters": weight, "biases": bias[None]} if old else {"weights": pair}
        layers += [
            {"name": name, "type": "conv", "pad": np.ones((1, 4)), **held},
            {"name": name.replace("conv", "relu"), "type": "relu"},
        ]
    layers.insert(4, {"name": "pool1", "type": "pool", "method": "max"})
    cell = np.empty((1, len(layers)), dtype=object)
    cell[0, :] = layers
    meta = {"normalization": {"averageImage": np.array([123.68, 116.779, 103.939])}}
    savemat(path, {"layers": cell[:, keep], "meta": meta})
    return path
