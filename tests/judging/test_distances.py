from __future__ import annotations

import numpy as np
import pytest
import torch

from sdn_lib import judging
from sdn_lib.errors import SDNError
from sdn_lib.judging import distances


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def test_frechet_distance_closed_form():
    draw = np.random.default_rng(0)
    real = draw.normal(size=(50_000, 3))
    other = draw.normal(size=(50_000, 3)) * 2 + np.array([1.0, 0, 0])
    # |mean difference|^2 + sum (1 - 2)^2
    assert judging.frechet_distance(real, other) == pytest.approx(1 + 3, rel=0.03)
    assert judging.frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    few = draw.normal(size=(30, 44))
    assert 0 <= judging.frechet_distance(few, few) < 1e-6


def test_frechet_distance_grows_with_corruption():
    draw = np.random.default_rng(0)
    real = draw.normal(size=(500, 8))
    values = [
        judging.frechet_distance(real, real[::-1] + s * draw.normal(size=real.shape))
        for s in (0.0, 0.3, 1.0, 3.0)
    ]
    assert values == sorted(values)
    with pytest.raises(SDNError, match="alike"):
        judging.frechet_distance(real, real[:, :4])
    with pytest.raises(SDNError, match="at least two"):
        judging.frechet_distance(real, real[:1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_no_number_is_refused_and_its_row_named(wrong):
    draw = np.random.default_rng(0)
    real, broken = draw.random((20, 32, 32, 3)), draw.random((20, 32, 32, 3))
    broken[7, 3] = wrong
    flat, bad = (x[:, 3, :4].reshape(20, -1) for x in (real, broken))
    labels = np.arange(20) % 2
    for measure in (
        lambda: judging.frechet_distance(flat, bad),
        lambda: judging.structure(broken, real),
        lambda: judging.linear_cka(flat, bad),
        lambda: judging.kernel_distance(flat, bad),
        lambda: judging.probe_accuracy(flat, labels, bad, labels),
    ):
        with pytest.raises(SDNError, match="1 of 20 rows hold NaN or infinity, the first is row 7"):
            measure()


def test_kernel_distance_by_hand():
    # Standardised rows of one column: real -1, 1; generated 2, 0 in the real rows' units.
    real, made = np.array([[-1.0], [1.0]]), np.array([[2.0], [0.0]])
    k = lambda a, b: (a * b + 1) ** 3  # noqa: E731
    wanted = k(-1, 1) + k(2, 0) - 2 * (k(-1, 2) + k(-1, 0) + k(1, 2) + k(1, 0)) / 4
    assert judging.kernel_distance(real, made) == pytest.approx(wanted, rel=1e-4)
    with pytest.raises(SDNError, match="rows of one width"):
        judging.kernel_distance(real, np.zeros((2, 3)))


@pytest.mark.parametrize("count", [20, 200])
def test_kernel_distance_of_one_distribution_has_no_bias(draw, count):
    values = [
        judging.kernel_distance(draw.normal(size=(400, 8)), draw.normal(size=(count, 8)))
        for _ in range(30)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(30)


def kernel_inception_distance(real, made):
    pairs = (real, real), (made, made), (real, made)
    return distances.discrepancy(*(distances.cubic_kernel(*pair) for pair in pairs))


def test_the_discrepancy_of_cubic_kernels_is_the_kernel_inception_distance(draw):
    from torchmetrics.image.kid import poly_mmd

    real, made = draw.normal(1, 1, (60, 8)), draw.normal(1.2, 1, (60, 8))
    wanted = poly_mmd(torch.from_numpy(real), torch.from_numpy(made))
    assert kernel_inception_distance(real, made) == pytest.approx(float(wanted), rel=1e-6)


def test_a_feature_that_real_pictures_lack_outweighs_all_when_standardised(draw):
    real, made = draw.random((100, 8)), draw.random((100, 8))
    real[:, 0] = 0
    assert judging.kernel_distance(real, made) > 1e6
    assert abs(kernel_inception_distance(real, made)) < 0.2


def test_kernel_distance_grows_with_corruption(draw):
    real, fresh = draw.normal(size=(400, 8)), draw.normal(size=(400, 8))
    for corrupt in (lambda s: fresh * (1 - s), lambda s: fresh + 2 * s):
        values = [judging.kernel_distance(real, corrupt(s)) for s in (0, 0.3, 0.6, 0.9)]
        assert values == sorted(values) and values[-1] > 0.1
