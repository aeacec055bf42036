from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch

from sdn_lib import text
from sdn_lib.errors import SDNError
from sdn_lib.text import (
    CaptionWarning,
    CharCNNRNN,
    joint_embedding_loss,
    read_captions,
    remarks,
    to_indices,
)


def test_alphabet_is_the_original_s():
    assert len(text.ALPHABET) == 70
    assert text.ALPHABET.index("-") == 36 and text.ALPHABET.rindex("-") == 59
    assert to_indices(["-"])[0, 0].item() == 59, "the later place of '-' wins"


@pytest.mark.parametrize(("variant", "steps", "width"), [("cvpr", 8, 256), ("icml", 18, 512)])
def test_published_variants(variant, steps, width):
    model = CharCNNRNN(variant)
    characters = to_indices(["a small red bird", "a gull"])
    convolved = model.convolutions(model.one_hot[characters].transpose(1, 2))
    assert convolved.shape == (2, width, steps)
    assert model.encode(["a small red bird", "a gull"]).shape == (2, 1024)
    assert all(p.abs().max() <= 0.08 for p in model.parameters())


def test_unknown_characters_are_all_zeros_and_case_does_not_matter():
    model = CharCNNRNN()
    assert model.one_hot[to_indices(["é"])][0, 0].sum() == 0
    torch.testing.assert_close(model.encode(["A Red Bird"]), model.encode(["a red bird"]))


@pytest.mark.filterwarnings("ignore::sdn_lib.text.CaptionWarning")
def test_only_201_characters_are_read():
    start = "a bird " * 28 + "abcde"
    assert len(start) == 201
    model = CharCNNRNN()
    torch.testing.assert_close(model.encode([start + "xyz"]), model.encode([start + "more"]))
    changed = start[:-1] + "z"
    assert not torch.equal(to_indices([changed]), to_indices([start]))


def test_encoding_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    model, captions = CharCNNRNN(), [f"a bird with {n} wing bars" for n in range(7)]
    torch.testing.assert_close(model.encode(captions, batch=2), model.encode(captions))
    assert model.encode([]).shape == (0, 1024)


@pytest.mark.parametrize("caption", ["", "   ", "\n", None])
def test_an_empty_caption_is_an_error_that_names_its_place(caption):
    with pytest.raises(SDNError, match="caption 1 is empty"):
        CharCNNRNN().encode(["a bird", caption])


def test_a_string_is_no_list_of_captions():
    with pytest.raises(SDNError, match=r"'a red bird' is one caption, not a list: put it in \[ \]"):
        CharCNNRNN().encode("a red bird")


def test_joint_embedding_loss_by_hand():
    images = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    texts = torch.tensor([[1.0, 1.0], [0.5, 1.0]])
    # scores: [[1, 0.5], [2, 2]]
    by_image = max(0, 1 + 0.5 - 1) + max(0, 1 + 2 - 2)
    by_text = max(0, 1 + 2 - 1) + max(0, 1 + 0.5 - 2)
    loss = joint_embedding_loss(images, texts)
    assert loss.item() == pytest.approx((by_image + by_text) / 4)


def test_joint_embedding_loss_is_zero_for_separated_pairs_and_symmetric():
    torch.manual_seed(0)
    assert joint_embedding_loss(2 * torch.eye(5), torch.eye(5)).item() == 0
    a, b = torch.randn(6, 4), torch.randn(6, 4)
    torch.testing.assert_close(joint_embedding_loss(a, b), joint_embedding_loss(b, a))
    with pytest.raises(SDNError, match=r"\(6, 4\).*\(5, 4\)"):
        joint_embedding_loss(a, b[:5])


def test_calibrate_centres_and_evens_out_what_varies():
    torch.manual_seed(0)
    model = CharCNNRNN(text_dim=16)
    colours, tails = ("red", "blue", "grey", "orange"), ("long", "short", "forked")
    captions = [f"a {c} bird with a {d} tail" for c in colours for d in tails]
    before = model.encode(captions)
    model.calibrate(captions)
    after = model.encode(captions)
    torch.testing.assert_close(after.mean(0), torch.zeros(16), atol=1e-3, rtol=0)
    assert after.var(0).mean().item() == pytest.approx(1, rel=1e-2)

    def share(x):
        strength = torch.linalg.svdvals(x - x.mean(0)) ** 2
        return (strength[0] / strength.sum()).item()

    assert share(after) < 0.7 * share(before)
    affine = torch.linalg.lstsq(torch.cat([before, torch.ones(12, 1)], 1), after).solution
    torch.testing.assert_close(
        torch.cat([before, torch.ones(12, 1)], 1) @ affine, after, atol=2e-2, rtol=0
    )


def test_bad_variant_is_named():
    with pytest.raises(SDNError, match="did you mean 'cvpr'"):
        CharCNNRNN("cvrp")


# --- captions of which not everything can be read -------------------------------------------


@pytest.mark.parametrize(
    "caption", ["красная птица", "赤い鳥", "🐦", "?!", "12 345", " " * 201 + "a"]
)
def test_a_caption_without_a_letter_is_said_to_be_unreadable(caption):
    assert "not one letter" in remarks(caption)[0]
    with pytest.warns(CaptionWarning, match="not one letter") as caught:
        CharCNNRNN().encode(["a red bird", caption])
    assert len(caught) == 1 and caught[0].filename == __file__


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("a réd bird", "'é' (write e)"),
        ("a re\u0301d bird", "'é' (write e)"),
        ("a bird’s beak", "'’' (write ')"),
        ("a red–brown bird", "'–' (write -)"),
        ("a ﬁnch", "'ﬁ' (write fi)"),
        ("a red\tbird", r"'\t' (write a space)"),
        ("a red\u200bbird", r"'\u200b'"),
        ("a red bird 🐦", "'🐦'"),
        ("a " + "".join(map(chr, range(0x430, 0x43A))), "and 5 more"),
    ],
)
def test_characters_that_cannot_be_read_are_named(caption, words):
    (said,) = remarks(caption)
    assert words in said


def test_what_lies_beyond_201_characters_is_said_to_be_cut_off():
    caption = "a red bird " * 18 + "abc" + "and a tail"
    assert len(caption) == 211
    (said,) = remarks(caption)
    assert "first 201 of its 211 characters" in said and "bird abc'" in said
    assert "\n" not in remarks("a red bird\n" * 40)[1]
    assert remarks(caption[:201]) == remarks(caption[:201] + " \n") == []
    assert len(remarks("é" + caption)) == 2


def test_what_is_read_whole_gets_no_remark(recwarn):
    symbols = text.ALPHABET + text.ALPHABET.upper()
    assert remarks(symbols) == []
    CharCNNRNN().encode([symbols, "a red bird"])
    assert len(recwarn) == 0


def test_many_captions_warn_once_in_the_same_words_and_cost_next_to_nothing():
    captions = [f"a red bird with {n} bars" for n in range(20_000)]
    long = ["a red bird " * 20 + f"{n}" for n in range(40)]
    began = time.perf_counter()
    text.warn(captions)
    assert time.perf_counter() - began < 1
    model = CharCNNRNN()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for start in range(4):
            model.encode(long[start:])
    assert len(caught) == 1 and "sdn_lib.text.remarks" in str(caught[0].message)


def test_a_letter_that_lower_case_would_lengthen_shifts_nothing():
    assert len("İ".lower()) == 2
    read = to_indices(["İ red bird", "X red bird", "İ" * 300])
    assert torch.equal(read[0, 1:], read[1, 1:]) and read.shape == (3, text.LENGTH)


def test_composed_and_decomposed_accents_are_read_alike():
    assert torch.equal(*to_indices(["a réd bird", "a re\u0301d bird"]))


# --- files of captions -----------------------------------------------------------------------

LINES = ["a réd finch", "an owl"]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("tail", ["", "{0}", "{0}{0} {0}"])
def test_captions_are_read_from_any_editor_s_file(tmp_path, coding, end, tail):
    path = tmp_path / "captions.txt"
    path.write_bytes((end.join(LINES) + tail.format(end)).encode(coding))
    assert read_captions(path) == LINES


def test_captions_of_big_endian_and_joined_files_and_tabs_are_read(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_bytes(b"\xfe\xff" + "\n".join(LINES).encode("utf-16-be"))
    assert read_captions(path) == LINES
    path.write_bytes("a red\tfinch \n".encode("utf-8-sig") + "an owl".encode("utf-8-sig"))
    assert read_captions(path) == ["a red finch", "an owl"]
    path.write_bytes(b"a bird " * 100_000)
    assert len(read_captions(path)[0]) == 699_999


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1, is empty"),
        (b"\xef\xbb\xbf\r\n", "line 1, is empty"),
        (b"a\r\rb", "line 2, is empty"),
        (b"a\r\n\r\nb", "line 2, is empty"),
        (b"a\rb\r\nc\xe9", r"line 3, is not UTF-8 \(byte 0xe9\)"),
        (b"\xff\xfea\0\n\0b", "line 2, is not UTF-16"),
        ("a red bird".encode("utf-16-le"), "line 1, is no text: save the file as UTF-8"),
    ],
)
def test_a_file_without_captions_is_named_with_its_line(tmp_path, content, words):
    path = tmp_path / "captions.txt"
    path.write_bytes(content)
    with pytest.raises(SDNError, match=f"captions.txt, {words}"):
        read_captions(path)


def test_captions_that_cannot_be_opened_are_named(tmp_path, monkeypatch):
    with pytest.raises(SDNError, match="nowhere.txt is missing"):
        read_captions(tmp_path / "nowhere.txt")
    with pytest.raises(SDNError, match="is a folder: name a text file"):
        read_captions(tmp_path)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SDNError, match="captions.txt: permission denied: make it"):
        read_captions(tmp_path / "captions.txt")


def test_captions_are_read_from_a_pipe():
    code = "from sdn_lib.text import read_captions; print(read_captions('/dev/stdin'))"
    done = subprocess.run(
        [sys.executable, "-c", code], input="a finch\n", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['a finch']"
