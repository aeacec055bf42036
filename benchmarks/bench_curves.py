"""Train the plain port and this library for 300 steps from equal weights, on equal batches.

Different arithmetic makes the two drift apart. The question is whether they drift further than two
seeds of the same program do. Further variants have several captions of each picture in a batch,
which share the teacher's pass; their batches are others, so all are judged on pictures kept apart.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import plain_port
import record
import torch

from sdn_lib import distillation, learning, profiles, runs
from sdn_lib.student import Student

LAST = 50
"""The loss is averaged over so many last steps."""

APART = 256
"""Pictures of the test split on which students are judged in the end."""

VARIANTS = {
    "plain": (1, 1),
    "fast": (1, 1),
    "2 captions an image": (1, 2),
    "4 captions an image": (1, 4),
    "larger batch": (4, 1),
    "larger batch, 4 captions an image": (4, 4),
}
"""{variant: (batch over the profile's, captions of each picture in it)}."""


def copy_weights(ours: torch.nn.Module, plain: torch.nn.Module) -> None:
    """Give a plain teacher or student the weights of ours."""
    convs = [conv for block in plain.blocks for conv in block]
    pairs = list(zip(ours.convs.values(), convs, strict=True))
    pairs += [(fc, getattr(plain, name)) for name, fc in getattr(ours, "fcs", {}).items()]
    for source, target in pairs:
        target.load_state_dict({k: v.contiguous() for k, v in source.state_dict().items()})


def curves(stage: str, seed: int, steps: int) -> dict[str, tuple[float, float]]:
    """Return {variant: (mean loss of the last steps, loss on pictures kept apart)}."""
    profile = profiles.load("cpu")
    n = profile.network
    data, teacher = runs.dataset(profile), runs.get("teacher", profile).model
    encoder = runs.get("text", profile).model
    rows = data.indices("train")[:2000]
    most = max(together for _, together in VARIANTS.values())
    lines = [line for row in rows for line in data.captions[row][:most]]
    text = encoder.encode(lines).view(len(rows), most, -1)
    apart = data.indices("test")[:APART]
    unseen = encoder.encode([data.captions[row][0] for row in apart]), runs.images(data, apart)
    simple = plain_port.Teacher(n.depth, n.width)
    copy_weights(teacher, simple)

    def loss(student: torch.nn.Module, words: torch.Tensor, pictures: torch.Tensor):
        return distillation.STAGES[stage](student, teacher, words, pictures).total

    found = {}
    for variant, (times, together) in VARIANTS.items():
        pictures_a_step = times * profile.stage_one.batch // together
        torch.manual_seed(seed)
        student = Student(n.depth, n.width, data.size, n.text_dim, n.fc_width)
        if variant == "plain":
            mirrored = plain_port.Student(n.depth, n.width, data.size, n.text_dim, n.fc_width)
            copy_weights(student, mirrored)
            optimiser = torch.optim.Adam(mirrored.parameters(), lr=1e-3)
        else:
            student.to(memory_format=torch.channels_last)
            optimiser = torch.optim.Adam(student.parameters(), lr=1e-3, fused=True)
        losses = []
        for step in range(steps):
            chosen = learning.batch_indices(len(rows), pictures_a_step, step, seed)
            words, pictures = text[chosen, :together].flatten(0, 1), runs.images(data, rows[chosen])
            if variant == "plain":
                plain = getattr(plain_port, stage)
                inputs = mirrored, simple, words, pictures.contiguous()
                losses.append(plain_port.train_step(optimiser, plain, *inputs))
                continue
            with torch.autocast("cpu", torch.bfloat16):
                total = loss(student, words, pictures)
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            optimiser.step()
            losses.append(total.item())
        with torch.no_grad():
            if variant == "plain":
                judged = getattr(plain_port, stage)(mirrored, simple, *unseen)
            else:
                judged = loss(student, *unseen)
        found[variant] = float(np.mean(losses[-LAST:])), judged.item()
    return found


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    if len(options.seeds) < 2:
        parser.error("--seeds needs two or more: their spread is measured")
    batch, rows = profiles.load("cpu").stage_one.batch, []
    for stage in ("stage_one", "stage_two"):
        ends = [curves(stage, seed, options.steps) for seed in options.seeds]
        for variant, (times, together) in VARIANTS.items():
            last, judged = zip(*(end[variant] for end in ends), strict=True)
            rows.append(
                {
                    "stage": stage,
                    "variant": variant,
                    "pictures a step": times * batch // together,
                    "captions a step": times * batch,
                    f"last {LAST} steps": statistics.mean(last),
                    "spread of seeds": statistics.stdev(last),
                    "unseen pictures": statistics.mean(judged),
                    "spread": statistics.stdev(judged),
                }
            )
            print(rows[-1], flush=True)
    record.save("curves", {f"Loss after {options.steps} steps, mean of seeds": rows})


if __name__ == "__main__":
    main()
