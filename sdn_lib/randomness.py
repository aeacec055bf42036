"""Random streams by name: draws for different purposes never share one."""

from __future__ import annotations

import hashlib

import numpy as np

NUMBERED = {"batches": (), "captions": (1,), "text": ()}
"""What told the streams of a Numbered seed apart, by purpose; later purposes have labels."""


class Numbered(int):
    """A seed whose streams are told apart by numbers alone, as those of stored results are.

    NumPy takes (s, 1) and (s, 1, 0) for the same seed, so two purposes could share a stream.
    """


def stream(purpose: str, seed: int, *numbers: int) -> np.random.Generator:
    """Return the generator of a purpose, a seed and further numbers, such as a step.

    Another purpose, another seed or other numbers give an independent stream.
    """
    if isinstance(seed, Numbered) and purpose in NUMBERED:
        return np.random.default_rng([seed, *numbers, *NUMBERED[purpose]])
    name = f"{purpose} {len(numbers)}".encode()
    words = np.frombuffer(hashlib.sha256(name).digest()[:16], dtype="<u4")
    return np.random.default_rng([*words.tolist(), seed, *numbers])
