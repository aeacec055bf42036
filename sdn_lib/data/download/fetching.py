"""One part of a data set brought into a folder, from a file at hand or its addresses in turn.

An archive is downloaded into `FOLDER/archives`, checked, unpacked beside its place and renamed
into it, so what stands in FOLDER is whole. Beside each archive lies a JSON record: where it came
from, its size, its SHA-256, and whether a published checksum confirmed it.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sdn_lib import files
from sdn_lib.data.download.addresses import Archive, missing
from sdn_lib.data.download.placing import extract, refuse_incomplete
from sdn_lib.data.download.problems import DamagedError, FetchError, SpaceError, check_room
from sdn_lib.data.download.transfer import download, download_with_gdown, size_of
from sdn_lib.data.download.unpacking import UNPACKED
from sdn_lib.data.download.verifying import describe, read_record, record_path, verify, write_record


def fetch(
    archive: Archive,
    folder: str | Path,
    from_file: str | Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Bring one part into `folder`, from a file at hand or from its addresses in turn.

    A part that is there is skipped, which `report` says; one that another run is bringing is
    waited for. Raises FetchError that lists what every address answered and says how to go on by
    hand, and for a `from_file` that is missing, or that is not what the part came from;
    SpaceError before a download for which the disk has no room, and where it refuses;
    DamagedError for a `from_file` that is not the published one.
    """
    folder, own = Path(folder), None if from_file is None else Path(from_file)
    try:
        if own is not None:
            _refuse_no_file(archive, own)
        if _is_there(archive, folder, own, report):
            return
        refuse_incomplete(archive, folder)
        with files.alone(folder / "archives" / archive.file):
            # Another run may have brought it meanwhile, and one that was killed left something.
            if not _is_there(archive, folder, own, report):
                files.remove_leftovers(folder / archive.file, older=0)
                if own is not None:
                    _use_file(archive, folder, own)
                elif not _use_stored(archive, folder, report):
                    _download(archive, folder, report)
                report(f"{archive.part}: in {folder}, {describe(archive, folder)}")
    except OSError as error:
        raise SpaceError(files.explain(error)) from None


def _refuse_no_file(archive: Archive, own: Path) -> None:
    given = f"--from-file {archive.part}={own}"
    if own.is_dir():
        wanted = "pack it, and name the archive" if archive.wants else f"name its {archive.file}"
        raise FetchError(f"{given}: that is a folder: {wanted}")
    if not own.is_file():
        raise FetchError(f"{given}: there is no such file")


def _is_there(
    archive: Archive, folder: Path, own: Path | None, report: Callable[[str], None]
) -> bool:
    if missing(folder, archive.results):
        return False
    if own is not None:
        _refuse_another(archive, folder, own)
    report(f"{archive.part}: already in {folder}, {describe(archive, folder)}")
    return True


def _refuse_another(archive: Archive, folder: Path, own: Path) -> None:
    """Raise FetchError where what stands in `folder` did not come from the user's file."""
    if archive.wants:
        known = read_record(archive, folder).get("sha256")
    else:
        known = files.checksum(folder / archive.file)
    if known != files.checksum(own):
        places = " and ".join(str(folder / item) for item in archive.items)
        came = "came from another file" if known else "came from a file that is not on record"
        raise FetchError(
            f"--from-file {archive.part}={own}: {places} {came}: delete {places} and run again, "
            "or leave the option out to use what is there"
        )


def _use_file(archive: Archive, folder: Path, path: Path) -> None:
    """Place what a file holds that the user has; the file stays."""
    try:
        digest = verify(path, archive)
        if archive.check:
            archive.check(path)
        if archive.wants:
            extract(path, folder, archive)
        else:
            check_room(folder, size_of(path), f"to copy {path}")
            with files.writing(folder / archive.file) as partial:
                shutil.copyfile(path, partial)
    except DamagedError as error:
        raise DamagedError(f"{error}; get it again from {archive.page}") from None
    write_record(archive, folder, path, f"file {path.name}", digest)


def _use_stored(archive: Archive, folder: Path, report: Callable[[str], None]) -> bool:
    """Place an archive that an earlier run downloaded; False, with it removed, when damaged."""
    stored = folder / "archives" / archive.file
    if not stored.exists():
        return False
    try:
        digest = verify(stored, archive)
        known = read_record(archive, folder).get("sha256")
        if known and known != digest:
            raise DamagedError(f"{stored} is not the file that was downloaded: SHA-256 {digest}")
        if not known:
            write_record(archive, folder, stored, "found in the folder archives", digest)
        _place(archive, folder, stored)
    except DamagedError as error:
        report(f"{archive.part}: {error}; fetching it again")
        stored.unlink(missing_ok=True)
        record_path(archive, folder).unlink(missing_ok=True)
        return False
    return True


def _download(archive: Archive, folder: Path, report: Callable[[str], None]) -> None:
    """Try every address of an archive in turn, until what came from one is in its place."""
    stored = folder / "archives" / archive.file
    partial = stored.with_name(f"{stored.name}.partial")
    if archive.size:
        room = archive.size * (1 + (UNPACKED if archive.wants else 0)) - size_of(partial)
        check_room(folder, room, f"to download and unpack {archive.file}")
    answers = []
    for url, transfer in _sources(archive, partial):
        # What an earlier run left may be of another file: then once more, from nothing.
        for _ in range(2 if partial.exists() else 1):
            report(f"{archive.part}: {archive.file} from {url}")
            try:
                transfer()
                digest = verify(partial, archive)
                os.replace(partial, stored)
                write_record(archive, folder, stored, url, digest)
                _place(archive, folder, stored)
                return
            except DamagedError as error:
                for path in (partial, stored, record_path(archive, folder)):
                    path.unlink(missing_ok=True)
                answers.append(f"{url}: {error}")
                report(f"{archive.part}: {error}")
            except SpaceError:
                raise
            except FetchError as error:
                answers.append(str(error))
                report(f"{archive.part}: {error}")
                break
    raise FetchError(
        f"{archive.part}: {archive.file} could not be fetched:"
        + "".join(f"\n  - {answer}" for answer in answers)
        + f"\nget it with a browser from {archive.page} and run the same command again with "
        f"--from-file {archive.part}=PATH, where PATH is the file that you saved"
    )


def _sources(archive: Archive, partial: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    for url in archive.direct_urls:
        yield url, functools.partial(download, url, partial, archive.size)
    if archive.drive:
        yield archive.page, functools.partial(download_with_gdown, archive, partial)


def _place(archive: Archive, folder: Path, stored: Path) -> None:
    if archive.wants:
        extract(stored, folder, archive)
    else:
        os.replace(stored, folder / archive.file)
