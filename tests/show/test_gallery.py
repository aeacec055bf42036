"""Pictures with captions: what does not fit is refused by name; each says what it is."""

import base64
import io
import re

import drawings
import numpy as np
import pytest
from PIL import Image

from sdn_lib import show
from sdn_lib.errors import SDNError
from sdn_lib.show.encoding import LEAST_PSNR

CAPTIONS = ["a $5 bird & its <nest>", "a \"red\" owl", "a gull", "a duck"]


def test_wrong_pictures_are_named():
    images = drawings.smooth_images(4)
    with pytest.raises(SDNError, match="4 images but 1 titles"):
        show.image_grid(images, ["one"])
    with pytest.raises(SDNError, match="no images"):
        show.image_grid(images[:0])
    with pytest.raises(SDNError, match="no rows"):
        show.compare_rows({})
    with pytest.raises(SDNError, match="'stage two' has 3"):
        show.compare_rows({"real": images, "stage two": images[:3]})
    with pytest.raises(SDNError, match="4 columns but 2 captions"):
        show.compare_rows({"real": images}, ["a", "b"])


def alternatives(gallery):
    return re.findall(r'<img [^>]*alt="([^"]*)"', gallery._repr_html_())


def test_every_picture_has_a_text_of_its_own():
    images = drawings.smooth_images(4)
    escaped = ["a $5 bird &amp; its &lt;nest&gt;", "a &quot;red&quot; owl", "a gull", "a duck"]
    assert alternatives(show.image_grid(images, CAPTIONS)) == escaped
    assert alternatives(show.image_grid(images)) == [f"{i} of 4" for i in (1, 2, 3, 4)]
    pair = show.compare_rows({"real": images, "stage_two": images}, CAPTIONS)
    assert alternatives(pair)[:3] == [f"real: {escaped[0]}", f"stage two: {escaped[0]}",
                                      f"real: {escaped[1]}"]
    assert repr(pair) == "<Gallery of 8 pictures>"
    assert "<nest>" not in pair._repr_html_()


def test_pictures_look_as_they_are():
    images = (drawings.smooth_images(2).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    page = show.compare_rows({"real": images})._repr_html_()
    found = re.findall(r"data:image/webp;base64,([^\"]+)", page)
    for data, image in zip(found, images, strict=True):
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        error = ((shown.astype(float) - image) ** 2).mean()
        assert 10 * np.log10(255**2 / max(error, 1e-9)) >= LEAST_PSNR


def test_a_phone_shows_a_sample_a_row():
    images = drawings.smooth_images(4)
    captioned = show.compare_rows({"real": images, "one": images, "two": images}, CAPTIONS)
    assert captioned.counts == {"columns": 4, "rows": 4, "narrow": 3}
    assert show.compare_rows({"real": images, "two": images}).counts["narrow"] == 4
    many = {str(i): images for i in range(7)}
    assert show.compare_rows(many, CAPTIONS).counts["narrow"] == 4
    assert show.image_grid(images, CAPTIONS).counts == {"columns": 4, "narrow": 2}
