"""Linear probes: what can be read off features, and whether real ones can be told from others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdn_lib.errors import SDNError
from sdn_lib.judging.distances import check_finite


def ridge_regression(
    x: np.ndarray, y: np.ndarray, penalty: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function of rows (m, d) that ridge regression fits to x (n, d) and y (n, k).

    x is standardised; values (m, k) come back around 0, as y less its mean.
    """
    mean, scale = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / scale
    gram = x.T @ x + penalty * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (y - y.mean(0)))
    return lambda rows: (rows - mean) / scale @ weights


def probe_accuracy(
    seen: np.ndarray,
    labels: np.ndarray,
    unseen: np.ndarray,
    unseen_labels: np.ndarray,
    ridge: float = 1.0,
) -> float:
    """Return how well a linear probe fitted on (seen, labels) names the labels of `unseen`.

    Ridge regression on one-hot labels after standardising; `seen` (n, d), `unseen` (m, d), labels
    integers from 0. What is not linearly there scores as chance does. Raises SDNError when a shape
    does not fit. Source: Alain and Bengio 2016 for the idea of probes.
    """
    counts = len(labels), len(unseen_labels)
    if seen.shape[1:] != unseen.shape[1:] or (len(seen), len(unseen)) != counts or 0 in counts:
        raise SDNError(
            f"the probe got features {seen.shape} with {counts[0]} labels and {unseen.shape} with "
            f"{counts[1]}"
        )
    check_finite(seen, unseen)
    targets = np.eye(int(max(labels.max(), unseen_labels.max())) + 1)[labels]
    regression = ridge_regression(seen, targets, ridge * len(seen) / 100)
    guess = (regression(unseen) + targets.mean(0)).argmax(1)
    return float((guess == unseen_labels).mean())


def classifier_two_sample_test(
    real: np.ndarray, generated: np.ndarray, groups: np.ndarray | None = None
) -> float:
    """Return how often a linear probe tells real from generated rows: 0.5 is a guess, 1 is always.

    Both (n, d) alike; fitted on the even rows of both, asked about the odd ones. With `groups`
    (n,), the species of row i of both, it is asked about other species than it was fitted on.
    Raises SDNError where a side would be empty. Source: Lopez-Paz and Oquab 2017.
    """
    rows = np.arange(max(len(real), len(generated)))
    order = rows if groups is None else np.unique(groups, return_inverse=True)[1]
    even = order % 2 == 0
    if len(order) != len(rows) or min(even.sum(), (~even).sum()) == 0:
        raise SDNError(f"{len(rows)} rows and {len(set(order))} groups cannot be split for a probe")
    samples = [(real[s[: len(real)]], generated[s[: len(generated)]]) for s in (even, ~even)]
    (seen, unseen), (labels, unseen_labels) = (
        [np.concatenate(sample) for sample in samples],
        [np.repeat([0, 1], [len(part) for part in sample]) for sample in samples],
    )
    return probe_accuracy(seen, labels, unseen, unseen_labels)
