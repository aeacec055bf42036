"""The students' scores on captions of unseen species: measured, or read where they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from sdn_lib import devices, files, runs
from sdn_lib.errors import SDNError
from sdn_lib.experiments.examination import draw_exam, examined_rows
from sdn_lib.experiments.protocol import code, protocol
from sdn_lib.judging.distances import frechet_distance
from sdn_lib.judging.evaluator import Evaluator, attribute_accuracy, chance_accuracy, predict
from sdn_lib.judging.pictures import fine_power, periodicity, power_spectrum, structure
from sdn_lib.judging.statistics import better
from sdn_lib.profiles import Profile


@devices.own_defaults()
def evaluate(profile: Profile, names: Sequence[str] = runs.STUDENTS) -> dict[str, Any]:
    """Judge students on captions of unseen species; return scores, their spread and the protocol.

    For each student and each evaluation seed, one caption of every test picture is drawn and
    painted. {'runs': {name: {metric: {'mean', 'low', 'high', 'values'}, 'attributes': {attribute:
    accuracy}}}, 'protocol': ...}; 'real' is the test pictures' own score, the ceiling, and its
    distances and spectrum are those of as many training pictures. Chance stands under 'chance'. The
    metrics with 'second' in their names are the second evaluator's.
    """
    if profile.photos is not None:
        raise SDNError("photographs have no attributes to judge by: use experiments.impartial")
    began = code()
    students = {name: runs.student(name, profile).model for name in names}
    data, rows = runs.dataset(profile), examined_rows(profile)
    train, columns = data.indices("train"), list(data.tables["attributes"])
    drawn = np.random.default_rng(0).choice(train, len(rows), replace=len(train) < len(rows))
    other = np.sort(drawn)
    tested = runs.images(data, rows)
    judges = [_Judge(runs.get(name, profile).model, tested) for name in runs.EVALUATORS]
    real, spectrum = tested.permute(0, 2, 3, 1).numpy(), power_spectrum(tested.numpy())
    floor = _judged(judges, runs.images(data, other), spectrum)
    scores: dict[str, list[dict[str, Any]]] = {name: [] for name in ("real", "chance", *names)}
    for seed in profile.evaluation.seeds:
        exam = draw_exam(profile, seed)
        facts = exam.attributes, exam.mentions
        first, second = (attribute_accuracy(judge.read, *facts) for judge in judges)
        scores["real"].append({"attributes": first, "second_accuracy": second["mean"]} | floor)
        scores["chance"].append({"attributes": chance_accuracy(*facts, columns)})
        for name, student in students.items():
            pictures = runs.paint_embeddings(student, exam.text)
            scores[name].append(
                _judged(judges, pictures, spectrum, facts)
                | structure(pictures.permute(0, 2, 3, 1).numpy(), real)
            )
    return {
        "runs": {name: summary(values) for name, values in scores.items()},
        "protocol": protocol(
            began,
            data=data.checksum,
            split="test: species that no training picture shows",
            images=len(rows),
            size=data.size,
            captions_an_image=1,
            seeds=list(profile.evaluation.seeds),
            evaluator="RegNet",
            second_evaluator="DenseNet",
            weights=weights_of(profile, (*runs.EVALUATORS, "text", *names)),
            accuracy="over the attributes that the caption names, mean of attributes",
            colours="RGB, clamped to 0..1",
        ),
    }


class _Judge:
    """An evaluator, and what it sees in the real pictures."""

    def __init__(self, evaluator: Evaluator, real: Tensor) -> None:
        self.evaluator = evaluator
        self.features, self.read = predict(evaluator, real)


def _judged(
    judges: Sequence[_Judge],
    pictures: Tensor,
    spectrum: np.ndarray,
    facts: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Return what both judges say of pictures; without `facts`, nothing of attributes."""
    found: dict[str, Any] = {}
    for judge, which in zip(judges, ("", "second_"), strict=True):
        features, read = predict(judge.evaluator, pictures)
        found[f"{which}frechet"] = frechet_distance(judge.features, features)
        if facts:
            right = attribute_accuracy(read, *facts)
            found |= {"second_accuracy": right["mean"]} if which else {"attributes": right}
    shown = pictures.clamp(0, 1).numpy()
    ratio = power_spectrum(shown) / spectrum
    return found | {"fine_power": fine_power(ratio), "periodicity": periodicity(shown)}


def evaluation_of(profile: Profile) -> dict[str, Any]:
    """Return what `evaluate` found for these very weights, as stored in results/, else evaluate.

    The figures of record are results/PROFILE/evaluation.json, which `sdn publish` writes.
    """
    report = stored_evaluation(profile)
    if report is not None:
        stored = report.get("protocol", {})
        wanted = {
            "data": runs.dataset(profile).checksum,
            "images": len(examined_rows(profile)),
            "seeds": list(profile.evaluation.seeds),
            "weights": weights_of(profile, (*runs.EVALUATORS, "text", *runs.STUDENTS)),
        }
        if all(stored.get(key) == value for key, value in wanted.items()):
            return report
    return evaluate(profile)


def stored_evaluation(profile: Profile) -> dict[str, Any] | None:
    """Return results/PROFILE/evaluation.json whatever weights it is about, None for no such file.

    Raises SDNError that names a damaged one.
    """
    path = profile.shipped / profile.name / "evaluation.json"
    if not path.exists():
        return None
    return files.read_json(path, "restore it, or delete it: it is measured again then")


def beats(report: dict[str, Any], metric: str, rival: str) -> bool:
    """Say whether stage two is better than a rival beyond the spread of a report's seeds.

    Of what `evaluate` returns, or `trainings.evaluate_trainings`.
    """
    ours, theirs = (report["runs"][name][metric]["values"] for name in ("stage_two", rival))
    return better(metric, ours, theirs)


def weights_of(profile: Profile, names: Sequence[str]) -> dict[str, str]:
    """Return the beginnings of the checksums of runs, by name, as protocols do."""
    return {name: runs.get(name, profile).checksum[:16] for name in names}


def to_table(report: dict[str, Any]) -> str:
    """Return the scores of `evaluate` as lines of text, mean and range over seeds."""
    lines = [f"{'':10} {'accuracy':>24} {'Frechet distance':>24} {'SSIM':>7} {'PSNR':>7}"]
    for name, scores in report["runs"].items():
        cells = []
        for metric, digits in (("accuracy", 3), ("frechet", 1)):
            s = scores.get(metric)
            text = "{mean:.{d}f} ({low:.{d}f}-{high:.{d}f})".format(d=digits, **s) if s else ""
            cells.append(f"{text:>24}")
        for metric, digits in (("ssim", 3), ("psnr", 1)):
            s = scores.get(metric)
            cells.append(f"{s['mean']:.{digits}f}".rjust(7) if s else " " * 7)
        lines.append(f"{name:10} " + " ".join(cells))
    facts = report["protocol"]
    lines.append(
        f"{facts['images']} captions of unseen species a seed, seeds {facts['seeds']}, "
        f"{facts['evaluator']}"
    )
    return "\n".join(line.rstrip() for line in lines)


def summary(values: list[dict[str, Any]]) -> dict[str, Any]:
    """Return {metric: {'mean', 'low', 'high', 'values'}} of one student's scores by seed.

    Of its attributes, only their means, over the seeds of which some caption names them.
    """
    flat = [{"accuracy": v["attributes"]["mean"], **v} for v in values]
    folded: dict[str, Any] = {}
    for metric in flat[0]:
        if metric == "attributes":
            found = [v["attributes"] for v in flat]
            names = dict.fromkeys(name for of in found for name in of)
            folded["attributes"] = {
                name: float(np.mean([of[name] for of in found if name in of])) for name in names
            }
            continue
        numbers = [v[metric] for v in flat]
        folded[metric] = {
            "mean": float(np.mean(numbers)),
            "low": min(numbers),
            "high": max(numbers),
            "values": numbers,
        }
    return folded
