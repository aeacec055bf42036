"""Judging: what is measured of pictures, of their features, and of the measures themselves.

Everything here takes arrays, pictures and networks, and knows of no run, profile or data set.
"""

from sdn_lib.judging.distances import frechet_distance, kernel_distance
from sdn_lib.judging.evaluator import (
    Evaluator,
    attribute_accuracy,
    chance_accuracy,
    named_accuracy,
    predict,
)
from sdn_lib.judging.gaps import (
    heterogeneous_gap,
    homogeneous_gap,
    linear_cka,
    pooled_activations,
    unbiased_hsic,
)
from sdn_lib.judging.pictures import (
    detail,
    fine_power,
    periodicity,
    power_spectrum,
    sharpness,
    structure,
)
from sdn_lib.judging.probes import classifier_two_sample_test, probe_accuracy
from sdn_lib.judging.statistics import (
    DIRECTION,
    better,
    decided,
    holm,
    interval,
    mean_interval,
    paired_t_test,
    ranked,
)

__all__ = [
    "DIRECTION",
    "Evaluator",
    "attribute_accuracy",
    "better",
    "chance_accuracy",
    "classifier_two_sample_test",
    "decided",
    "detail",
    "fine_power",
    "frechet_distance",
    "heterogeneous_gap",
    "holm",
    "homogeneous_gap",
    "interval",
    "kernel_distance",
    "linear_cka",
    "mean_interval",
    "named_accuracy",
    "paired_t_test",
    "periodicity",
    "pooled_activations",
    "power_spectrum",
    "predict",
    "probe_accuracy",
    "ranked",
    "sharpness",
    "structure",
    "unbiased_hsic",
]
