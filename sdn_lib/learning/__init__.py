"""Training: the loop, its schedule, log and checkpoints, and the tasks that are trained."""
from sdn_lib.learning import checkpoints, log
from sdn_lib.learning.loop import Task, fit, ran_in
from sdn_lib.learning.photograph_task import PhotographTask
from sdn_lib.learning.schedule import batch_indices, larger_batch, learning_rate
from sdn_lib.learning.tasks import AttributeTask, DistillationTask, TeacherFeatures
from sdn_lib.learning.text_task import TextTask, view

__all__ = [
    "AttributeTask",
    "DistillationTask",
    "PhotographTask",
    "Task",
    "TeacherFeatures",
    "TextTask",
    "batch_indices",
    "checkpoints",
    "fit",
    "larger_batch",
    "learning_rate",
    "log",
    "ran_in",
    "view",
]
