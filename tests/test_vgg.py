from __future__ import annotations

import pytest

from sdn_lib import vgg
from sdn_lib.errors import SDNError


@pytest.mark.parametrize(("depth", "count"), [(11, 14), (13, 16), (16, 19), (19, 22)])
def test_names_are_vgg_s(depth, count):
    names = vgg.names(depth)
    assert len(names) == count == len(set(names))
    assert names[0] == "image" and names[1] == "conv1_1" and names[-1] == "pool5"
    assert sum(n.startswith("conv") for n in names) == depth - 3


def test_shapes_of_the_paper():
    shapes = vgg.shapes(19, 1.0, 224)
    assert shapes["image"] == (3, 224, 224)
    assert shapes["conv3_4"] == (256, 56, 56)
    assert shapes["pool4"] == (512, 14, 14)
    assert shapes["pool5"] == (512, 7, 7)


def test_levels_cover_every_name_from_low_to_high():
    levels = list(vgg.level_of(19).values())
    assert levels == sorted(levels, key=vgg.LEVELS.index)
    assert set(levels) == set(vgg.LEVELS)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: vgg.layers(18), "VGG18"),
        (lambda: vgg.layers(19, 0.001), "width 0.001"),
        (lambda: vgg.shapes(19, 1.0, 100), "multiple of 32"),
        (lambda: vgg.shapes(19, 1.0, 0), "multiple of 32"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(SDNError, match=words):
        call()
