"""Training: the loop, its schedule, log and checkpoints, and the tasks that are trained."""
from sdn_lib.learning import checkpoints, log
from sdn_lib.learning.loop import Task, fit, ran_in
from sdn_lib.learning.schedule import batch_indices, learning_rate
from sdn_lib.learning.tasks import AttributeTask, DistillationTask, TeacherFeatures, images
from sdn_lib.learning.text_task import TextTask

__all__ = [
    "AttributeTask",
    "DistillationTask",
    "Task",
    "TeacherFeatures",
    "TextTask",
    "batch_indices",
    "checkpoints",
    "fit",
    "images",
    "learning_rate",
    "log",
    "ran_in",
]
