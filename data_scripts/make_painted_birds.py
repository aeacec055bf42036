"""Paint the PaintedBirds data set into a folder, in the prepared form."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sdn_lib import program
from sdn_lib.data import painted_birds
from sdn_lib.progress import Progress


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, paint, and return the exit status (see `sdn_lib.program.run`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the prepared data set is to appear")
    parser.add_argument("--size", type=int, default=64, help="pixels a side (default %(default)s)")
    parser.add_argument("--species", type=int, default=200, help="classes, both splits together")
    parser.add_argument("--test-species", type=int, default=50, help="classes kept for testing")
    parser.add_argument("--images-per-species", type=int, default=50)
    parser.add_argument("--captions", type=int, default=10, help="captions an image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, help="default: one a core")
    options = vars(parser.parse_args(arguments))
    return program.run(lambda: _paint(**options), interrupted="nothing was written")


def _paint(folder: Path, **options: int | None) -> None:
    with Progress("painting", "pictures") as progress:
        made = painted_birds.generate(folder, **options, progress=progress)
    print(made.summary, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
