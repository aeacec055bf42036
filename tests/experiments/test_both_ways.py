"""The student of photographs that face both ways differs in those photographs alone.

On the CPU and on another device.
"""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from small_photographs import prepare, profile_of

from sdn_lib import runs
from sdn_lib.errors import SDNError
from sdn_lib.experiments import both_ways
from sdn_lib.learning import log


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("both")
    prepare(folder / "turned", lit=True)
    prepare(folder / "plain", lit=True, mirrored=True)
    return folder


@pytest.fixture(scope="module")
def p(folder, device):
    own = f"{folder}/runs-{device.type}"
    return dataclasses.replace(profile_of(folder / "turned"), output_dir=own)


def losses_of(folder):
    return [entry["losses"] for entry in log.read(folder / "stage_one" / "log.jsonl")]


def painted(student, p):
    torch.manual_seed(0)
    return runs.paint_embeddings(student, torch.randn(4, p.network.text_dim))


def test_it_is_the_profiles_own_student_on_other_pictures(p, folder):
    own = painted(runs.student("stage_two", p).model, p)
    same = both_ways.as_they_are(p, str(folder / "turned"))
    with pytest.raises(SDNError, match="other settings .as_they_are is"):
        both_ways.as_they_are(p, str(folder / "plain"))
    (p.runs / both_ways.FOLDER).rename(p.runs / "same")
    other = both_ways.as_they_are(p, str(folder / "plain"))
    losses = [entry["losses"] for entry in runs.get("stage_one", p).log]
    assert losses_of(p.runs / "same") == losses
    assert losses_of(p.runs / both_ways.FOLDER)[0] != losses[0]
    # Stage two begins with weights that were not rounded to be stored.
    near, far = (float((painted(x, p) - own).abs().mean()) for x in (same, other))
    assert near < 0.01
    assert far > 0.02
    again = both_ways.as_they_are(p, str(folder / "plain"))
    assert torch.equal(painted(again, p), painted(other, p))


def test_other_photographs_are_refused(p, folder):
    prepare(folder / "other", words="fish")
    with pytest.raises(SDNError, match="prepare the same ones, without --facing"):
        both_ways.as_they_are(p, str(folder / "other"))


def test_distances_are_from_both_sets_of_photographs(p, folder, monkeypatch):
    class Judge:
        def __call__(self, images):
            halves = images.float().unflatten(3, (2, -1)).mean((2, 4))
            return {"features": halves.flatten(1)}

    monkeypatch.setattr(both_ways.networks, "efficientnet_network", lambda variant: Judge())
    monkeypatch.setattr(both_ways.devices, "borrowed", lambda *_: nullcontext(torch.device("cpu")))
    students = {"stage_two": runs.student("stage_two", p).model}
    found = both_ways.distances(p, str(folder / "plain"), students)
    assert found["real"]["facing one way"] == pytest.approx(0, abs=1e-3)
    assert found["real"]["as they are"] > 1
    assert found["stage_two"]["facing one way"] > found["real"]["facing one way"]
