from __future__ import annotations

import hashlib
import pickle
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from matconvnet import matconvnet
from safetensors.torch import save_file
from scipy.io import savemat

from sdn_lib.errors import SDNError
from sdn_lib.learning import checkpoints
from sdn_lib.runs import weights
from sdn_lib.teacher import Teacher

ROOT = Path(__file__).resolve().parents[2]

DEPTH = 11


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return torchvision.models.vgg11(weights=None).eval()


@pytest.fixture(scope="module")
def state(theirs):
    return {k: v for k, v in theirs.state_dict().items() if k.startswith("features.")}


@pytest.fixture(scope="module")
def pth(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg11.pth"
    torch.save(state, path)
    return path


def random_kernels(seed=0):
    rng = np.random.default_rng(seed)
    found = {}
    for name, conv in Teacher(DEPTH).convs.items():
        shape = conv.weight.permute(2, 3, 1, 0).shape
        found[name] = (
            rng.standard_normal(shape, dtype=np.float32),
            rng.standard_normal(shape[-1], dtype=np.float32),
        )
    head = np.zeros((7, 7, 4, 8), np.float32)
    return {**found, "fc6": (head, np.zeros(8, np.float32))}


def test_torchvision_s_weights_give_torchvision_s_activations(theirs, pth, tmp_path):
    meta = weights.convert(pth, tmp_path / "out.safetensors", DEPTH)
    ours = weights.load(tmp_path / "out.safetensors", pooling="max")
    images = torch.rand(1, 3, 64, 64)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(ours(images)["pool5"], theirs.features((images - mean) / std))
    assert meta["sha256"] == hashlib.sha256(pth.read_bytes()).hexdigest()
    assert (meta["network"], meta["preprocessing"], meta["checked"]) == ("vgg11", "imagenet", False)


def test_safetensors_give_what_the_pickle_gives(state, pth, tmp_path):
    save_file(state, tmp_path / "vgg11.safetensors")
    for a, b in zip(
        weights.read_state_dict(tmp_path / "vgg11.safetensors"),
        weights.read_state_dict(pth),
        strict=True,
    ):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


@pytest.mark.parametrize("old", [False, True])
def test_matconvnet_s_nesting_is_read_in_either_age(old, tmp_path):
    kernels = random_kernels()
    path = matconvnet(tmp_path / "vgg.mat", kernels, old)
    meta = weights.convert(path, tmp_path / "out.safetensors", DEPTH)
    teacher = weights.load(tmp_path / "out.safetensors")
    assert teacher.preprocessing == meta["preprocessing"] == "matconvnet"
    for name, conv in teacher.convs.items():
        weight, bias = kernels[name]
        np.testing.assert_array_equal(conv.weight.permute(2, 3, 1, 0).numpy(), weight)
        np.testing.assert_array_equal(conv.bias.numpy(), bias)


def test_an_order_without_kernels_that_have_one_is_refused(tmp_path):
    (tmp_path / "vgg19.pth").touch()
    with pytest.raises(SDNError, match="vgg19.pth is no .mat, whose kernels have an order"):
        weights.convert(tmp_path / "vgg19.pth", tmp_path / "out.safetensors", order="wh")


def test_the_other_order_transposes_every_kernel(tmp_path):
    path = matconvnet(tmp_path / "vgg.mat", random_kernels())
    one, other = (weights.read_matconvnet(path, order) for order in weights.ORDERS)
    for (a, _), (b, _) in zip(one, other, strict=True):
        assert torch.equal(a.transpose(2, 3), b) and not torch.equal(a, b)


def test_matconvnet_preprocessing_is_rgb_255_minus_the_mean():
    images = torch.rand(1, 3, 32, 32)
    fed = Teacher(11, 1 / 16, preprocessing="matconvnet").preprocess(images)
    torch.testing.assert_close(fed[:, 0], images[:, 0] * 255 - 123.68)
    torch.testing.assert_close(fed[:, 2], images[:, 2] * 255 - 103.939)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_torchvision_s_table_states_a_checksum(depth):
    address, prefix = weights.torchvision_file(depth)
    assert address.startswith("https://") and f"vgg{depth}-{prefix}.pth" in address
    assert len(prefix) == 8 and int(prefix, 16)


def test_a_name_with_a_checksum_is_held_to_it(pth, tmp_path):
    right = hashlib.sha256(pth.read_bytes()).hexdigest()[:8]
    good, bad = tmp_path / f"vgg11-{right}.pth", tmp_path / "vgg11-deadbeef.pth"
    for path in (good, bad):
        path.write_bytes(pth.read_bytes())
    assert weights.convert(good, tmp_path / "out.safetensors", DEPTH)["checked"]
    with pytest.raises(SDNError, match="vgg11-deadbeef.pth has the SHA-256"):
        weights.convert(bad, tmp_path / "no.safetensors", DEPTH)
    with pytest.raises(SDNError, match="wanted 00ff"):
        weights.convert(pth, tmp_path / "no.safetensors", DEPTH, sha256="00ff")
    assert not (tmp_path / "no.safetensors").exists()


def test_no_network_says_where_to_put_the_file(monkeypatch, tmp_path):
    def refused(address, *_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(SDNError, match="fetch it by hand and put it at .*vgg19-"):
        weights.convert("torchvision", tmp_path / "out.safetensors")


class Attack:
    def __reduce__(self):
        return (print, ("the pickle ran",))


def _spoilt(kind, folder, pth, state):
    path = folder / "spoilt.pth"
    if kind == "attack":
        path.write_bytes(pickle.dumps(Attack(), protocol=2))
    elif kind == "cut":
        path.write_bytes(pth.read_bytes()[:-1000])
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "keys":
        torch.save({"weight": torch.zeros(1)}, path)
    elif kind == "bias":
        torch.save({k: v for k, v in state.items() if k != "features.3.bias"}, path)
    elif kind == "numbers":
        torch.save({**state, "features.3.weight": [1.0, 2.0]}, path)
    elif kind == "nan":
        torch.save({**state, "features.3.bias": state["features.3.bias"] * np.nan}, path)
    elif kind == "shape":
        torch.save({**state, "features.3.weight": torch.zeros(1, 2, 3, 3)}, path)
    elif kind == "mat":
        path = path.with_suffix(".mat")
        path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    elif kind == "no layers":
        path = path.with_suffix(".mat")
        savemat(path, {"meta": 1})
    elif kind == "no convolutions":
        path = matconvnet(path.with_suffix(".mat"), random_kernels(), keep=slice(1, 2))
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("attack", "more than tensors"),
        ("cut", "no state dict, or damaged"),
        ("list", "holds a list"),
        ("keys", "no 'features.N.weight'"),
        ("bias", "no 'features.3.bias'"),
        ("numbers", "features.3 holds something else than tensors"),
        ("nan", "conv2_1 holds a number that is not finite"),
        ("shape", r"conv2_1 of VGG11 needs \(128, 64, 3, 3\)"),
        ("mat", "no MATLAB 5 file, or damaged|no 'layers'"),
        ("no layers", "no 'layers'"),
        ("no convolutions", "no 3x3 convolution"),
        ("absent", "is missing"),
    ],
)
def test_bad_weights_name_the_file_and_write_nothing(kind, words, pth, state, tmp_path, capsys):
    path = _spoilt(kind, tmp_path, pth, state)
    with pytest.raises(SDNError, match=words) as error:
        weights.convert(path, tmp_path / "out.safetensors", DEPTH)
    assert "spoilt" in str(error.value)
    assert not list(tmp_path.glob("*out*"))
    assert "the pickle ran" not in capsys.readouterr().out


def test_another_depth_is_named(pth, tmp_path):
    with pytest.raises(SDNError, match="8 convolutions, VGG19 has 16"):
        weights.convert(pth, tmp_path / "out.safetensors", 19)


def test_preprocessing_belongs_to_the_weights(pth, tmp_path):
    weights.convert(pth, tmp_path / "out.safetensors", DEPTH)
    assert weights.load(tmp_path / "out.safetensors").preprocessing == "imagenet"
    with pytest.raises(SDNError, match="'imagenet', not 'unit'"):
        weights.load(tmp_path / "out.safetensors", preprocessing="unit")
    checkpoints.save(tmp_path / "bare.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(SDNError, match="does not say how"):
        weights.load(tmp_path / "bare.safetensors")


def test_the_script_converts_and_reports(pth, tmp_path, capsys):
    main = runpy.run_path(str(ROOT / "data_scripts" / "convert_weights.py"))["main"]
    out = tmp_path / "made" / "vgg11.safetensors"
    assert main([str(pth), str(out), "--depth", "11"]) == 0
    assert "vgg11 from vgg11.pth" in capsys.readouterr().out
    assert main([str(pth), str(out), "--depth", "19"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
