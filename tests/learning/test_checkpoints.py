from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from sdn_lib.learning import checkpoints
from sdn_lib.learning.checkpoints import CheckpointError


def net(width=4):
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2))


def test_weights_round_trip_in_half_precision(tmp_path):
    model, other = net(), net()
    nn.init.zeros_(other[0].weight)
    checkpoints.save_weights(tmp_path / "w.safetensors", model, {"name": "net"})
    assert checkpoints.load_weights(tmp_path / "w.safetensors", other) == {"name": "net"}
    assert other[0].weight.dtype == torch.float32
    torch.testing.assert_close(other[0].weight, model[0].weight.half().float())
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_state_round_trip_is_exact(tmp_path):
    model = net()
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.rand(5, 3)).sum().backward()
    optimiser.step()
    checkpoints.save_state(tmp_path / "s.safetensors", model, optimiser, {"step": 1})
    again = net()
    fresh = torch.optim.Adam(again.parameters())
    assert checkpoints.load_state(tmp_path / "s.safetensors", again, fresh) == {"step": 1}
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            assert torch.equal(fresh.state_dict()["state"][index][key], value)


def test_optimiser_state_takes_the_parameters_memory_format(tmp_path):
    def made():
        torch.manual_seed(0)
        return nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)

    images = torch.rand(1, 4, 5, 5)

    def step(model, optimiser):
        optimiser.zero_grad()
        model(images).square().mean().backward()
        optimiser.step()

    whole, parts = made(), made()
    adams = [torch.optim.Adam(m.parameters(), fused=True) for m in (whole, parts)]
    step(whole, adams[0])
    checkpoints.save_state(tmp_path / "s.safetensors", whole, adams[0], {})
    checkpoints.load_state(tmp_path / "s.safetensors", parts, adams[1])
    step(whole, adams[0])
    step(parts, adams[1])
    assert torch.equal(whole.weight, parts.weight)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    checkpoints.save_weights(path, net(), {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="w.safetensors is damaged"):
        checkpoints.load_weights(path, net())


def test_another_architecture_names_the_key_and_leaves_the_module_alone(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoints.save_weights(path, net(4), {})
    target = net(5)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"'0.weight' has shape \(4, 3\).*needs \(5, 3\)"):
        checkpoints.load_weights(path, target)
    with pytest.raises(CheckpointError, match="has no '2.weight'"):
        checkpoints.load_weights(path, nn.Sequential(*net(4), nn.Linear(2, 2)))
    with pytest.raises(CheckpointError, match=r"holds .1\.(bias|weight)"):
        checkpoints.load_weights(path, nn.Sequential(net(4)[0]))
    assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nothing.safetensors is missing"):
        checkpoints.read(tmp_path / "nothing.safetensors")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.safetensors"
    checkpoints.save_weights(path, net(), {"version": 1})
    with pytest.raises(TypeError):
        checkpoints.save(path, {"a": torch.zeros(1)}, {"version": object()})
    assert checkpoints.read_meta(path) == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_trained_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        checkpoints.save(tmp_path / "w.safetensors", {"a": torch.zeros(2)}, {})
    finally:
        os.umask(before)
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_what_is_cached_is_made_once_for_its_key(tmp_path, monkeypatch):
    path, made = tmp_path / "new" / "seen.safetensors", []

    def make():
        made.append(torch.full((2,), float(len(made))))
        return made[-1]

    for key in ({"data": "a"}, {"data": "a"}, {"data": "b"}):
        found = checkpoints.cached(path, "seen", key, make)
        assert torch.equal(found, made[-1])
    assert len(made) == 2
    path.write_bytes(path.read_bytes()[:-3])
    assert torch.equal(checkpoints.cached(path, "seen", {"data": "b"}, make), made[2])
    with monkeypatch.context() as patch:  # as in a folder that may not be written
        patch.setattr(checkpoints.files, "alone", None)
        assert torch.equal(checkpoints.cached(path, "seen", {"data": "b"}, make), made[2])
