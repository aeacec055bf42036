"""The one family of errors that the book raises on purpose."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SDNError(ValueError):
    """Bad input, said in one sentence: what was wrong, where, and what to do."""


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def near(word: str, choices: Iterable[str]) -> str:
    """Return a hint that lists the choices nearest to `word`, or all of them when none is near."""
    choices = list(choices)
    close = difflib.get_close_matches(word, choices, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "choose from " + ", ".join(repr(c) for c in choices)


def listed(names: Iterable[str], none: str = "none") -> str:
    """Return names as one would say them: `a`, `a and b`, `a, b and c`."""
    *most, last = list(names) or [none]
    return f"{', '.join(most)} and {last}" if most else last


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number and its noun, as `1 picture` or `2 pictures`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
