"""The ablation's rows: each changes one thing of the method, at equal cost.

`ROWS` is the whole grid. Every row trains a student from nothing with the same budget of network
passes, on the profile's data, with its text encoder and the row's teacher, and is judged on
captions of unseen species by an evaluator that is no teacher. The picture's own term is always
there. `sdn ablate` runs them, each in a notebook of its own (book/rows/row.ipynb).
"""

from __future__ import annotations

from dataclasses import dataclass

from sdn_lib import distillation, vgg
from sdn_lib.errors import SDNError, near
from sdn_lib.profiles import Profile

CONTROLS = ("random", "shuffled")
TEACHERS = ("trained", "retrained", *CONTROLS)
BUDGET_DIVISOR = 12
"""What a student of the profile costs is divided by this, which gives a row's budget."""


@dataclass(frozen=True)
class Row:
    """One row: `plan` lists (mode, share of the cost), the rest is what the losses compare.

    A mode is a name of `distillation.STAGES`. `teacher` is 'trained', 'retrained' (with the row's
    pooling from the start), 'random' (untrained weights) or 'shuffled' (each layer's weights in
    random order). `cost` is in units of the grid's budget.
    """

    about: str
    plan: tuple[tuple[str, float], ...] = (("stage_one", 0.5), ("stage_two", 0.5))
    levels: tuple[str, ...] = vgg.LEVELS
    teacher: str = "trained"
    distance: str = "l1"
    pooling: str = "avg"
    normalised: bool = False
    captions: int | None = None
    mirrored: bool = True
    cost: float = 1.0

    def __post_init__(self) -> None:
        for name, given, known in (
            ("mode", [mode for mode, _ in self.plan], distillation.STAGES),
            ("level", self.levels, vgg.LEVELS),
            ("teacher", [self.teacher], TEACHERS),
            ("distance", [self.distance], distillation.DISTANCES),
        ):
            for value in set(given) - set(known):
                raise SDNError(f"a row has no {name} {value!r}: {near(value, known)}")
        if self.normalised and any(mode == "both" for mode, _ in self.plan):
            raise SDNError("a row that is 'normalised' has no mode 'both', whose layers come twice")


ROWS = {
    "full": Row("stage one, then stage two, all levels"),
    "pixels": Row("the picture's own term alone", plan=(("pixels", 1),)),
    "one": Row("stage one alone", plan=(("stage_one", 1),)),
    "two": Row("stage two alone", plan=(("stage_two", 1),)),
    "both": Row("both stages at once", plan=(("both", 1),)),
    "high": Row("the high level alone", levels=("high",)),
    "mid": Row("the mid level alone", levels=("mid",)),
    "low": Row("the low level alone", levels=("low",)),
    "high_mid": Row("without the low level", levels=("mid", "high")),
    "high_low": Row("without the mid level", levels=("low", "high")),
    "mid_low": Row("without the high level", levels=("low", "mid")),
    "l2": Row("squared differences", distance="l2"),
    "max": Row("the teacher pools by maximum, which it did not learn with", pooling="max"),
    "max_learned": Row(
        "the teacher learned with pooling by maximum", pooling="max", teacher="retrained"
    ),
    "normalised": Row("every layer's term begins at the same size", normalised=True),
    "one_caption": Row("one caption a picture in place of all", captions=1),
    "random": Row("a teacher with random weights", teacher="random"),
    "shuffled": Row("a teacher with its weights in random order", teacher="shuffled"),
    "plain": Row("no symmetry: stage two alone", plan=(("stage_two", 1),), mirrored=False),
    "brief": Row("all levels, at a twentieth of the others' cost", cost=0.05),
}


def budget(profile: Profile) -> int:
    """Return the network passes that a row of cost 1 may spend."""
    return distillation.STEP_COST["pixels"] * profile.baseline.steps // BUDGET_DIVISOR
