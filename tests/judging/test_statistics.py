from __future__ import annotations

import numpy as np
import pytest
from clusters import crowd

from sdn_lib import judging
from sdn_lib.errors import SDNError


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_an_interval_covers_the_truth_about_as_often_as_it_says(draw):
    def covered(measure, truth, *samples, **options):
        value, low, high = judging.interval(measure, *samples, draws=60, **options)
        assert low <= value <= high
        return low <= truth <= high

    mean = [covered(np.mean, 3.0, draw.normal(3, 1, 80)) for _ in range(200)]
    assert 0.87 < np.mean(mean) < 0.99
    kernel = [
        covered(judging.kernel_distance, 0.0, draw.normal(size=(60, 4)), draw.normal(size=(60, 4)))
        for _ in range(60)
    ]
    assert np.mean(kernel) > 0.8


def coverage(draw, species, each, grouped, rounds=300):
    """Return how often the interval of a mean of clustered rows holds the truth."""
    hits = []
    for seed in range(rounds):
        rows = crowd(draw, draw.normal(size=(species, 1)), each)
        groups = np.repeat(np.arange(species), each) if grouped else None
        _, low, high = judging.interval(np.mean, rows, groups=groups, draws=60, seed=seed)
        hits.append(low <= 0 <= high)
    return np.mean(hits)


@pytest.mark.parametrize(("species", "each"), [(100, 3), (20, 5), (8, 8)])
def test_rows_that_share_a_species_count_as_one_and_cover_as_often_as_said(draw, species, each):
    assert coverage(draw, species, each, grouped=True) == pytest.approx(0.95, abs=0.035)
    assert coverage(draw, species, each, grouped=False) < 0.9


def test_geometry_of_rows_that_share_a_species_is_covered_too(draw):
    mix, hits = draw.normal(size=(6, 8)), {True: [], False: []}

    def views(species, each):
        kinds = draw.normal(size=(species, 6))
        x = np.repeat(kinds, each, 0) + 0.5 * draw.normal(size=(species * each, 6))
        return x, np.repeat(kinds @ mix, each, 0) + 2 * draw.normal(size=(species * each, 8))

    truth = judging.linear_cka(*views(3000, 1))
    groups = np.repeat(np.arange(40), 5)
    for seed in range(60):
        x, y = views(40, 5)
        for grouped, found in hits.items():
            _, low, high = judging.interval(
                judging.linear_cka, x, y, paired=True, groups=groups if grouped else None, draws=50,
                seed=seed,
            )  # fmt: skip
            found.append(low <= truth <= high)
    assert np.mean(hits[True]) > 0.87 > np.mean(hits[False])


def test_samples_that_share_species_keep_the_same_halves():
    first, second = np.repeat(np.arange(30), 3), np.repeat(np.arange(30), 2)
    seen = []

    def measure(a, b):
        seen.append((set(a), set(b)))
        return float(len(a))

    judging.interval(measure, first, second, groups=(first, second), draws=5)
    assert all(a == b and len(a) == 15 for a, b in seen[1:]) and len(seen[0][0]) == 30
    judging.interval(measure, first, second + 100, groups=(first, second + 100), draws=5)
    assert all(len(a) == len(b) == 15 for a, b in seen[-5:])
    assert any({x + 100 for x in a} != b for a, b in seen[-5:])


def test_an_interval_that_would_say_nothing_is_refused(draw):
    x = draw.normal(size=(12, 2))
    for options, said in (
        ({"groups": np.zeros(12)}, "fewer than two groups"),
        ({"groups": np.arange(11)}, "groups for"),
        ({"groups": (np.arange(12), np.arange(12))}, "do not fit"),
        ({"level": 1.0}, "level between 0 and 1"),
        ({"level": 95}, "level between 0 and 1"),
        ({"draws": 0}, "a draw"),
    ):
        with pytest.raises(SDNError, match=said):
            judging.interval(np.mean, x, **options)
    with pytest.raises(SDNError, match="do not fit"):
        two = (np.arange(12), np.arange(11))
        judging.interval(judging.linear_cka, x, x, paired=True, groups=two)
    with pytest.raises(SDNError, match="two or more rows"):
        judging.interval(np.mean, x[:1])
    with pytest.raises(SDNError, match="no number"):
        judging.interval(lambda a: np.nan, x)


def test_the_interval_of_a_share_ends_at_zero_and_one():
    for right in (np.arange(20) < 19, np.arange(20) < 1):
        value, low, high = judging.interval(np.mean, right)
        assert value == right.mean() and (low < 0 or high > 1)
        bounded = judging.interval(np.mean, right, within=(0, 1))
        assert bounded == (value, max(0, low), min(1, high))


def test_paired_samples_stay_paired(draw):
    x = draw.normal(size=(60, 5))
    value, low, high = judging.interval(judging.linear_cka, x, 2 * x, paired=True)
    assert (value, low, high) == pytest.approx((1, 1, 1))
    apart = judging.interval(judging.linear_cka, x[:, :1], x[:, 1:], draws=20)
    assert apart[1] < apart[2]
    with pytest.raises(SDNError, match="differ in length"):
        judging.interval(judging.linear_cka, x, x[:50], paired=True)


def test_the_interval_of_seeds_is_students():
    mean, low, high = judging.mean_interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == pytest.approx((2, 2 - 2.484, 2 + 2.484), abs=1e-3)
    assert judging.mean_interval([1.0]) == (1, -np.inf, np.inf)
    for none in ([], [1.0, np.nan], [np.inf, 2.0]):
        with pytest.raises(SDNError, match="needs a finite score"):
            judging.mean_interval(none)


@pytest.mark.parametrize(
    ("ours", "accuracy", "frechet"),
    [((0.70, 0.74), True, False), ((0.50, 0.74), False, False), ((1.5, 2.5), True, False)],
)
def test_an_overlap_is_no_victory(ours, accuracy, frechet):
    theirs = 0.51, 0.55
    assert judging.better("accuracy", ours, theirs) is accuracy
    assert judging.better("frechet", ours, theirs) is frechet
    assert judging.better("frechet", theirs, ours) is accuracy


@pytest.mark.parametrize(("low", "high", "sign"), [(0.1, 0.3, 1), (-0.1, 0.3, 0), (-0.3, -0.1, -1)])
def test_a_difference_is_decided_where_its_interval_is_on_one_side_of_zero(low, high, sign):
    difference = (low + high) / 2, low, high
    assert judging.decided("accuracy", difference) == sign
    assert judging.decided("frechet", difference) == -sign


def test_the_best_is_first_and_an_unknown_measure_is_refused():
    scores = {"a": 0.2, "b": 0.9, "c": 0.5}
    assert judging.ranked("accuracy", scores) == ["b", "c", "a"]
    assert judging.ranked("frechet", scores) == ["a", "c", "b"]
    with pytest.raises(SDNError, match="unknown measure 'acuracy': did you mean 'accuracy'"):
        judging.better("acuracy", [1], [0])
