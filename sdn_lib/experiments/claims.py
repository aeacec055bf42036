"""The paper's claims as comparisons of rows, and the verdicts on all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdn_lib.errors import SDNError, near
from sdn_lib.judging.pictures import detail
from sdn_lib.judging.statistics import DIRECTION, holm, mean_interval, paired_t_test

MEASURES: dict[str, tuple[str, int, Callable[[dict[str, Any]], float]]] = {
    "accuracy": (
        "attribute accuracy", DIRECTION["accuracy"], lambda facts: facts["attributes"]["mean"]
    ),
    "frechet": ("Fréchet distance", DIRECTION["frechet"], lambda facts: facts["frechet"]),
    "heterogeneous": (
        "heterogeneous gap", DIRECTION["heterogeneous"],
        lambda facts: facts["heterogeneous"]["pool5"][0],
    ),
    "detail": ("fine detail", DIRECTION["detail"], lambda facts: detail(facts["spectrum"])),
}  # fmt: skip
"""{measure: (what it is called, 1 where more is better and -1 where less is, how it is read)}."""


PAPER = {
    1: "Two gaps make the task hard, the heterogeneous and the homogeneous one.",
    2: "A general network that was trained to tell pictures apart can guide, at several levels, "
    "the training of one that paints.",
    3: "Its high level teaches the painter what to take from the text. That narrows the "
    "heterogeneous gap.",
    4: "Its mid level teaches structure, which narrows the homogeneous gap.",
    5: "Its low level teaches detail, which narrows the homogeneous gap, too.",
    6: "A painter that mirrors the teacher receives this knowledge more easily.",
    7: "Two stages that distil in different ways make a better painter.",
    8: "On two data sets of photographs the method proves itself.",
}
"""The claims of the paper's abstract, in the words and with the numbers of chapter 0."""


@dataclass(frozen=True)
class Claim:
    """A claim and what must be so if it holds: (row, rival, measure), the row being better."""

    text: str
    tests: tuple[tuple[str, str, str], ...]


CLAIMS = {
    "teacher": Claim(
        f"2. {PAPER[2]}",
        (
            ("full", "pixels", "accuracy"),
            ("full", "pixels", "frechet"),
            ("full", "random", "accuracy"),
            ("full", "random", "frechet"),
            ("full", "shuffled", "accuracy"),
            ("full", "shuffled", "frechet"),
        ),
    ),
    "high": Claim(
        f"3. {PAPER[3]}",
        (
            ("high", "pixels", "accuracy"),
            ("full", "mid_low", "accuracy"),
            ("high", "mid", "accuracy"),
            ("high", "low", "accuracy"),
        ),
    ),
    "geometry": Claim(
        "3. The same, as the teacher's last layer sees it (no independent judge).",
        (
            ("high", "pixels", "heterogeneous"),
            ("full", "mid_low", "heterogeneous"),
            ("high", "mid", "heterogeneous"),
            ("high", "low", "heterogeneous"),
        ),
    ),
    "mid": Claim(
        f"4. {PAPER[4]}",
        (
            ("mid", "pixels", "frechet"),
            ("full", "high_low", "frechet"),
        ),
    ),
    "low": Claim(
        f"5. {PAPER[5]}",
        (
            ("low", "pixels", "frechet"),
            ("full", "high_mid", "frechet"),
            ("low", "pixels", "detail"),
            ("full", "high_mid", "detail"),
        ),
    ),
    "symmetry": Claim(
        f"6. {PAPER[6]}",
        (
            ("two", "plain", "accuracy"),
            ("two", "plain", "frechet"),
            ("full", "plain", "accuracy"),
            ("full", "plain", "frechet"),
        ),
    ),
    "stages": Claim(
        f"7. {PAPER[7]}",
        (
            ("full", "one", "accuracy"),
            ("full", "one", "frechet"),
            ("full", "two", "accuracy"),
            ("full", "two", "frechet"),
        ),
    ),
}
"""The claims that comparisons of rows can judge. Claim 3 is there twice, by two judges."""


def differences(
    results: Mapping[str, list[dict[str, Any]]], row: str, rival: str, measure: str
) -> list[float]:
    """Return by how much `row` is better than `rival`, once a seed that both have.

    Runs of the same seed saw the same batches. Raises SDNError where no seed is shared, a row is
    missing, or two runs of a row have the same seed.
    """
    if measure not in MEASURES:
        raise SDNError(f"unknown measure {measure!r}: {near(measure, MEASURES)}")
    for name in (row, rival):
        if name not in results:
            raise SDNError(f"no run of row {name!r} is stored: run `sdn ablate {name}`")
        seeds = [facts["settings"]["seed"] for facts in results[name]]
        if len(set(seeds)) < len(seeds):
            raise SDNError(f"row {name!r} has two runs of one seed: {sorted(seeds)}")
    _, sign, read = MEASURES[measure]
    ours, theirs = ({f["settings"]["seed"]: read(f) for f in results[n]} for n in (row, rival))
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        raise SDNError(f"rows {row!r} and {rival!r} share no seed")
    return [float(sign * (ours[seed] - theirs[seed])) for seed in shared]


def difference_interval(
    results: Mapping[str, list[dict[str, Any]]], row: str, rival: str, measure: str
) -> tuple[float, float, float]:
    """Return by how much `row` is better than `rival`, with its 95 % interval over seeds.

    The interval is that of one comparison alone; `p_values` judges several at once.
    """
    return mean_interval(differences(results, row, rival, measure))


def p_values(
    results: Mapping[str, list[dict[str, Any]]], tests: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], float]:
    """Return {(row, rival, measure): p}, the two-sided paired t tests together, by Holm's method.

    1 for a single seed.
    """
    tests = list(dict.fromkeys(tests))
    corrected = holm(paired_t_test([differences(results, *test) for test in tests]))
    return dict(zip(tests, corrected.tolist(), strict=True))


VERDICTS = ("supported", "not supported", "mixed", "undecided here")
LEVEL = 0.05
"""How often some claim may be decided although nothing differs."""


def verdicts(
    results: Mapping[str, list[dict[str, Any]]],
    claims: Mapping[str, Claim] = CLAIMS,
    level: float = LEVEL,
) -> dict[str, str]:
    """Return {claim: one of VERDICTS}, all claims judged together.

    The family is every comparison of every claim, corrected by `p_values`; one below `level` is for
    the claim or against it. Supported: all are for it. Not supported: some are against it, none for
    it. Mixed: some are for it and some against it. Anything else is undecided.
    """
    p = p_values(results, [test for claim in claims.values() for test in claim.tests])
    rulings = {}
    for name, claim in claims.items():
        signs = [
            np.sign(np.mean(differences(results, *test))) if p[test] < level else 0
            for test in claim.tests
        ]
        if all(sign > 0 for sign in signs):
            rulings[name] = "supported"
        elif min(signs) < 0:
            rulings[name] = "mixed" if max(signs) > 0 else "not supported"
        else:
            rulings[name] = "undecided here"
    return rulings


def chance_grid(seeds: int, draw: np.random.Generator) -> dict[str, list[dict[str, Any]]]:
    """Return results of rows among which nothing differs: every score is a standard normal draw.

    As `stored_rows` returns them, with what MEASURES read. How often verdicts on many such grids
    decide something is how often they err.
    """
    names = {name for claim in CLAIMS.values() for test in claim.tests for name in test[:2]}

    def facts(seed: int) -> dict[str, Any]:
        accuracy, frechet, captions, waves = draw.normal(size=4).tolist()
        return {
            "settings": {"seed": seed},
            "attributes": {"mean": accuracy},
            "frechet": frechet,
            "heterogeneous": {"pool5": (captions,)},
            "spectrum": (1.0, 10 ** (20 + waves)),
        }

    return {name: [facts(seed) for seed in range(seeds)] for name in sorted(names)}
