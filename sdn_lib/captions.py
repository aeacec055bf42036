"""Captions as they are typed: the alphabet, what of a caption cannot be read, caption files."""

from __future__ import annotations

import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from sdn_lib import files
from sdn_lib.errors import SDNError

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"/\\|_@#$%^&*~`+-=<>()[]{} "
"""The 70 symbols of the original; '-' stands twice and the later place wins."""

LENGTH = 201
"""Characters read of a caption; the rest is cut off, as in the original."""

# Capitals stand beside small letters: str.lower() makes two characters of some, which would shift
# the rest.
INDEX = {form: k for k, symbol in enumerate(ALPHABET) for form in (symbol, symbol.upper())}

_PLAIN = {
    **dict.fromkeys("‘’‚‛′", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **{"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ß": "ss", "ı": "i", "×": "x"},
}
"""What to write in place of characters that Unicode does not take apart by itself."""

_QUOTED = 32  # captions of one call that warnings quote; more of them are a data set


def composed(caption: str) -> str:
    """Return a caption with a letter and its accent as one character, however it was typed."""
    return unicodedata.normalize("NFC", caption)


class CaptionWarning(UserWarning):
    """A caption of which not everything can be read."""


def words(caption: str) -> set[str]:
    """Return the words of a caption, small letters only, each once."""
    return set(re.findall("[a-z]+", caption.lower()))


def remarks(caption: str) -> list[str]:
    """Return what of a caption cannot be read, a sentence each; none for one that is read whole.

    No letter at all, characters that the alphabet lacks, and what lies beyond 201 characters.
    """
    found = []
    whole = composed(caption).rstrip()
    read = whole[:LENGTH]
    unknown = list(dict.fromkeys(symbol for symbol in read if symbol not in INDEX))
    if not re.search("[a-zA-Z]", read):
        found.append(
            "not one letter can be read, so nothing that it says is painted: write it in English"
        )
    elif unknown:
        named = ", ".join(map(_named, unknown[:5]))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        found.append(f"characters that cannot be read are left blank: {named}{more}")
    if len(whole) > LENGTH:
        found.append(
            f"only the first {LENGTH} of its {len(whole):,} characters are read, "
            f"to {'...' + read[-24:]!r}: put what matters first"
        )
    return found


def _named(symbol: str) -> str:
    plain = _PLAIN.get(symbol.lower()) or "".join(
        " " if part.isspace() else part
        for part in unicodedata.normalize("NFKD", symbol)
        if not unicodedata.combining(part)
    )
    seen = symbol.isprintable() and not unicodedata.combining(symbol)
    shown = repr(symbol) if seen else ascii(symbol)
    if not plain or any(part not in INDEX for part in plain):
        return shown
    return f"{shown} (write {'a space' if plain == ' ' else plain})"


def unreadable(captions: Iterable[str]) -> dict[str, list[str]]:
    """Return {caption: its `remarks`} of the captions of which not everything can be read."""
    return {caption: own for caption in captions if (own := remarks(caption))}


def warn(captions: Sequence[str]) -> None:
    """Warn, once a call, of captions of which not everything can be read.

    A few captions are quoted. Of many, a data set's, nothing is: the warning is then the same for
    every part of them, and Python shows it once.
    """
    found = unreadable(captions)
    if not found:
        return
    if len(captions) <= _QUOTED:
        text = "; ".join(f"caption {quoted(c)}: {', and '.join(s)}" for c, s in found.items())
    else:
        text = (
            "among the captions are some of which not everything can be read: "
            "sdn_lib.captions.remarks(caption) says what"
        )
    # It is said of the caller's own line, so that a cell that is run again warns again.
    level, frame = 1, sys._getframe()
    ours = re.compile("(sdn_lib|torch)[.]|contextlib$")
    while frame.f_back and ours.match(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, CaptionWarning, stacklevel=level)


def quoted(caption: str) -> str:
    """Return a caption in quotation marks, what goes beyond 40 characters left out."""
    return repr(caption if len(caption) <= 40 else f"{caption[:37]}...")


def read_captions(path: str | Path) -> list[str]:
    """Return the captions of a text file, as `split_captions` does; `-` is the standard input.

    Raises SDNError that names a file which cannot be read.
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise SDNError("the input is closed: name a text file with one caption a line")
        return split_captions(sys.stdin.buffer.read(), "the input")
    path = Path(path)
    if path.is_dir():
        raise SDNError(f"{path} is a folder: name a text file with one caption a line")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SDNError(f"{path} is missing: name a text file with one caption a line") from None
    except OSError as error:
        raise SDNError(files.explain(error, path)) from None
    return split_captions(raw, str(path))


def split_captions(raw: bytes, path: str) -> list[str]:
    """Return the captions of a text, one a line, tabs as spaces; `path` says where it is from.

    The text is UTF-8, or UTF-16 or 32 with its byte order mark; lines end as on Linux, Windows or
    an old Mac; empty lines may follow the last caption. Raises SDNError that names the line for a
    text that is neither, or holds no caption or an empty line between captions.
    """
    try:
        text = files.decoded(raw)
    except files.NoTextError as error:
        raise SDNError(
            f"{path}, line {error.line}, is not {error.kind} (byte {error.byte:#04x}): "
            "save the file as UTF-8"
        ) from None
    lines = []
    for number, line in enumerate(files.LINE_END.split(text.rstrip()), start=1):
        lines.append(line.removeprefix("\ufeff").replace("\t", " ").strip())
        if not lines[-1]:
            raise SDNError(f"{path}, line {number}, is empty: write one caption a line")
        if "\0" in line:
            raise SDNError(f"{path}, line {number}, is no text: save the file as UTF-8")
    return lines
