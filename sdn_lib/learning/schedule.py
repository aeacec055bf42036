"""What a step of a training depends on, by its number: batch, learning rate, Adam's epsilon."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from sdn_lib.errors import SDNError
from sdn_lib.profiles import TrainConfig
from sdn_lib.randomness import stream


def batch_indices(size: int, batch: int, step: int, seed: int) -> np.ndarray:
    """Return the int64 positions of step's batch: a new permutation of `size` each epoch.

    The last, smaller batch of an epoch is dropped; a `batch` above `size` raises SDNError.
    """
    if batch > size:
        raise SDNError(f"batch {batch} is larger than the {size} training samples: lower it")
    epoch, position = divmod(step, size // batch)
    order = stream("batches", seed, epoch).permutation(size)
    return order[position * batch : (position + 1) * batch]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return a step's learning rate: constant, or a tenth of warm-up, then half a cosine."""
    if config.schedule == "constant":
        return config.learning_rate
    warm = max(1, config.steps // 10)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, config.steps - warm)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def tensorflow_epsilon(epsilon: float, step: int, beta2: float) -> float:
    """Return the epsilon that makes PyTorch's Adam take TensorFlow 1's step number `step` (from 1).

    TensorFlow adds epsilon before the bias correction of the second moment, PyTorch after it.
    """
    return epsilon / math.sqrt(1 - beta2**step)


def larger_batch(training: TrainConfig, batch: int) -> TrainConfig:
    """Return a training of as many samples in batches of `batch`, in bf16.

    Adam's learning rate grows with the root of the batch: the noise of its steps stays the same.
    Source: Malladi et al. 2022, the square root scaling rule.
    """
    if batch < 1:
        raise SDNError(f"batch {batch} is below 1")
    times = batch / training.batch
    return dataclasses.replace(
        training,
        steps=max(1, round(training.steps / times)),
        batch=batch,
        learning_rate=training.learning_rate * times**0.5,
        precision="bf16",
    )
