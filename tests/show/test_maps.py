"""Activations that do not fit their grid, and shapes that are no network, are refused by name."""

import drawings
import pytest
import torch

from sdn_lib import show
from sdn_lib.errors import SDNError


def test_wrong_activations_are_named():
    with pytest.raises(SDNError, match="conv9_9"):
        show.activation_maps(drawings.activations(), ["conv9_9"])
    with pytest.raises(SDNError, match="'conv1_1'.*one sample"):
        show.activation_maps({"conv1_1": torch.rand(2, 3, 4, 4)})


def test_shapes_that_are_no_network_are_named():
    with pytest.raises(SDNError, match="run from 'image'"):
        show.symmetry_diagram({"conv1_1": (16, 8, 8)})
