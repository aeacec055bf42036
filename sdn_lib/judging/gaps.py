"""The two gaps, measured at every layer.

The heterogeneous gap lies between captions and pictures: one minus the debiased linear CKA of
caption embeddings and pooled activations. The homogeneous gap lies between generated and real
pictures: the Fréchet distance of pooled activations, in units of real against real.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sdn_lib import devices
from sdn_lib.errors import SDNError
from sdn_lib.judging.distances import check_finite, frechet_distance
from sdn_lib.judging.statistics import half_sampler
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
                pooled = devices.average_cells(x.float(), cells).flatten(1)
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
    own = unbiased_hsic(k, k) * unbiased_hsic(m, m)
    if own <= 0:
        raise SDNError("a view is constant: CKA is undefined there")
    return float(unbiased_hsic(k, m) / np.sqrt(own))


def constant(x: np.ndarray) -> bool:
    """Say whether the rows of x (n, d) are one and the same, up to float32's rounding."""
    return bool(np.ptp(x, axis=0).max() <= 1e-5 * np.abs(x).max())


def unbiased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Return the unbiased Hilbert-Schmidt independence of two kernel matrices (n, n)."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    row_k, row_m = k.sum(1), m.sum(1)
    value = (k * m).sum() + row_k.sum() * row_m.sum() / ((n - 1) * (n - 2))
    return (value - 2 * (row_k @ row_m) / (n - 2)) / (n * (n - 3))


def heterogeneous_gap(texts: np.ndarray, activations: Mapping[str, np.ndarray]) -> dict[str, float]:
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
    (half,) = half_sampler([labels], [count])(draw)
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
        distances = []
        for reference, ours, theirs in sides:
            centre = rows[reference].mean(0)
            axes = np.linalg.svd(rows[reference] - centre, full_matrices=False)[2][:components]
            samples = rows[reference], rows[ours], generated[name][theirs]
            a, b, c = ((x - centre) @ axes.T for x in samples)
            distances.append((frechet_distance(a, c), frechet_distance(a, b)))
        to_generated, to_real = np.sum(distances, axis=0)
        gaps[name] = float(to_generated / to_real)
    return gaps
