"""Verdicts on the claims follow from their comparisons, taken together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sdn_lib.errors import SDNError
from sdn_lib.experiments import claims
from sdn_lib.experiments.claims import Claim
from sdn_lib.experiments.rows import ROWS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def results(**scores):
    """Return stored results of rows: an accuracy for each seed from 0."""
    return {
        name: [{"settings": {"seed": seed}, "attributes": {"mean": value}}
               for seed, value in enumerate(values)]
        for name, values in scores.items()
    }  # fmt: skip


def test_rows_are_compared_seed_by_seed():
    found = results(full=[0.5, 0.7, 0.9], low=[0.4, 0.6, 0.8], high=[0.9])
    mean, low, high = claims.difference_interval(found, "full", "low", "accuracy")
    assert (mean, low, high) == pytest.approx((0.1, 0.1, 0.1))
    assert claims.difference_interval(found, "low", "full", "accuracy")[0] == pytest.approx(-0.1)
    assert claims.difference_interval(found, "high", "low", "accuracy")[1] == -np.inf
    with pytest.raises(SDNError, match="no run of row 'mid' is stored"):
        claims.difference_interval(found, "full", "mid", "accuracy")
    with pytest.raises(SDNError, match="unknown measure 'acuracy'"):
        claims.difference_interval(found, "full", "low", "acuracy")
    found["low"] = found["low"][1:]
    with pytest.raises(SDNError, match="share no seed"):
        claims.difference_interval(found, "high", "low", "accuracy")
    with pytest.raises(SDNError, match="two runs of one seed: \\[0, 0\\]"):
        claims.difference_interval(found | {"high": found["high"] * 2}, "high", "full", "accuracy")


def verdict(found, claim):
    """The verdict on a claim by itself."""
    return claims.verdicts(found, {"": claim})[""]


@pytest.mark.parametrize(
    ("rival", "said"),
    [([0.4, 0.5, 0.6], "supported"), ([0.6, 0.7, 0.8], "not supported"),
     ([0.1, 0.6, 0.9], "undecided here"), ([0.5, 0.6, 0.7], "undecided here")],
)  # fmt: skip
def test_a_verdict_follows_its_comparisons(rival, said):
    found = results(full=[0.5, 0.6, 0.7], low=rival)
    assert verdict(found, Claim("", (("full", "low", "accuracy"),))) == said
    both = Claim("", (("full", "low", "accuracy"), ("low", "full", "accuracy")))
    assert verdict(found, both) == (said if "undecided" in said else "mixed")


def test_some_for_and_some_against_is_mixed_and_one_against_is_not_supported():
    found = results(full=[0.5, 0.6, 0.7], low=[0.4, 0.5, 0.6], mid=[0.6, 0.7, 0.8],
                    high=[0.1, 0.6, 0.9])  # fmt: skip
    test = {name: ("full", name, "accuracy") for name in found}
    given = {
        "mixed": Claim("", (test["low"], test["mid"], test["high"])),
        "not supported": Claim("", (test["mid"], test["high"])),
        "undecided here": Claim("", (test["low"], test["high"])),
        "supported": Claim("", (test["low"],)),
    }
    assert claims.verdicts(found, given) == {name: name for name in given}
    assert set(given) == set(claims.VERDICTS)


def test_p_values_are_holms_of_paired_t_tests(rng):
    scores = {name: rng.normal(loc, 1, 6).tolist() for name, loc in
              {"full": 2, "low": 0, "mid": 1, "high": 2}.items()}  # fmt: skip
    tests = [("full", name, "accuracy") for name in ("low", "mid", "high")]
    alone = [stats.ttest_rel(scores["full"], scores[t[1]]).pvalue for t in tests]
    found = claims.p_values(results(**scores), [*tests, tests[0]])
    assert list(found) == tests
    assert claims.p_values(results(**scores), tests[:1])[tests[0]] == pytest.approx(alone[0])
    wanted, largest = {}, 0.0
    for times, k in zip((3, 2, 1), np.argsort(alone), strict=True):
        largest = max(largest, min(1, times * alone[k]))
        wanted[tests[k]] = largest
    assert found == pytest.approx(wanted)
    once = results(full=[0.9], low=[0.1])
    assert claims.p_values(once, tests[:1]) == {tests[0]: 1}


def test_one_clear_comparison_among_many_unclear_ones_is_not_enough_unless_very_clear():
    # Alone, p is 0.02: enough for one comparison and too little for four.
    full, low = [1.0, 1.1, 1.2], [0.9, 0.93, 1.02]
    found = results(full=full, low=low, mid=[1.0, 1.2, 1.1], high=[1.1, 1.0, 1.2],
                    one=[1.2, 1.1, 1.0])  # fmt: skip
    tests = tuple(("low", name, "accuracy") for name in ("full", "mid", "high", "one"))
    assert claims.difference_interval(found, *tests[0])[2] < 0
    assert verdict(found, Claim("", tests[:1])) == "not supported"
    assert verdict(found, Claim("", tests)) == "undecided here"


@pytest.mark.parametrize("seeds", [3, 5])
def test_where_nothing_differs_the_verdicts_seldom_say_otherwise(rng, seeds):
    grids = [claims.chance_grid(seeds, rng) for _ in range(600)]
    said = [set(claims.verdicts(grid).values()) != {"undecided here"} for grid in grids]
    assert np.mean(said) < 0.07
    tests = [test for claim in claims.CLAIMS.values() for test in claim.tests]
    alone = [
        any(claims.difference_interval(grid, *t)[2] < 0 for t in tests) for grid in grids[:100]
    ]
    assert np.mean(alone) > 0.3


def test_a_claim_of_the_book_is_judged_with_all_of_them(rng):
    grid, claim = claims.chance_grid(3, rng), claims.CLAIMS["mid"]
    for row, rival, measure in claim.tests:
        assert measure == "frechet"
        for ours, theirs, ahead in zip(grid[row], grid[rival], (1.0, 1.2, 1.4), strict=True):
            theirs["frechet"] = ours["frechet"] + ahead
    assert verdict(grid, claim) == "supported"
    assert claims.verdicts(grid)["mid"] == "undecided here"


def test_claims_name_rows_and_measures_that_exist():
    for claim in claims.CLAIMS.values():
        for row, rival, measure in claim.tests:
            assert {row, rival} <= set(ROWS) and measure in claims.MEASURES
