"""Whatever holds pictures or activations becomes what can be drawn, or is refused by name."""

import drawings
import numpy as np
import pytest
import torch

from sdn_lib.errors import SDNError
from sdn_lib.show import arrays


def test_as_images_agrees_over_its_two_forms_and_leaves_its_input_alone():
    tensor = drawings.smooth_images(2) * 1.5 - 0.2
    kept = tensor.clone()
    array = arrays.as_images(tensor)
    assert array.shape == (2, 64, 64, 3)
    assert torch.equal(tensor, kept)
    assert arrays.as_images(array) is array
    assert np.array_equal(array, arrays.as_images(tensor.numpy()))
    assert arrays.as_images(tensor.bfloat16()).dtype == np.uint8


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.rand(2, 8, 8, 3), np.zeros((2, 3, 8, 8), np.uint8),
               np.zeros((2, 3, 8, 8), int), torch.full((1, 3, 8, 8), float("nan"))]
)
def test_as_images_names_what_it_cannot_show(images):
    with pytest.raises(SDNError, match="the birds"):
        arrays.as_images(images, "the birds")


def test_strongest_is_ordered_and_stable():
    maps = np.zeros((4, 2, 2), np.float32)
    maps[2], maps[3] = 1, 5
    assert arrays.strongest(maps, 4).tolist() == [3, 2, 0, 1]


def test_mosaic_keeps_order_scale_and_gaps():
    maps = np.stack([np.zeros((4, 4)), np.ones((4, 4)), np.full((4, 4), 0.5)]).astype(np.float32)
    picture = arrays.mosaic(maps, scale=np.ones(3))
    assert picture.shape == (33, 33, 4)
    assert picture[16, 0, 3] == 0 and picture[20, 20, 3] == 0
    purple, yellow = [68, 1, 84], [253, 231, 37]
    assert picture[0, 0, :3].tolist() == purple and picture[0, 20, :3].tolist() == yellow
    assert picture[20, 0, :3].tolist() not in (purple, yellow)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_pictures_of_any_precision_that_learn_are_shown(dtype):
    images = drawings.smooth_images(2).to(dtype)
    shown = arrays.as_images(images.float())
    images.requires_grad_()
    assert np.array_equal(arrays.as_images(images), shown)
    assert np.array_equal(arrays.as_images(list(images)), shown)
    if dtype != torch.bfloat16:
        assert np.array_equal(arrays.as_images(images.detach().numpy()), shown)


def test_pictures_on_another_device_are_fetched():
    class Far(torch.Tensor):
        """A tensor that is on another device until it is asked to come."""

        def numpy(self):
            raise TypeError("can't convert device tensor to numpy")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    images = drawings.smooth_images(2)
    far = images.as_subclass(Far)
    assert np.array_equal(arrays.as_images(far), arrays.as_images(images))
    assert np.array_equal(arrays.as_images([far[0], far[1]]), arrays.as_images(images))
