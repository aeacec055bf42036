"""Captions are wrapped by width, and written as they are."""

import io

import drawings
import matplotlib

from sdn_lib import show
from sdn_lib.show import layout, style


def test_wrapping_keeps_every_word_within_the_width():
    text = "a small bird with a bright red crown and a hummingbird beak"
    lines = layout.wrap(text, 120)
    assert " ".join(lines) == text
    assert len(lines) > 3
    for line in lines:
        assert " " not in line or layout.text_width(line, style.CAPTION) <= 135


def test_dollars_in_captions_are_dollars():
    captions = ["a $5 bird that ate $6", r"a bird of \$ \alpha$ and $\nonsense{$", "a $ bird"]
    figure = show.image_grid(drawings.smooth_images(3), captions)
    figure.savefig(io.BytesIO())
    texts = figure.findobj(matplotlib.text.Text)
    shown = {word for text in texts for word in text.get_text().split()}
    assert {word for caption in captions for word in caption.split()} <= shown
    assert not any(text.get_parse_math() for text in texts if "$" in text.get_text())
