"""Pictures keep what the eye sees of them."""

import numpy as np
import pytest
from interactives import bird_like, decode

from sdn_lib.show.encoding import data_uri


@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_survive_encoding(channels):
    images = bird_like(4)
    if channels == 4:
        images = np.concatenate([images, np.full((4, 64, 64, 1), 255, np.uint8)], axis=3)
        images[:, :, 30:34] = 0
    for image in images:
        back = decode(data_uri(image)).astype(float)
        if channels == 4:
            assert (back[:, 30:34, 3] == 0).all() and (back[:, :30, 3] == 255).all()
            image, back = image[:, :30, :3], back[:, :30, :3]
        assert 10 * np.log10(255**2 / ((back - image) ** 2).mean()) > 27
    flat = np.zeros((2, 2, 3), np.uint8)
    assert np.array_equal(decode(data_uri(flat))[..., :3], flat)
