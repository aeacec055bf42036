"""Time PaintedBirds: images a second, painted, described and written, beside the goal of 500."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from sdn_lib.data import painted_birds

GOAL = 500  # images a second at 64 pixels on two cores


def main() -> None:
    """Print one line for each size: images a second on all cores, and the ratio to the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 224])
    parser.add_argument("--images", type=int, default=2000, help="about so many for each size")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    busy = os.getloadavg()[0]
    print(f"{options.processes} processes, {os.cpu_count()} cores, load before the run {busy:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for size in options.sizes:
            each = max(1, options.images // 200)
            start = time.perf_counter()
            made = painted_birds.generate(
                Path(folder) / str(size),
                size=size,
                images_per_species=each,
                processes=options.processes,
            )
            rate = len(made) / (time.perf_counter() - start)
            goal = f", {rate / GOAL:.2f} of the goal of {GOAL}" if size == 64 else ""
            print(f"{size:4d} px: {rate:6.0f} images a second{goal}")


if __name__ == "__main__":
    main()
