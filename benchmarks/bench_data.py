"""Time the data path: images painted a second, by size, and images loaded for training."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import record

from sdn_lib import machine, profiles, runs
from sdn_lib.data import painted_birds

PAINTED, LOADED = 500, 5000
"""The goals, in images a second at 64 pixels on two cores."""


def painted(images: int, processes: int) -> list[dict]:
    """Return images painted, described and written a second at each size."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (32, 64, 128, 224):
            began = time.perf_counter()
            made = painted_birds.generate(
                Path(folder) / str(size),
                size=size,
                images_per_species=max(1, images // 200),
                processes=processes,
            )
            rate = len(made) / (time.perf_counter() - began)
            goal = f"{rate / PAINTED:.2f}" if size == 64 else ""
            rows.append({"pixels": size, "painted a second": rate, "of the goal": goal})
    return rows


def loaded(batch: int = 64) -> list[dict]:
    """Return images read from the prepared form a second, as float tensors in random batches."""
    data = runs.dataset(profiles.load("cpu"))
    rows = np.random.default_rng(0).permutation(data.indices("train"))[: 64 * batch]

    def read() -> None:
        for part in np.array_split(rows, len(rows) // batch):
            runs.images(data, part)

    rate = len(rows) / record.best(read)
    return [{"pixels": data.size, "loaded a second": rate, "of the goal": f"{rate / LOADED:.2f}"}]


def main() -> None:
    """Measure, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000, help="about so many for each size")
    parser.add_argument("--processes", type=int, default=machine.cores())
    options = parser.parse_args()
    tables = {"Painting": painted(options.images, options.processes), "Loading": loaded()}
    record.save("data", tables)


if __name__ == "__main__":
    main()
