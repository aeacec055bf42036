"""Photographs' students judged by networks by which none of them was taught.

The pictures' distances are those of EfficientNet-lite2; whether a picture says what its caption
says is asked of a second text encoder, trained with another seed against that network's view; and
whether a painted bird has the primary colour that its caption names, of a linear probe on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdn_lib import devices, runs
from sdn_lib.data import prepared
from sdn_lib.data.photographs.colours import names_colour, primary_colours
from sdn_lib.errors import SDNError
from sdn_lib.experiments.evaluation import weights_of
from sdn_lib.experiments.protocol import code, protocol
from sdn_lib.judging import networks
from sdn_lib.judging.distances import cubic_kernel, frechet_distance
from sdn_lib.judging.probes import ridge_regression
from sdn_lib.judging.scores import own_caption_nearest
from sdn_lib.judging.statistics import interval
from sdn_lib.profiles import Profile
from sdn_lib.randomness import stream
from sdn_lib.runs.pretrained import JUDGE, imagenet_features

AMONG = 100
"""Captions among which a picture's own is looked for, or as many as there are of other kinds."""

KERNEL_PICTURES = 500
"""Pictures whose kernel distance is measured: its cost grows with their square."""

MANY = 1000
"""Draws of an interval that is wider than 95 %: its ends lie far out."""

MEASURES = ("kernel", "r_precision", "colour")
"""The measures that have intervals."""

WRONG = "wrong caption"


@devices.own_defaults()
def evaluate(
    profile: Profile,
    names: Sequence[str] = runs.STUDENTS,
    attributes: str | Path | None = None,
    rivals: Mapping[str, Mapping[str, runs.Run]] | None = None,
) -> dict[str, Any]:
    """Judge students of photographs on captions of unseen kinds; return scores and their protocol.

    One caption of every test photograph is drawn by the profile's first evaluation seed, and
    painted. {'scores': {who: {measure: value or (value, low, high)}}, 'protocol': ...}, where who
    is a student, 'real' (the photographs themselves, at distance 0), 'other_real' (as many training
    photographs: the distance of real from real, and what a guess gets, as the captions are not
    theirs), 'wrong caption' (the last student's pictures of captions of other kinds) or 'mean' (the
    mean training photograph, again and again). Intervals are over kinds. 'differences': [{'of',
    'from', measure: (value, low, high)}], of every student from those before it and of the last one
    from the wrong captions; all these intervals hold together with 95 %. `rivals`
    are the runs 'stage_two' and 'text' of other profiles, by name: they paint the same captions,
    are judged under that name, and the last student is compared with each. (That they learned from
    none of these test photographs is the caller's business.) 'colour' is asked where `attributes`
    names the folder with CUB's attributes. Raises SDNError for a profile without photographs, for
    fewer than two test kinds, and where a package is missing.
    """
    if profile.photos is None:
        raise SDNError(f"profile {profile.name!r} has no photographs: use experiments.evaluate")
    data, began = runs.dataset(profile), code()
    counts = np.unique(data.class_ids[data.indices("test")], return_counts=True)[1]
    if len(counts) < 2:
        raise SDNError(f"{data.folder} has one kind to test on: judging compares two or more")
    if len(counts) < 4 and counts.min() < 2:
        raise SDNError(
            f"{data.folder} has {len(counts)} kinds to test on, and of one of them a single "
            "photograph: judging wants two of each, or four kinds"
        )
    if attributes and data.manifest["source"].get("kind", "cub") != "cub":
        raise SDNError(f"{data.folder} is not of CUB, whose attributes these are: leave them out")
    # What may be missing is read before hours of training.
    colours = None if attributes is None else primary_colours(attributes)
    if colours:
        known = np.isfinite(colours[1]).all(1)
        for kind in np.unique(data.class_ids):
            if not known[kind - 1]:
                raise SDNError(
                    f"{attributes} tells nothing of kind {kind}, which {data.folder} shows: take "
                    "the attributes of the whole archive, or leave them out"
                )
    judge = networks.efficientnet_network(JUDGE)
    seed = profile.evaluation.seeds[0]
    draw, rows = stream("questions", seed), data.indices("test")
    (lines, _), kinds = data.draw_captions(rows, draw), data.class_ids[rows]
    if colours and len(np.unique(kinds[_named(lines, kinds, colours)])) < 2:
        raise SDNError(
            f"captions of fewer than two test kinds of {data.folder} name their colour: leave "
            "attributes out"
        )
    students = {name: runs.student(name, profile).model for name in names}
    jury = Jury(profile, judge, colours)
    encoder, rivals = runs.get("text", profile).model, rivals or {}
    wrong = [lines[k] for k in _elsewhere(kinds, draw)]
    seen = {
        "real": jury.real,
        "other_real": jury.look(_others(data, len(rows), seed)),
        **{
            name: jury.look(_painted(student, encoder, lines)) for name, student in students.items()
        },
        **{
            name: jury.look(_painted(them["stage_two"].model, them["text"].model, lines))
            for name, them in rivals.items()
        },
        WRONG: jury.look(_painted(students[names[-1]], encoder, wrong)),
        "mean": jury.look(_mean(data)).repeat(len(rows), 0),
    }
    answers = {who: jury.ask(features, lines) for who, features in seen.items()}
    pairs = [(b, a) for a, b in itertools.combinations(names, 2)]
    pairs += [(names[-1], other) for other in (*rivals, WRONG)]
    level = 1 - 0.05 / (len(pairs) * (len(MEASURES) - (attributes is None)))
    others = jury.among - 1
    return {
        "scores": {who: jury.scores(found) for who, found in answers.items()},
        "differences": [
            {"of": a, "from": b} | jury.differences(answers[a], answers[b], level) for a, b in pairs
        ],
        "protocol": protocol(
            began,
            data=data.checksum,
            split="test: kinds that no training photograph shows",
            pictures=len(rows),
            kinds=len(np.unique(kinds)),
            captions="one of each photograph, drawn",
            size=data.size,
            crop=data.manifest["source"].get("crop"),
            facing=data.manifest["source"].get("facing"),
            seed=seed,
            judge=jury.network.about,
            other_real="as many training photographs, drawn",
            kernel=f"the first {KERNEL_PICTURES} in a random order, by {jury.compared}",
            r_precision=f"its own caption before {others} of other kinds, second text encoder",
            colour="the primary colour of the kind, where the caption has its word",
            intervals="95 %, from halves of the kinds",
            differences=f"the first less the second, {level:.4%} intervals: together 95 %",
            weights=weights_of(profile, ("judge_text", "text", *names)),
            rivals={
                name: {part: run.checksum[:16] for part, run in them.items()}
                for name, them in rivals.items()
            },
        ),
    }


def to_table(report: dict[str, Any]) -> str:
    """Return the scores of `evaluate` as lines of text."""
    lines = [f"{'':14} {'Frechet':>8} {'kernel':>24} {'R-precision':>22} {'colour':>22}"]
    for who, scores in report["scores"].items():
        cells = [f"{who:14} {scores['frechet']:8.0f}"]
        for measure, width in (("kernel", 24), ("r_precision", 22), ("colour", 22)):
            if measure in scores:
                value, low, high = scores[measure]
                cells.append(f"{value:.3f} ({low:.3f}-{high:.3f})".rjust(width))
        lines.append(" ".join(cells))
    facts = report["protocol"]
    lines.append(f"{facts['pictures']} captions of {facts['kinds']} unseen kinds, {facts['judge']}")
    return "\n".join(lines)


class Jury:
    """The networks that judge, fitted on the training photographs of a profile.

    `colours` as `primary_colours` returns them, None where nobody is to ask for them.
    """

    def __init__(
        self, profile: Profile, network: Any, colours: tuple[list[str], np.ndarray] | None
    ) -> None:
        self.data, self.network = runs.dataset(profile), network
        self.reader = runs.get("judge_text", profile).model
        self.rows, train = self.data.indices("test"), self.data.indices("train")
        self.kinds = self.data.class_ids[self.rows]
        self.among = captions_to_choose_from(self.kinds)
        self.measured = stream("order", 0).permutation(len(self.rows))[:KERNEL_PICTURES]
        kinds = self.kinds[self.measured]
        self.pairs, self.compared = kinds[:, None] != kinds, "pairs of different kinds"
        if len(np.unique(kinds)) < 4:  # a half of them may be one kind
            self.pairs, self.compared = ~np.eye(len(kinds), dtype=bool), "all pairs"
        seen = imagenet_features(profile, JUDGE)
        lines = [line for row in train for line in self.data.captions[row]]
        texts = self.reader.encode(lines).view(len(train), -1, self.reader.text_dim).mean(1).numpy()
        self.middle = texts.mean(0)
        self.to_text = ridge_regression(seen, texts, 0.1 * len(seen))
        self.colours: list[str] = []
        if colours is not None:
            self.colours, self.percents = colours
            self.of_kind = self.percents.argmax(1)
            wanted = np.eye(len(self.colours))[self.of_kind[self.data.class_ids[train] - 1]]
            to_colour = ridge_regression(seen, wanted, 0.1 * len(seen))
            self.to_colour = lambda x: (to_colour(x) + wanted.mean(0)).argmax(1)
        self.real = self.look(np.asarray(self.data.images[self.rows]))

    def look(self, pictures: np.ndarray) -> np.ndarray:
        """Return the judge's features (n, 1280) of uint8 pictures (n, h, w, 3)."""
        with devices.borrowed(self.network) as device:
            return networks.outputs(self.network, [pictures], device)["features"]

    def ask(self, seen: np.ndarray, lines: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the answers to pictures that were painted of `lines`, by their features.

        One of each test photograph. 'seen' float (n, 1280), 'r_precision' float (n,) that is 1
        where its own caption is nearest and, where colours are known, 'colour' (n,) that is 1 where
        the named one is seen, NaN where the caption does not name it.
        """
        captions = self.reader.encode(list(lines)).numpy() - self.middle
        draw = stream("others", 0)
        nearest = own_caption_nearest(self.to_text(seen), captions, self.kinds, draw, self.among)
        found = {"seen": seen, "r_precision": nearest.astype(float)}
        if self.colours:
            wanted = self.of_kind[self.kinds - 1]
            named = _named(lines, self.kinds, (self.colours, self.percents))
            found["colour"] = np.where(named, self.to_colour(seen) == wanted, np.nan)
        return found

    def scores(self, answers: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return every measure of one painter's answers."""
        kernel, groups = self.kernel(answers["seen"]), self.kinds[self.measured]
        nearest = answers["r_precision"]
        found: dict[str, Any] = {
            "frechet": frechet_distance(self.real, answers["seen"]),
            "kernel": interval(kernel, np.arange(len(groups)), groups=groups),
            "r_precision": interval(np.mean, nearest, groups=self.kinds, within=(0, 1)),
        }
        if self.colours:
            named = np.isfinite(answers["colour"])
            right, kinds = answers["colour"][named], self.kinds[named]
            found["colour"] = interval(np.mean, right, groups=kinds, within=(0, 1))
            wanted = self.of_kind[self.kinds[named] - 1]
            found["colour_chance"] = float((wanted == np.bincount(wanted).argmax()).mean())
            found["colour_captions"] = int(named.sum())
        return found

    def differences(
        self, ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], level: float
    ) -> dict[str, tuple[float, float, float]]:
        """Return {measure: (value, low, high)} of the first's measures less the second's."""
        a, b = self.kernel(ours["seen"]), self.kernel(theirs["seen"])
        groups = self.kinds[self.measured]
        rows = np.arange(len(groups))
        found = {
            "kernel": interval(lambda k: a(k) - b(k), rows, groups=groups, level=level, draws=MANY)
        }
        for measure in ("r_precision", "colour"):
            if measure in ours:
                difference = ours[measure] - theirs[measure]
                known = np.isfinite(difference)
                found[measure] = interval(
                    np.mean, difference[known], groups=self.kinds[known], level=level, draws=MANY
                )
        return found

    def kernel(self, seen: np.ndarray) -> Callable[[np.ndarray], float]:
        """Return a function of places among those measured that gives their kernel distance.

        By pairs of different kinds: pictures of one kind are alike, and halves of the kinds have
        more such pairs than all of them. With fewer than four kinds, by all pairs. Not
        standardised, as some features hardly vary over the photographs.
        """
        real, made = self.real[self.measured], seen[self.measured]
        within = cubic_kernel(real, real) + cubic_kernel(made, made)
        apart = within - 2 * cubic_kernel(real, made)
        return lambda rows: float(apart[np.ix_(rows, rows)][self.pairs[np.ix_(rows, rows)]].mean())


def captions_to_choose_from(kinds: np.ndarray) -> int:
    """Return among how many captions a picture's own is looked for, by the kind of each (n,)."""
    others = len(kinds) - np.unique(kinds, return_counts=True)[1].max()
    return min(AMONG, int(others) + 1)


def _painted(student: Any, encoder: Any, lines: list[str]) -> np.ndarray:
    return runs.to_uint8(runs.paint(student, encoder, lines))


def _named(
    lines: Sequence[str], kinds: np.ndarray, colours: tuple[list[str], np.ndarray]
) -> np.ndarray:
    """Return, bool (n,), which captions name the primary colour of their kind."""
    names, percents = colours
    primary = percents.argmax(1)[kinds - 1]
    return np.array([names_colour(line, names[k]) for line, k in zip(lines, primary, strict=True)])


def _elsewhere(kinds: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return for each row another one, of another kind."""
    return np.array([draw.choice(np.flatnonzero(kinds != kind)) for kind in kinds])


def _others(data: prepared.Prepared, count: int, seed: int) -> np.ndarray:
    """Return `count` training photographs, some twice where there are fewer."""
    train = data.indices("train")
    drawn = stream("other real", seed).choice(train, count, replace=len(train) < count)
    return np.asarray(data.images[np.sort(drawn)])


def _mean(data: prepared.Prepared) -> np.ndarray:
    return np.asarray(data.images[data.indices("train")]).mean(0).round().astype(np.uint8)[None]
