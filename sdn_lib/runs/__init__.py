"""The seven trained networks of the book: what they are, how they are found, made and used."""

from sdn_lib.learning.tasks import images
from sdn_lib.runs.data import EVALUATORS, data_of, dataset
from sdn_lib.runs.networks import build
from sdn_lib.runs.sampling import (
    paint,
    paint_embeddings,
    painter_of,
    read_strip,
    sheet_of,
    to_uint8,
    write_strip,
)
from sdn_lib.runs.settings import (
    LABELS,
    NAMES,
    NEEDS,
    STUDENTS,
    begin_training,
    expected_config,
    first_difference,
    naming,
    step_cost,
    train_config,
)
from sdn_lib.runs.store import (
    Run,
    embeddings,
    get,
    keep,
    load,
    make_task,
    painter,
    student,
    train,
    train_live,
)
from sdn_lib.runs.time_lapse import TimeLapse, read_time_lapse

__all__ = [
    "EVALUATORS",
    "LABELS",
    "NAMES",
    "NEEDS",
    "STUDENTS",
    "Run",
    "TimeLapse",
    "begin_training",
    "build",
    "data_of",
    "dataset",
    "embeddings",
    "expected_config",
    "first_difference",
    "get",
    "images",
    "keep",
    "load",
    "make_task",
    "naming",
    "paint",
    "paint_embeddings",
    "painter",
    "painter_of",
    "read_strip",
    "read_time_lapse",
    "sheet_of",
    "step_cost",
    "student",
    "to_uint8",
    "train",
    "train_config",
    "train_live",
    "write_strip",
]
