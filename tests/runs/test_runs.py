"""Load, else train, on the smoke profile in a folder of its own."""

from __future__ import annotations

import dataclasses
import json
import shutil
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch

from sdn_lib import experiments, learning, profiles, runs, vgg
from sdn_lib.errors import SDNError
from sdn_lib.experiments import photographs
from sdn_lib.learning import checkpoints


@pytest.fixture(scope="module")
def trained(p):
    return {name: runs.get(name, p) for name in runs.NAMES}


def test_the_data_set_is_painted_once(p, trained, monkeypatch):
    monkeypatch.setattr(runs.data.painted_birds, "generate", None)
    data = runs.dataset(p)
    assert len(data) == 24 * 8 and data.size == 32
    images = runs.images(data, data.indices("train")[:3])
    assert images.shape == (3, 3, 32, 32) and 0 <= images.min() < images.max() <= 1


def test_everything_is_trained_once_and_then_loaded(p, trained):
    assert trained["evaluator"].how == "trained"
    for name, run in trained.items():
        again = runs.get(name, p)
        assert again.how == "loaded" and again.log == run.log
        for key, value in run.model.state_dict().items():
            assert torch.equal(again.model.state_dict()[key], value)
        assert not any(q.requires_grad for q in again.model.parameters())
    task, _ = runs.make_task("evaluator", p)
    learning.fit(task, p.evaluator)
    fitted = task.state_dict()
    for key, value in trained["evaluator"].model.state_dict().items():
        assert torch.equal(value, fitted[key].half().to(value.dtype)), key


def test_a_run_carries_what_made_it(p, trained):
    for name, run in trained.items():
        config = json.loads((run.folder / "config.json").read_text())
        assert config["command"] == f"sdn train {name} --profile smoke"
        assert config["settings"]["training"][name]["seed"] == getattr(p, name).seed
        assert {"hardware", "commit", "data", "seconds"} <= set(config)
        assert run.log[-1]["step"] == getattr(p, name).steps
        left = {path.name for path in run.folder.iterdir()}
        assert left - {"time_lapse.png", "time_lapse.json"} == {
            "config.json", "log.jsonl", "weights.safetensors"
        }  # fmt: skip


def test_the_teacher_that_remains_is_plain_vgg(p, trained):
    table = vgg.layers(p.network.depth, p.network.width)
    convs = [layer.name for layer in table if layer.kind == "conv"]
    keys = trained["teacher"].model.state_dict()
    assert set(keys) == {f"convs.{name}.{part}" for name in convs for part in ("weight", "bias")}


def test_stage_two_starts_from_stage_one(p, trained):
    task, _ = runs.make_task("stage_two", p, whole=False)
    assert task.student.norms and not trained["stage_one"].model.norms
    start = task.student.fold().state_dict()
    for key, value in trained["stage_one"].model.state_dict().items():
        assert torch.equal(start[key], value)


def test_a_student_without_norm_trains_too(p, trained):
    plain = dataclasses.replace(p.network, student_norm=False)
    other = dataclasses.replace(p, network=plain)
    run = runs.train_live("stage_one", other)
    assert run.log and not run.model.norms
    difference = runs.first_difference(
        runs.expected_config("teacher", p), runs.expected_config("teacher", other)
    )
    assert not difference, "the teacher does not depend on the student"
    with pytest.raises(SDNError, match="student_norm is True, wanted False"):
        runs.get("stage_one", other)


def test_a_rehearsal_follows_the_recorded_training(p, trained):
    live = runs.train_live("teacher", p)
    recorded = {entry["step"]: entry["total"] for entry in trained["teacher"].log}
    assert live.log[-1]["step"] == p.live_steps
    for entry in live.log:
        assert entry["total"] == pytest.approx(recorded[entry["step"]], rel=1e-3)


def test_a_text_batch_holds_different_species_and_mostly_hard_ones(p, trained):
    task, _ = runs.make_task("text", p)
    shared = []
    for step in range(40):
        features = task.sample(step, seed=0, batch=8)["features"]
        rows = [int(torch.nonzero((task.seen == f).all(1))[0, 0]) for f in features]
        assert len(set(task.species[rows])) == 8
        shared.append((task.attributes[rows] == task.attributes[rows[0]]).all(0).sum())
    assert 0.5 < np.mean(np.array(shared) >= 1) < 1, "three in four batches share some attribute"


def test_embedded_beforehand_and_encoded_on_the_way_agree(p, trained):
    whole, _ = runs.make_task("stage_one", p)
    live, _ = runs.make_task("stage_one", p, whole=False)
    a, b = (task.sample(0, 3, 16) for task in (whole, live))
    torch.testing.assert_close(a["images"], b["images"])
    text = trained["text"].model(b["characters"])
    torch.testing.assert_close(a["text"], text, rtol=1e-2, atol=1e-2)


def test_captions_of_one_picture_stand_together(p, trained):
    data, encoder = runs.dataset(p), trained["text"].model
    table = np.zeros((len(data), p.data.captions, 2), np.float32)
    table[..., 0], table[..., 1] = np.mgrid[: len(data), : p.data.captions]

    def batches(pairs, steps, together=5):
        task = learning.DistillationTask(
            data, None, None, encoder, None, table, pairs=pairs, together=together
        )
        samples = [task.sample(step, 1, 10) for step in range(steps)]
        return task, samples

    for pairs in (False, True):
        task, (sample,) = batches(pairs, 1)
        assert sample["images"].shape[0] == 2 and sample["text"].shape[0] == 10
        seen = sample["text"].view(2, 5, 2)
        assert (seen[:, :, 0] == seen[:, :1, 0]).all(), "five captions of one picture in a row"
        assert all(len(set(group[:, 1].tolist())) == 5 for group in seen)
        rows = seen[:, 0, 0].long().numpy()
        torch.testing.assert_close(sample["images"], runs.images(data, rows))
        assert not task.divisible
    steps = len(task.rows) * p.data.captions // 10
    _, epoch = batches(True, steps)
    pairs = {tuple(pair) for sample in epoch for pair in sample["text"].tolist()}
    assert len(pairs) == steps * 10, "an epoch has every pair once"
    with pytest.raises(SDNError, match="captions_together is 3: take a divisor of 10"):
        batches(False, 1, together=3)
    with pytest.raises(SDNError, match="batch 5 is no multiple of captions_together, 10"):
        task = learning.DistillationTask(data, None, None, encoder, None, table, together=10)
        task.sample(0, 0, 5)


@pytest.mark.parametrize(("setting", "value"), [("captions_together", 2), ("compiled", True)])
def test_a_later_setting_makes_another_run_unless_it_is_the_default(p, setting, value):
    changed = profiles.load("smoke", **{f"stage_one__{setting}": value})
    alone = runs.expected_config("stage_one", p)["training"]["stage_one"]
    assert not alone.keys() & runs.settings.LATER.keys()
    assert runs.expected_config("stage_one", changed)["training"]["stage_one"] == {
        **alone, setting: value
    }  # fmt: skip


@pytest.mark.parametrize("name", ["teacher", "stage_two"])
def test_a_compiled_training_is_one_graph_and_learns_the_same(p, trained, name, monkeypatch):
    compile_ = torch.compile
    # Without a compiler for the machine: what is checked is that nothing falls out of the graph.
    whole = {"backend": "aot_eager", "fullgraph": True}
    monkeypatch.setattr(torch, "compile", lambda module: compile_(module, **whole))
    losses, moved = {}, {}
    for compiled in (False, True):
        settings = dataclasses.replace(
            runs.train_config(name, p), steps=4, log_every=1, compiled=compiled
        )
        task, finish = runs.make_task(name, p)
        before = [w.detach().clone() for w in task.parameters()]
        log = learning.fit(task, settings)
        moved[compiled] = sum(
            float((w.detach() - b).abs().sum())
            for w, b in zip(task.parameters(), before, strict=True)
        )
        finish()
        losses[compiled] = [entry["total"] for entry in log]
    assert losses[True] == pytest.approx(losses[False], rel=5e-3)
    assert moved[True] == pytest.approx(moved[False], rel=0.1) and moved[False] > 0


def test_time_lapse_can_be_read_back(p, trained):
    frames, captions, rows = runs.read_time_lapse(trained["stage_two"].folder)
    assert sorted(frames)[0] == 0 and sorted(frames)[-1] == p.stage_two.steps
    assert all(f.shape == (8, 32, 32, 3) for f in frames.values()) and len(captions) == 8
    encoder, student = trained["text"].model, trained["stage_two"].model
    last = runs.paint(student, encoder, captions).permute(0, 2, 3, 1).numpy()
    assert np.abs(last * 255 - frames[p.stage_two.steps]).max() <= 3, "float16 against float32"


def test_a_time_lapse_may_have_a_row_more_than_its_list(p, trained, tmp_path):
    for name in ("time_lapse.png", "time_lapse.json"):
        shutil.copy(trained["stage_two"].folder / name, tmp_path)
    whole, _, _ = runs.read_time_lapse(tmp_path)
    facts = json.loads((tmp_path / "time_lapse.json").read_text())
    for fewer in (1, 2):
        listed = facts | {"steps": facts["steps"][:-fewer]}
        (tmp_path / "time_lapse.json").write_text(json.dumps(listed))
        with nullcontext() if fewer == 1 else pytest.raises(SDNError, match="belong together"):
            found, _, _ = runs.read_time_lapse(tmp_path)
            assert list(found) == facts["steps"][:-1]
            assert all(np.array_equal(found[step], whole[step]) for step in found)


def test_a_finished_training_is_not_done_again(p, trained, home, capsys):
    again = runs.train("teacher", p)
    assert again.how == "loaded" and again.folder == trained["teacher"].folder
    longer = dataclasses.replace(p, teacher=dataclasses.replace(p.teacher, steps=30))
    with pytest.raises(SDNError, match="trained with other settings.*steps is 20, wanted 30"):
        runs.train("teacher", longer)


def test_a_copy_that_was_cut_off_is_no_run(p, trained, home):
    shipped = home / "results" / "smoke" / "text"
    runs.keep({"text": trained["text"]}, shipped.parent)
    elsewhere = dataclasses.replace(p, output_dir=str(home / "cut"))
    runs.keep({"teacher": trained["teacher"]}, home / "cut")
    assert runs.get("text", elsewhere).folder == shipped
    (shipped / "weights.safetensors").unlink()
    assert runs.get("text", elsewhere).how == "trained"
    shutil.rmtree(shipped)


def test_a_batch_of_one_is_refused_before_it_is_trained(p):
    alone = dataclasses.replace(p, stage_one=dataclasses.replace(p.stage_one, batch=1))
    with pytest.raises(SDNError, match="stage_one.batch is 1: .*2 or more"):
        runs.make_task("stage_one", alone)


def test_other_settings_are_another_run(p, trained):
    other = dataclasses.replace(p, network=dataclasses.replace(p.network, fc_width=32))
    with pytest.raises(SDNError, match=r"network.stage_one.fc_width is 64, wanted 32.*output_dir"):
        runs.get("stage_one", other)


def test_shipped_runs_are_loaded_and_those_of_other_settings_passed_over(p, trained, home):
    shipped = home / "results" / "smoke" / "evaluator"
    shipped.mkdir(parents=True)
    for path in trained["evaluator"].folder.iterdir():
        (shipped / path.name).write_bytes(path.read_bytes())
    elsewhere = dataclasses.replace(p, output_dir=str(home / "elsewhere"))
    assert runs.get("evaluator", elsewhere).folder == shipped
    shorter = dataclasses.replace(elsewhere, evaluator=dataclasses.replace(p.evaluator, steps=2))
    assert runs.get("evaluator", shorter).how == "trained"


def test_an_interrupted_run_is_resumed_and_one_of_other_settings_refused(p, trained, home):
    folder = home / "partial" / "teacher"
    fresh = dataclasses.replace(p, output_dir=str(home / "partial"))
    whole = runs.train("teacher", fresh)
    for path in folder.iterdir():
        path.unlink()
    task, _ = runs.make_task("teacher", fresh)
    learning.fit(task, fresh.teacher, folder, stop_after=7)
    with pytest.raises(SDNError, match="unfinished training without its settings.json"):
        runs.train("teacher", fresh)
    (folder / "settings.json").write_text(json.dumps(runs.expected_config("teacher", fresh)))
    longer = dataclasses.replace(fresh, teacher=dataclasses.replace(p.teacher, steps=30))
    with pytest.raises(SDNError, match="unfinished training.*steps is 20, wanted 30"):
        runs.train("teacher", longer)
    resumed = runs.train("teacher", fresh)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value)


def test_a_refused_setting_does_not_stand_in_the_way_of_its_remedy(p, home):
    own = dataclasses.replace(p, output_dir=str(home / "refused"))
    lonely = dataclasses.replace(own, stage_one=dataclasses.replace(p.stage_one, batch=1))
    with pytest.raises(SDNError, match="give it 2 or more"):
        runs.train("stage_one", lonely)
    assert runs.train("stage_one", own).how == "trained"
    frames, _, _ = runs.read_time_lapse(own.runs / "stage_one")
    assert max(frames) == own.stage_one.steps


def test_damage_is_named(p, trained, home):
    folder = home / "damaged" / "evaluator"
    folder.mkdir(parents=True)
    for path in trained["evaluator"].folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    damaged = dataclasses.replace(p, output_dir=str(home / "damaged"))
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(checkpoints.CheckpointError, match="weights.safetensors is damaged"):
        runs.get("evaluator", damaged)
    (folder / "config.json").write_text("{")
    with pytest.raises(SDNError, match="config.json cannot be read"):
        runs.get("evaluator", damaged)
    with pytest.raises(SDNError, match="unknown run 'student'"):
        runs.get("student", p)


def test_what_another_process_trained_meanwhile_is_compared_too(p, trained, home, monkeypatch):
    other = dataclasses.replace(p, output_dir=str(home / "meanwhile"), seed=0)
    shorter = dataclasses.replace(other, evaluator=dataclasses.replace(p.evaluator, steps=3))

    @contextmanager
    def trained_while_waiting(path):
        shutil.copytree(trained["evaluator"].folder, path)
        yield

    monkeypatch.setattr(runs.store.files, "alone", trained_while_waiting)
    with pytest.raises(SDNError, match="trained with other settings .*steps is 20, wanted 3"):
        runs.get("evaluator", shorter)


def test_a_run_that_is_no_student_paints_nothing(p, tmp_path):
    for name in ("teacher", "text", "evaluator"):
        said = f"run '{name}' is no student: choose from 'baseline', 'stage_one', 'stage_two'"
        with pytest.raises(SDNError, match=said):
            experiments.evaluate(p, [name])
        with pytest.raises(SDNError, match=said):
            photographs.generate(p, name, tmp_path)
    with pytest.raises(SDNError, match="unknown run 'stage_tow': did you mean 'stage_two'"):
        runs.student("stage_tow", p)


@pytest.mark.parametrize("damage", ["", "{", "[]", "null"])
def test_damaged_records_are_named_or_heal(p, trained, home, tmp_path, damage):
    folder = tmp_path / "stage_two"
    shutil.copytree(trained["stage_two"].folder, folder)
    (folder / "time_lapse.json").write_text(damage)
    with pytest.raises(SDNError, match="time_lapse.json .*restore it, or train again"):
        runs.read_time_lapse(folder)
    encoder = trained["text"].model
    (folder / "state.safetensors").touch()
    lapse = runs.TimeLapse(runs.dataset(p), encoder, p.stage_two.steps, folder)
    assert lapse.frames == {}, "the training goes on without"

    path = home / "results" / "smoke" / "evaluation.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(damage)
    with pytest.raises(SDNError, match="evaluation.json .*restore it, or delete it"):
        experiments.evaluation_of(p)
    path.unlink()

    fresh = dataclasses.replace(p, output_dir=str(tmp_path))
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "state.safetensors").touch()
    (tmp_path / "teacher" / "settings.json").write_text(damage)
    with pytest.raises(SDNError, match="settings.json .*delete .*teacher and train again"):
        runs.get("teacher", fresh)


def test_a_time_lapse_of_other_values_is_named(trained, tmp_path):
    shutil.copy(trained["stage_two"].folder / "time_lapse.png", tmp_path)
    (tmp_path / "time_lapse.json").write_text('{"steps": 3, "captions": 8, "rows": null}')
    with pytest.raises(SDNError, match="time_lapse.json lists no captions, steps or rows: restore"):
        runs.read_time_lapse(tmp_path)


def test_a_damaged_cache_of_embeddings_is_made_again(p, trained):
    table = runs.embeddings(p)
    path = p.runs / "embeddings.safetensors"
    part = path.read_bytes()[:100]
    path.unlink()  # the table is a view of it
    path.write_bytes(part)
    assert np.array_equal(runs.embeddings(p), table)


def test_shipped_weights_of_the_book_are_small_and_complete():
    shipped = profiles.BESIDE / "results" / "cpu"
    if not shipped.exists():
        pytest.skip("results/cpu is not here")
    sizes = [(shipped / name / "weights.safetensors").stat().st_size for name in runs.NAMES]
    assert sum(sizes) < 26e6
    for name in runs.NAMES:
        config = json.loads((shipped / name / "config.json").read_text())
        expected = json.loads(json.dumps(runs.expected_config(name, profiles.PROFILES["cpu"])))
        assert config["settings"] == expected
