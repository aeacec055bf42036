"""Experiments: what is measured of trained networks, and what is trained to be measured."""

from sdn_lib.experiments.claims import (
    CLAIMS,
    LEVEL,
    MEASURES,
    Claim,
    chance_grid,
    difference_interval,
    differences,
    p_values,
    verdicts,
)
from sdn_lib.experiments.evaluation import (
    beats,
    evaluate,
    evaluation_of,
    stored_evaluation,
    to_table,
)
from sdn_lib.experiments.examination import Exam, draw_exam, mark
from sdn_lib.experiments.results import FIXED, rows_folder, stored_row, stored_rows
from sdn_lib.experiments.rows import BUDGET_DIVISOR, ROWS, Row
from sdn_lib.experiments.train import SHOWN, shown_rows, train_row

__all__ = [
    "BUDGET_DIVISOR",
    "CLAIMS",
    "FIXED",
    "LEVEL",
    "MEASURES",
    "ROWS",
    "SHOWN",
    "Claim",
    "Exam",
    "Row",
    "beats",
    "chance_grid",
    "difference_interval",
    "differences",
    "draw_exam",
    "evaluate",
    "evaluation_of",
    "mark",
    "p_values",
    "rows_folder",
    "shown_rows",
    "stored_evaluation",
    "stored_row",
    "stored_rows",
    "to_table",
    "train_row",
    "verdicts",
]
