"""The classes of PaintedBirds: species that differ in family, colours and marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sdn_lib.data.painted_birds.attributes import ATTRIBUTES, COLOURED, COLOURS, OF_THE_IMAGE
from sdn_lib.errors import SDNError


@dataclass(frozen=True)
class Species:
    """One class: `id` from 1, unique `name`, `split` 'train' or 'test', attribute name -> value."""

    id: int
    name: str
    split: str
    attributes: dict[str, str]


def make_species(n: int = 200, n_test: int = 50, seed: int = 0) -> list[Species]:
    """Invent `n` species, `n_test` of them for testing, with every attribute value balanced.

    Returns them in the order of their ids, both splits mixed. No two species share their family,
    colours and marks, and every value of every attribute occurs in training. Raises SDNError where
    that cannot be had: fewer training species than the palette has colours, a negative `n_test`, or
    a negative seed.
    """
    if seed < 0:
        raise SDNError(f"seed is {seed}: choose 0 or more")
    if n_test < 0 or n - n_test < len(COLOURS):
        raise SDNError(
            f"make_species: n={n} with n_test={n_test} leaves {n - n_test} species to train on; "
            f"at least {len(COLOURS)} are needed so that every colour is seen"
        )
    rng = np.random.default_rng([seed, 1])
    taken: set[tuple[str, ...]] = set()
    rows = [("train", row) for row in _balance(n - n_test, rng, taken)]
    rows += [("test", row) for row in _balance(n_test, rng, taken)]
    names: set[str] = set()
    found = []
    for place, at in enumerate(rng.permutation(n)):
        split, attributes = rows[at]
        name = _invent_name(attributes, names, rng)
        found.append(Species(place + 1, name, split, attributes))
    return found


def _balance(n: int, rng: np.random.Generator, taken: set) -> list[dict[str, str]]:
    """`n` attribute rows in which each attribute's values occur equally often, give or take one."""
    columns = {}
    for name, values in ATTRIBUTES.items():
        if name not in OF_THE_IMAGE:
            order = rng.permutation(len(values))
            columns[name] = [values[order[i % len(values)]] for i in rng.permutation(n)]
    key = lambda i: tuple(column[i] for column in columns.values())  # noqa: E731
    places: dict[tuple[str, ...], set[int]] = {}
    for i in range(n):
        places.setdefault(key(i), set()).add(i)

    def is_poor(i: int) -> bool:
        hidden = columns["wing_bars"][i] == columns["wing"][i]
        plain = len({columns[part][i] for part in COLOURED[:5]}) < 3
        return hidden or plain or key(i) in taken or min(places[key(i)]) < i

    poor = {i for i in range(n) if is_poor(i)}
    while poor:
        # Exchange one colour of a poor row with another row's: the balance stays.
        part = COLOURED[rng.integers(5)]
        i, j = min(poor), int(rng.integers(n))
        changed = {i, j} | places[key(i)] | places[key(j)]
        for row in {i, j}:
            places[key(row)].discard(row)
        if n == 1:
            columns[part][i] = COLOURS[rng.integers(len(COLOURS))]
        columns[part][i], columns[part][j] = columns[part][j], columns[part][i]
        for row in (i, j):
            places.setdefault(key(row), set()).add(row)
        changed |= places[key(i)] | places[key(j)]
        poor = (poor - changed) | {row for row in changed if is_poor(row)}
    taken.update(k for k, rows in places.items() if rows)
    return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def _invent_name(attributes: Mapping[str, str], names: set[str], rng: np.random.Generator) -> str:
    kinds = {"crown": "crowned", "wing": "winged", "breast": "breasted", "tail": "tailed"}
    kinds |= {"back": "backed", "beak": "billed"}
    order = [list(kinds)[i] for i in rng.permutation(len(kinds))]
    marks = [f"{attributes[part].capitalize()}-{kinds[part]}" for part in order]
    family = attributes["family"].capitalize()
    for words in (1, 2, 3):
        for start in range(len(marks) - words + 1):
            name = " ".join([*marks[start : start + words], family])
            if name not in names:
                names.add(name)
                return name
    name = f"{marks[0]} {family} {len(names)}"
    names.add(name)
    return name
