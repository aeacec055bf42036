"""What of a caption can be read, and captions in files."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from sdn_lib import devices
from sdn_lib.captions import ALPHABET, CaptionWarning, read_captions, remarks, warn
from sdn_lib.errors import SDNError
from sdn_lib.text import CharCNNRNN

LINES = ["a réd finch", "an owl"]


@pytest.mark.parametrize(
    "caption", ["красная птица", "赤い鳥", "🐦", "?!", "12 345", " " * 201 + "a"]
)
def test_a_caption_without_a_letter_is_said_to_be_unreadable(caption):
    assert "not one letter" in remarks(caption)[0]
    with pytest.warns(CaptionWarning, match="not one letter") as caught:
        CharCNNRNN().encode(["a red bird", caption])
    assert len(caught) == 1 and caught[0].filename == __file__
    decorated = devices.own_defaults()(CharCNNRNN().encode)
    with pytest.warns(CaptionWarning) as caught:
        decorated([caption])
    assert caught[0].filename == __file__


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
    symbols = ALPHABET + ALPHABET.upper()
    assert remarks(symbols) == []
    CharCNNRNN().encode([symbols, "a red bird"])
    assert len(recwarn) == 0


def test_many_captions_warn_once_in_the_same_words_and_cost_next_to_nothing():
    captions = [f"a red bird with {n} bars" for n in range(20_000)]
    long = ["a red bird " * 20 + f"{n}" for n in range(40)]
    began = time.perf_counter()
    warn(captions)
    assert time.perf_counter() - began < 1
    model = CharCNNRNN()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for start in range(4):
            model.encode(long[start:])
    assert len(caught) == 1 and "sdn_lib.captions.remarks" in str(caught[0].message)


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
    code = "from sdn_lib.captions import read_captions; print(read_captions('-'))"
    done = subprocess.run(
        [sys.executable, "-c", code], input="a finch\n", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['a finch']"
