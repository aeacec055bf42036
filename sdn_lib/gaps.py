"""The two gaps, measured at every layer.

The heterogeneous gap lies between captions and pictures: one minus the debiased linear CKA of
caption embeddings and pooled activations. The homogeneous gap lies between generated and real
pictures: the Fréchet distance of pooled activations, in units of real against real, and beside it
the kernel distance, which no sample size biases. `interval` says how sure a measure is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from sdn_lib import devices
from sdn_lib.errors import SDNError
from sdn_lib.evaluation import check_finite, frechet_distance
from sdn_lib.randomness import stream


@torch.no_grad()
def pooled_activations(
    network: torch.nn.Module, inputs: Tensor, cells: int = 2, batch: int = 128
) -> dict[str, np.ndarray]:
    """Return {layer: float32 (n, channels x cells^2)}: each activation averaged to cells x cells.

    `network` is a teacher fed images (n, 3, h, w) or a student fed text (n, text_dim).
    """
    parts: dict[str, list[Tensor]] = {}
    with devices.borrowed(network) as device:
        for start in range(0, len(inputs), batch):
            for name, x in network(inputs[start : start + batch].to(device)).items():
                pooled = F.adaptive_avg_pool2d(x.float(), cells).flatten(1)
                parts.setdefault(name, []).append(pooled.cpu())
    return {name: torch.cat(p).numpy() for name, p in parts.items()}


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Return the debiased linear CKA of two views (n, d1) and (n, d2) of the same n things.

    1 for the same geometry up to rotation and scale, about 0 for independent views at any n
    (slightly negative values occur). Raises SDNError below four rows, unequal rows, NaN, or a
    constant view. Source: Kornblith et al. 2019, with the unbiased HSIC of Song et al. 2012.
    """
    if len(x) != len(y) or len(x) < 4:
        raise SDNError(f"CKA needs two views of the same 4 or more things, got {len(x)}, {len(y)}")
    check_finite(x, y)
    if constant(x) or constant(y):
        raise SDNError("a view is constant: CKA is undefined there")
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    k, m = x @ x.T, y @ y.T
    own = _unbiased_hsic(k, k) * _unbiased_hsic(m, m)
    if own <= 0:
        raise SDNError("a view is constant: CKA is undefined there")
    return float(_unbiased_hsic(k, m) / np.sqrt(own))


def constant(x: np.ndarray) -> bool:
    """Say whether the rows of x (n, d) are one and the same, up to float32's rounding."""
    return bool(np.ptp(x, axis=0).max() <= 1e-5 * np.abs(x).max())


def _unbiased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    row_k, row_m = k.sum(1), m.sum(1)
    value = (k * m).sum() + row_k.sum() * row_m.sum() / ((n - 1) * (n - 2))
    return (value - 2 * (row_k @ row_m) / (n - 2)) / (n * (n - 3))


def heterogeneous_gap(
    texts: np.ndarray, activations: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Return {layer: 1 - CKA(texts, activations there)}: 0 is the captions' own geometry.

    `texts` (n, text_dim), each activation (n, d), row i of both about the same picture.
    """
    return {name: 1 - linear_cka(texts, a) for name, a in activations.items()}


def homogeneous_gap(
    real: Mapping[str, np.ndarray],
    generated: Mapping[str, np.ndarray],
    components: int = 32,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return {layer: Fréchet distance of generated from real, over that of real from real}.

    Both map layers to (n, d). The real rows are split into random halves; each half in turn is what
    the other half and the generated rows are measured from, so 1 means 'as near as other real
    pictures'. As many rows as in the other half are measured: the same ones where row i of both is
    about the same caption (as many generated rows as real ones), else random ones. Where rows share
    a species, name each real row's in `groups` (n,): no species is then in both halves. To compare
    layers of different width at a few hundred samples, all are first projected on the `components`
    leading principal axes of the half that they are measured from. Raises SDNError for fewer than
    four real or two generated rows, shapes that do not fit, and a layer that is the same for all
    real pictures.
    """
    counts = {len(rows) for rows in real.values()}, {len(rows) for rows in generated.values()}
    if any(len(found) != 1 for found in counts):
        raise SDNError(f"layers differ in their numbers of rows: {counts[0]}, {counts[1]}")
    count, made_count = (found.pop() for found in counts)
    if count < 4 or made_count < 2:
        raise SDNError(f"a gap needs 4 real and 2 generated rows, got {count} and {made_count}")
    draw = stream("halves", seed)
    labels = np.arange(count) if groups is None else np.asarray(groups)
    (half,) = _halves([labels], [count])(draw)
    sides = []
    for reference, other in ((half, ~half), (~half, half)):
        ours = theirs = np.flatnonzero(other)
        if made_count != count:
            few = min(len(ours), made_count)
            ours, theirs = draw.permutation(ours)[:few], draw.permutation(made_count)[:few]
        sides.append((np.flatnonzero(reference), ours, theirs))
    gaps = {}
    for name, rows in real.items():
        if name not in generated or generated[name].shape[1:] != rows.shape[1:]:
            raise SDNError(f"layer {name!r} is missing or of another width in the generated rows")
        if constant(rows):
            raise SDNError(f"layer {name!r} is the same for all real pictures: it has no unit")
        apart = []
        for reference, ours, theirs in sides:
            centre = rows[reference].mean(0)
            axes = np.linalg.svd(rows[reference] - centre, full_matrices=False)[2][:components]
            crowds = rows[reference], rows[ours], generated[name][theirs]
            a, b, c = ((x - centre) @ axes.T for x in crowds)
            apart.append((frechet_distance(a, c), frechet_distance(a, b)))
        from_made, from_real = np.sum(apart, axis=0)
        gaps[name] = float(from_made / from_real)
    return gaps


def _halves(
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
    known, fresh = np.zeros(len(names), dtype=bool), []
    for rows in of_rows:
        own = np.unique(rows)
        if len(own) < 2:
            raise SDNError("rows of fewer than two groups cannot be split by group")
        fresh.append(own[~known[own]])
        known[own] = True

    def half(draw: np.random.Generator) -> list[np.ndarray]:
        kept = np.zeros(len(names), dtype=bool)
        for new in fresh:
            kept[draw.permutation(new)[: len(new) // 2]] = True
        return [kept[rows] for rows in of_rows]

    return half


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Return the unbiased squared maximum mean discrepancy of two sets of rows, (n, d) and (m, d).

    With the cubic kernel (x . y / d + 1)^3, after both are standardised by the real rows. About 0
    (slightly negative values occur) for two samples of one distribution; below some fifty real rows
    it is too large, as so few tell their own spread badly. Raises SDNError below two rows, for
    unequal widths and for NaN. Source: Binkowski et al. 2018, Kernel Inception Distance.
    """
    if real.shape[1:] != generated.shape[1:] or min(len(real), len(generated)) < 2:
        raise SDNError(
            f"the kernel distance needs two or more rows of one width, got {real.shape} and "
            f"{generated.shape}"
        )
    check_finite(real, generated)
    mean, scale = real.mean(0), real.std(0) + 1e-6
    x, y = ((rows.astype(np.float64) - mean) / scale for rows in (real, generated))

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def apart(a: np.ndarray) -> float:
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return float(apart(x) + apart(y) - 2 * kernel(x, y).mean())


def interval(
    measure: Callable[..., float],
    *samples: np.ndarray,
    paired: bool = False,
    groups: np.ndarray | Sequence[np.ndarray] | None = None,
    level: float = 0.95,
    draws: int = 100,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return (value, low, high) of a measure of samples: where it lies with confidence `level`.

    From random halves of the rows, the same rows of all samples if `paired`: a half without
    repetition strays from the whole as much as the whole does from the truth. A bootstrap would
    repeat rows, and repeated rows look alike to CKA and to the kernel distance. For measures that
    the sample size does not bias.

    Rows that share a species say less than as many species would. Where some do, name each row's
    species in `groups`: one array (n,) for all samples, or one a sample. Halves are then halves of
    species, drawn once for all samples. Few species widen the interval as Student's t does. Raises
    SDNError for lengths that do not fit, fewer than two rows or groups, a level outside 0..1, and a
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
        groups = [np.arange(n) + start for n, start in zip(counts, starts, strict=True)]
    elif isinstance(groups, np.ndarray) and groups.ndim == 1:
        groups = [groups] * len(samples)
    if len(groups) != len(samples) or (paired and any((g != groups[0]).any() for g in groups)):
        raise SDNError(f"groups of {len(groups)} samples do not fit {len(samples)} samples")
    value, draw, strays = measure(*samples), stream("halves", seed), []
    half = _halves(groups, counts)
    for _ in range(draws):
        kept = half(draw)
        strays.append(measure(*(x[k] for x, k in zip(samples, kept, strict=True))) - value)
    if not np.isfinite(strays).all():
        raise SDNError(f"the measure is no number: {value} of all rows")
    ends = (1 - level) / 2, (1 + level) / 2
    least = min(len(np.unique(labels)) for labels in groups)
    wider = stats.t.ppf(ends[1], least - 1) / stats.norm.ppf(ends[1])
    # Weibull's quantiles: the others of so few draws lie too far inside.
    low, high = wider * np.quantile(strays, ends, method="weibull")
    return value, value - float(high), value - float(low)


def power_spectrum(pictures: np.ndarray) -> np.ndarray:
    """Return the mean power of pictures (n, 3, size, size) by waves across the picture.

    Element k is the mean squared modulus of the grey picture's Fourier coefficients on the ring of
    radius k, from 0 to below size / 2. Raises SDNError for pictures that are not square.
    """
    if pictures.ndim != 4 or pictures.shape[2] != pictures.shape[3]:
        raise SDNError(f"a power spectrum takes pictures (n, 3, size, size), got {pictures.shape}")
    size = pictures.shape[2]
    waves = np.fft.fftfreq(size, 1 / size)
    ring = np.hypot(*np.meshgrid(waves, waves)).round().astype(int).ravel()
    energy = (np.abs(np.fft.fft2(pictures.mean(1))) ** 2).mean(0).ravel()
    return (np.bincount(ring, energy) / np.bincount(ring))[: size // 2]


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
    mean, scale = seen.mean(0), seen.std(0) + 1e-6
    x, z = (seen - mean) / scale, (unseen - mean) / scale
    targets = np.eye(int(max(labels.max(), unseen_labels.max())) + 1)[labels]
    gram = x.T @ x + ridge * len(x) / 100 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, x.T @ (targets - targets.mean(0)))
    guess = (z @ weights + targets.mean(0)).argmax(1)
    return float((guess == unseen_labels).mean())
