"""The command line of the programs in data_scripts that fetch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sdn_lib import program
from sdn_lib.data.download.addresses import Archive
from sdn_lib.data.download.fetching import fetch
from sdn_lib.data.download.problems import FetchError, SpaceError
from sdn_lib.errors import SDNError, near


def run(
    archives: Sequence[Archive],
    licence: str,
    folder: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Read the command line of a program that fetches, fetch, and return the exit status.

    0 when all parts are there, 2 after an error (the other parts are still fetched, but for a full
    disk, one that refuses, or a command line that is wrong), 130 when interrupted
    (`sdn_lib.program.run`). `licence` is shown first; `folder` is the default for where the data
    go.
    """
    parts = {archive.part: archive for archive in archives}
    parser = argparse.ArgumentParser(description=description, epilog=licence)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(folder), help="default: %(default)s"
    )
    parser.add_argument(
        "--parts", nargs="+", default=list(parts), metavar="PART", help="of " + ", ".join(parts)
    )
    parser.add_argument(
        "--from-file",
        action="append",
        default=[],
        metavar="PART=PATH",
        help="use an archive that you have; may stand several times",
    )
    parser.add_argument(
        "--subset",
        action="store_true",
        help="the archives of --from-file are a part of the data set, not compared with it",
    )
    options = parser.parse_args(arguments)
    return program.run(
        lambda: _fetch_all(archives, licence, options),
        interrupted="the same command goes on from here",
    )


def _fetch_all(archives: Sequence[Archive], licence: str, options: argparse.Namespace) -> int:
    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    parts = {archive.part: archive for archive in archives}
    paths = _files_at_hand(options.from_file, parts)
    if options.subset:
        if not paths:
            raise FetchError("--subset is about files at hand: name them with --from-file")
        cut = [part for part in paths if parts[part].wants or parts[part].check]
        parts |= {
            part: replace(parts[part], size=None, checksum=None, part_of_it=True) for part in cut
        }
    for part in dict.fromkeys(options.parts):
        if part not in parts:
            raise FetchError(f"unknown part {part!r}: {near(part, parts)}")
    report(licence)
    failed = 0
    for part in dict.fromkeys([*options.parts, *paths]):
        try:
            fetch(parts[part], options.folder, paths.get(part), report)
        except SpaceError:
            raise
        except SDNError as error:
            report(f"error: {error}")
            failed += 1
    stored = options.folder / "archives"
    kept = [archive.file for archive in archives if (stored / archive.file).is_file()]
    if kept and not failed:
        report(f"to save room delete {', '.join(kept)} in {stored}")
    return 2 if failed else 0


def _files_at_hand(given: Sequence[str], parts: Mapping[str, Archive]) -> dict[str, Path]:
    paths = {}
    for text in given:
        part, equals, path = text.partition("=")
        if not equals:
            raise FetchError(f"--from-file {text}: write PART=PATH, with a PART of {[*parts]}")
        if part not in parts:
            raise FetchError(f"--from-file {text}: unknown part {part!r}: {near(part, parts)}")
        if part in paths:
            raise FetchError(f"--from-file names a file for {part!r} twice: leave one out")
        paths[part] = Path(path).expanduser()
    return paths
