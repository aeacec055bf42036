"""Every figure of the library, drawn from mock data."""

import numpy as np
import torch

from sdn_lib import show, vgg

NAMES = vgg.names(19)


def smooth_images(count, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def activations(depth=19, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = vgg.shapes(depth, 0.25, size)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def per_layer(seed):
    values = np.random.default_rng(seed).random(len(NAMES))
    return dict(zip(NAMES, values.tolist(), strict=True))


def log(count, seed=0):
    noise = np.random.default_rng(seed).random(count)
    return [{"step": 10 * i, "total": 5 / (1 + i) + float(noise[i])} for i in range(count)]


def drawings():
    images, maps = smooth_images(8), activations()
    table = {"before": per_layer(0), "after": per_layer(1)}
    runs = {"pixel-only": {"crown": 0.4, "tail": 0.3}, "stage two": {"crown": 0.9, "tail": 0.8}}
    return {
        "activation_maps": lambda: show.activation_maps(maps, ["image", "conv3_1", "pool5"]),
        "symmetry_diagram": lambda: show.symmetry_diagram(vgg.shapes(19, 0.25, 64), fc_width=512),
        "symmetry_diagram 11": lambda: show.symmetry_diagram(
            vgg.shapes(11, 1, 224), pictures=(images[0], images[1])
        ),
        "loss_curves": lambda: show.loss_curves({"stage one": log(30)}, {"stage one": log(90)}),
        "layer_bars": lambda: show.layer_bars(table),
        "layer_bars with errors": lambda: show.layer_bars(table, errors={"after": per_layer(2)}),
        "attribute_bars": lambda: show.attribute_bars(runs, {"crown": 1.0, "tail": 0.9}, 0.1),
        "row_scores": lambda: show.row_scores(
            {"accuracy": {"full": [0.4, 0.5], "low": [0.3]}, "far": {"full": [9, 8], "low": [20]}},
            marks={"accuracy": 0.95},
            groups={"all": ["full"], "levels": ["low"]},
        ),
        "cost_bars": lambda: show.cost_bars(
            {"s": {"one": {"plain": 9.0, "fast": 3.0}}, "GB": {"one": {"plain": 5.0, "fast": 3.0}}},
            floors={"s": {"one": 2.5}},
        ),
        "heatmap": lambda: show.heatmap(torch.rand(3, 4), list("abcd"), list("xyz"), "share"),
        "thumbnails_scatter": lambda: show.thumbnails_scatter(
            np.random.default_rng(0).random((8, 2)), images
        ),
    }
