"""Prepare photographs and captions: birds (CUB-200-2011), flowers (Oxford-102), your own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sdn_lib import program
from sdn_lib.captions import quoted, unreadable
from sdn_lib.data import photographs
from sdn_lib.data.parallel import check_processes
from sdn_lib.data.photographs import cub, facing, flowers, folder
from sdn_lib.errors import SDNError, counted
from sdn_lib.progress import Progress

READERS = {"birds": cub.read, "flowers": flowers.read, "folder": folder.read}


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, prepare, and return the exit status (see `sdn_lib.program.run`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=READERS)
    parser.add_argument("raw", type=Path, help="the folder with the unpacked archives")
    parser.add_argument("out", type=Path, help="where the prepared data set is to appear")
    parser.add_argument("--size", type=int, default=64, help="pixels a side (default %(default)s)")
    parser.add_argument(
        "--crop",
        nargs="?",
        const="stackgan",
        choices=photographs.CROPS,
        help="crop to the bird: as StackGAN does (no value), or to its box alone",
    )
    parser.add_argument(
        "--facing", choices=facing.SIDES, help="mirror birds that face the other way (birds only)"
    )
    parser.add_argument("--resize", choices=photographs.FILTERS, default="bicubic")
    parser.add_argument("--subset", action="store_true", help="RAW holds a part of the data set")
    parser.add_argument("--classes", type=int, nargs="+", help="keep only these class ids")
    parser.add_argument("--processes", type=int, help="default: one a core")
    options = parser.parse_args(arguments)
    return program.run(lambda: _prepare(options), interrupted="nothing was written")


def _prepare(options: argparse.Namespace) -> None:
    check_processes(options.processes)
    if options.facing and options.dataset != "birds":
        raise SDNError("--facing is for birds: leave it out")
    reading = READERS[options.dataset](options.raw, subset=options.subset, classes=options.classes)
    if options.facing:
        reading = facing.add_facing(reading, options.raw)
    with Progress("preparing", "pictures") as progress:
        made = photographs.prepare(
            reading,
            options.out,
            options.size,
            options.crop,
            options.resize,
            options.facing,
            options.processes,
            progress,
        )
    print(made.summary, file=sys.stderr)
    source = made.manifest["source"]
    mended = counted(source["captions_mended"], "caption")
    repeated = counted(source["files_repeated_to_ten"], "picture")
    print(f"{mended} mended, {repeated} had too few of them", file=sys.stderr)
    if source.get("left_out"):
        told = counted(source["unpictured"], "file")
        print(
            f"{counted(source['left_out'], 'image')} of the list not there, "
            f"which leaves {told} of captions without a picture",
            file=sys.stderr,
        )
    if source.get("uncaptioned"):
        print(
            f"{counted(source['uncaptioned'], 'picture')} left out, without captions",
            file=sys.stderr,
        )
    if options.facing:
        unknown = counted(source["facing_unknown"], "bird")
        print(f"{source['mirrored']} mirrored, {unknown} of unknown side", file=sys.stderr)
    _note_unreadable([line for lines in made.captions for line in lines])


def _note_unreadable(captions: Sequence[str]) -> None:
    unread = unreadable(captions)
    if unread:
        caption, first = next(iter(unread.items()))
        print(
            f"note: {counted(sum(map(unread.__contains__, captions)), 'caption')} cannot be read "
            f"whole; the first, {quoted(caption)}: {', and '.join(first)}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
