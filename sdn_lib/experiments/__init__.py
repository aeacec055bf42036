"""Experiments: what is measured of trained networks, and what is trained to be measured."""

from sdn_lib.experiments.evaluation import evaluate, evaluation_of, to_table
from sdn_lib.experiments.examination import Exam, draw_exam, mark

__all__ = ["Exam", "draw_exam", "evaluate", "evaluation_of", "mark", "to_table"]
