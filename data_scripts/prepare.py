"""Prepare photographs and captions: birds (CUB-200-2011), flowers (Oxford-102), your own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sdn_lib import program
from sdn_lib.data import photographs
from sdn_lib.data.parallel import check_processes
from sdn_lib.data.photographs import cub, flowers, folder
from sdn_lib.errors import counted

READERS = {"birds": cub.read, "flowers": flowers.read, "folder": folder.read}


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, prepare, and return the exit status (see `sdn_lib.program.run`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=READERS)
    parser.add_argument("raw", type=Path, help="the folder with the unpacked archives")
    parser.add_argument("out", type=Path, help="where the prepared data set is to appear")
    parser.add_argument("--size", type=int, default=64, help="pixels a side (default %(default)s)")
    parser.add_argument("--crop", action="store_true", help="crop to the bird, as StackGAN does")
    parser.add_argument("--resize", choices=photographs.FILTERS, default="bicubic")
    parser.add_argument("--subset", action="store_true", help="RAW holds a part of the data set")
    parser.add_argument("--classes", type=int, nargs="+", help="keep only these class ids")
    parser.add_argument("--processes", type=int, help="default: one a core")
    asked = parser.parse_args(arguments)
    return program.run(lambda: _prepare(asked), interrupted="nothing was written")


def _prepare(asked: argparse.Namespace) -> None:
    check_processes(asked.processes)
    reading = READERS[asked.dataset](asked.raw, subset=asked.subset, classes=asked.classes)
    with program.Progress("preparing", "pictures") as progress:
        made = photographs.prepare(
            reading, asked.out, asked.size, asked.crop, asked.resize, asked.processes, progress
        )
    train, test = (len(made.indices(split)) for split in ("train", "test"))
    images = counted(train, "image")
    print(f"{made.folder}: {images} to train on, {test} to test on", file=sys.stderr)
    source = made.manifest["source"]
    mended = counted(source["captions_mended"], "caption")
    repeated = counted(source["files_repeated_to_ten"], "picture")
    print(f"{mended} mended, {repeated} had too few of them", file=sys.stderr)
    _note_unreadable([line for lines in made.captions for line in lines])


def _note_unreadable(captions: Sequence[str]) -> None:
    from sdn_lib import text  # brings PyTorch, which takes a while

    found = {caption: said for caption in captions if (said := text.remarks(caption))}
    if found:
        caption, said = next(iter(found.items()))
        print(
            f"note: {counted(sum(map(found.__contains__, captions)), 'caption')} cannot be read "
            f"whole; the first, {text.quoted(caption)}: {', and '.join(said)}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
