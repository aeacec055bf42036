"""What `fast` computes is what the plain expression does; more of this is beside the five files."""

from __future__ import annotations

import pytest
import torch

from sdn_lib import fast, profiles, runs
from sdn_lib.captions import ALPHABET, LENGTH
from sdn_lib.text import CharCNNRNN, to_indices

LINES = [
    *(
        f"this is a {size} bird with a {colour} back, a {colour} tail and a {bill} bill."
        for size in ("small", "large")
        for colour in ("red", "olive-green", "yellow and black")
        for bill in ("pointed", "short")
    ),
    "a",
    "                                        a bird far to the right",
    "Ünreadable ☂ 鳥 characters, 'quotes' and tabs\tin it",
    "?!",
    ALPHABET,
    "a long tail " * 16 + "and a bill",
    ("abcdefghi" * 30)[:LENGTH],
    "z" * 400,
]


@pytest.fixture(params=CharCNNRNN.VARIANTS)
def encoder(request) -> CharCNNRNN:
    torch.manual_seed(0)
    return CharCNNRNN(request.param, 64).eval()


@pytest.mark.filterwarnings("ignore::sdn_lib.captions.CaptionWarning")
def test_captions_are_read_fast_as_they_are_read_plainly(encoder):
    plain = encoder.encode(LINES, plain=True)
    torch.testing.assert_close(encoder.encode(LINES), plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoder.encode(LINES, batch=10), plain, rtol=1e-5, atol=1e-5)
    for line, row in zip(LINES, plain, strict=True):
        torch.testing.assert_close(encoder.encode([line])[0], row, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_characters_drawn_at_random_are_read_too(encoder):
    characters = torch.randint(71, (40, LENGTH), generator=torch.Generator().manual_seed(0))
    got = fast.embed(encoder.double(), characters)
    torch.testing.assert_close(got, encoder(characters), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_shipped_reader_s_embeddings_are_equal_to_float32_s_rounding():
    encoder = runs.get("text", profiles.load("cpu")).model
    plain = encoder.encode(LINES[:12], plain=True)
    error = (encoder.encode(LINES[:12]) - plain).abs().max()
    assert error < 1e-5 * plain.abs().max()


@torch.no_grad()
def test_what_differs_is_counted_once_however_many_there_are():
    ids = torch.randint(50_000, (30, 40), generator=torch.Generator().manual_seed(0))
    ids[7] = ids[3]
    for size in (1, 2, 4, 6):
        windows, where = fast._distinct(ids.unfold(1, size, 1), 2**33)
        assert torch.equal(windows[where], ids.unfold(1, size, 1))
        assert len(windows.unique(dim=0)) == len(windows)


@torch.no_grad()
def test_a_stage_under_autocast_computes_in_the_weights_precision(encoder):
    characters = to_indices(LINES)
    with torch.autocast("cpu", torch.bfloat16):
        got = fast.embed(encoder, characters)
    assert torch.equal(got, fast.embed(encoder, characters))
