"""Prepare photographs and captions: birds (CUB-200-2011), flowers (Oxford-102), your own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sdn_lib.data import cub, flowers, folder, photos
from sdn_lib.errors import SDNError

READERS = {"birds": cub.read, "flowers": flowers.read, "folder": folder.read}


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, prepare, and return the exit status: 0, or 1 after an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=READERS)
    parser.add_argument("raw", type=Path, help="the folder with the unpacked archives")
    parser.add_argument("out", type=Path, help="where the prepared data set is to appear")
    parser.add_argument("--size", type=int, default=64, help="pixels a side (default %(default)s)")
    parser.add_argument("--crop", action="store_true", help="crop to the bird, as StackGAN does")
    parser.add_argument("--resize", choices=photos.FILTERS, default="bicubic")
    parser.add_argument("--subset", action="store_true", help="RAW holds a part of the data set")
    parser.add_argument("--classes", type=int, nargs="+", help="keep only these class ids")
    parser.add_argument("--processes", type=int, help="default: one a core")
    asked = parser.parse_args(arguments)

    def progress(done: int, total: int) -> None:
        print(f"\rprepared {done} of {total}", end="", file=sys.stderr, flush=True)

    try:
        reading = READERS[asked.dataset](asked.raw, subset=asked.subset, classes=asked.classes)
        made = photos.prepare(
            reading, asked.out, asked.size, asked.crop, asked.resize, asked.processes, progress
        )
    except SDNError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    train, test = (len(made.indices(split)) for split in ("train", "test"))
    print(f"\n{made.folder}: {train} images to train on, {test} to test on", file=sys.stderr)
    mended, repeated = (
        made.manifest["source"][key] for key in ("captions_mended", "files_repeated_to_ten")
    )
    print(f"{mended} captions mended, {repeated} pictures had too few of them", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
