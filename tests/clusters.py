"""Rows that share a species, as pictures of a data set do."""

from __future__ import annotations

import numpy as np


def crowd(draw, kinds, each):
    """Return rows (kinds x each, d) in order of species: the species' own row, give or take."""
    return np.repeat(kinds, each, 0) + draw.normal(size=(len(kinds) * each, kinds.shape[1]))
