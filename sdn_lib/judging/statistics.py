"""How sure a measure is, which of two is better, and how to judge several comparisons at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sdn_lib.errors import SDNError, near
from sdn_lib.randomness import stream

DIRECTION = {
    "accuracy": 1,
    "frechet": -1,
    "second_accuracy": 1,
    "second_frechet": -1,
    "kernel": -1,
    "r_precision": 1,
    "colour": 1,
    "heterogeneous": -1,
    "homogeneous": -1,
    "detail": -1,
    "ssim": 1,
    "psnr": 1,
}
"""{measure: 1 where more is better, -1 where less is}."""


def direction(measure: str) -> int:
    """Return 1 where more of a measure is better, -1 where less is; SDNError for an unknown one."""
    if measure not in DIRECTION:
        raise SDNError(f"unknown measure {measure!r}: {near(measure, DIRECTION)}")
    return DIRECTION[measure]


def better(measure: str, ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Say whether our worst value is better than their best one.

    The values of two rivals by seed, or the ends of their ranges.
    """
    sign = direction(measure)
    return bool(min(sign * x for x in ours) > max(sign * x for x in theirs))


def decided(measure: str, interval: Sequence[float]) -> int:
    """Return 1 where the interval (value, low, high) of a difference is on the better side of zero.

    -1 where it is on the worse side, 0 where it holds zero.
    """
    _, low, high = interval
    return direction(measure) * (int(low > 0) - int(high < 0))


def ranked(measure: str, scores: Mapping[str, float]) -> list[str]:
    """Return the names of scores, the best first."""
    return sorted(scores, key=lambda name: -direction(measure) * scores[name])


def interval(
    measure: Callable[..., float],
    *samples: np.ndarray,
    paired: bool = False,
    groups: np.ndarray | Sequence[np.ndarray] | None = None,
    level: float = 0.95,
    draws: int = 100,
    seed: int = 0,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float, float]:
    """Return (value, low, high) of a measure of samples: where it lies with confidence `level`.

    From random halves of the rows, the same rows of all samples if `paired`: a half without
    repetition strays from the whole as much as the whole does from the truth. A bootstrap would
    repeat rows, and repeated rows look alike to CKA and to the kernel distance. For measures that
    the sample size does not bias.

    Rows that share a species say less than as many species would. Where some do, name each row's
    species in `groups`: one array (n,) for all samples, or one a sample. Halves are then halves of
    species, drawn once for all samples. Few species widen the interval as Student's t does; it ends
    at the bounds of a measure that always lies `within` some: 0 and 1 for a share. Raises SDNError
    for lengths that do not fit, fewer than two rows or groups, a level outside 0..1, and a
    measure that is no number. Source: Shao and Wu 1989, the delete-d jackknife.
    """
    counts = [len(rows) for rows in samples]
    if paired and len(set(counts)) != 1:
        raise SDNError(f"paired samples differ in length: {counts}")
    if min(counts) < 2 or not 0 < level < 1 or draws < 1:
        raise SDNError(
            f"an interval needs two or more rows, a level between 0 and 1 and a draw, got {counts} "
            f"rows, level {level} and {draws} draws"
        )
    if groups is None:
        # Rows of samples that are not paired are groups of their own.
        starts = [0 if paired else start for start in np.cumsum([0, *counts[:-1]])]
        species = [np.arange(n) + start for n, start in zip(counts, starts, strict=True)]
    elif isinstance(groups, np.ndarray) and groups.ndim == 1:
        species = [groups] * len(samples)
    else:
        species = list(groups)
    same = all(np.array_equal(s, species[0]) for s in species)
    if len(species) != len(samples) or (paired and not same):
        raise SDNError(f"groups of {len(species)} samples do not fit {len(samples)} samples")
    from scipy import stats

    value, draw, deviations = measure(*samples), stream("halves", seed), []
    half = half_sampler(species, counts)
    for _ in range(draws):
        kept = half(draw)
        deviations.append(measure(*(x[k] for x, k in zip(samples, kept, strict=True))) - value)
    if not np.isfinite(deviations).all():
        raise SDNError(f"the measure is no number: {value} of all rows")
    ends = (1 - level) / 2, (1 + level) / 2
    fewest = min(len(np.unique(labels)) for labels in species)
    wider = stats.t.ppf(ends[1], fewest - 1) / stats.norm.ppf(ends[1])
    # Weibull's quantiles: the others of so few draws lie too far inside.
    low, high = wider * np.quantile(deviations, ends, method="weibull")
    least, most = within
    return value, max(least, value - float(high)), min(most, value - float(low))


def half_sampler(
    groups: Sequence[np.ndarray], counts: Sequence[int]
) -> Callable[[np.random.Generator], list[np.ndarray]]:
    """Return what draws, for each sample, the rows of a random half of its groups, bool (n,).

    A group that two samples share is kept in both or in neither. Raises SDNError unless every row
    has a group, and every sample two groups or more.
    """
    if [len(labels) for labels in groups] != list(counts):
        raise SDNError(f"{[len(labels) for labels in groups]} groups for {list(counts)} rows")
    names, codes = np.unique(np.concatenate(groups), return_inverse=True)
    of_rows = np.split(codes, np.cumsum(counts)[:-1])
    known, new_groups = np.zeros(len(names), dtype=bool), []
    for rows in of_rows:
        own = np.unique(rows)
        if len(own) < 2:
            raise SDNError("rows of fewer than two groups cannot be split by group")
        new_groups.append(own[~known[own]])
        known[own] = True

    def half(draw: np.random.Generator) -> list[np.ndarray]:
        kept = np.zeros(len(names), dtype=bool)
        for new in new_groups:
            kept[draw.permutation(new)[: len(new) // 2]] = True
        return [kept[rows] for rows in of_rows]

    return half


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return (mean, low, high): the 95 % interval of the mean of runs with different seeds.

    Student's t for so few values; infinitely wide for one. Raises SDNError for none, and for a
    value that is no number.
    """
    if not len(values) or not np.isfinite(values).all():
        raise SDNError(f"the mean of {list(values)} says nothing: each run needs a finite score")
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -np.inf, np.inf
    from scipy import stats

    reach = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return mean, mean - float(reach), mean + float(reach)


def paired_t_test(differences: Sequence[Sequence[float]]) -> np.ndarray:
    """Return the two-sided p-value of each comparison, from its paired differences.

    1 where a single difference, or none at all between equal values, leaves nothing to go by.
    """
    from scipy import stats

    counts = np.array([len(values) for values in differences])
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.array([np.std(v, ddof=1) if len(v) > 1 else 0 for v in differences])
        t = np.abs([np.mean(v) for v in differences]) / (errors / counts**0.5)
    return np.nan_to_num(2 * stats.t.sf(t, counts - 1), nan=1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values (n,) corrected for being looked at together.

    Where nothing differs, the chance that any of them is below 0.05 is at most 0.05, whether or not
    they depend on each other. Source: Holm 1979.
    """
    order, steps = np.argsort(p), np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps * p[order]))
    return corrected
