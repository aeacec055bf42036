"""What tests of interactives share: pages read back, and pictures of birds that no one painted."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from sdn_lib.show import Frame, Panel

VOID = {"img", "input", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.data, self.shown = [], [], "", ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        tag, attributes = self.open[-1]
        if attributes.get("class") == "sdn-data":
            self.data += data
        elif tag not in ("script", "style"):
            self.shown += data

    def of(self, tag, kind=""):
        return [a for t, a in self.tags if t == tag and kind in a.get("class", "").split(" ")]


def bird_like(count, size=64, seed=0):
    """Smooth backgrounds with two sharp-edged ellipses, the colours all different."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:size * 1j, -1:1:size * 1j]
    images = []
    for _ in range(count):
        low, high, body, head = random.random((4, 3))
        image = low + (high - low) * (y[..., None] + 1) / 2
        edge = np.clip((1 - (x / 0.6) ** 2 - ((y - 0.2) / 0.4) ** 2) * 6, 0, 1)[..., None]
        image = image * (1 - edge) + body * edge
        edge = np.clip((1 - ((x - 0.4) / 0.25) ** 2 - ((y + 0.4) / 0.25) ** 2) * 6, 0, 1)[..., None]
        images.append(image * (1 - edge) + head * edge)
    return (np.stack(images) * 255).astype(np.uint8)


def decode(uri):
    kind, body = re.fullmatch(r"data:image/(\w+);base64,(.+)", uri).groups()
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert image.format == kind.upper()
    return np.asarray(image)


def frame_of(image, text="", label=""):
    """The frame of a single picture, uint8 (H, W, 3)."""
    return Frame((Panel(label, (image,)),), text)
