"""What is known of a file that came: its size and checksum, and the record beside its archive."""

from __future__ import annotations

from pathlib import Path

from sdn_lib import files
from sdn_lib.data.download.addresses import Archive
from sdn_lib.data.download.problems import DamagedError
from sdn_lib.data.download.transfer import size_of


def verify(path: str | Path, archive: Archive) -> str:
    """Return the SHA-256 of a file, in hexadecimal, after a check against what is published.

    Raises DamagedError that names the file, what was expected and what came.
    """
    path = Path(path)
    size = size_of(path)
    if archive.size is not None and size != archive.size:
        raise DamagedError(f"{path} has {size} bytes, the published file has {archive.size}")
    if archive.checksum:
        kind, expected = archive.checksum.split(":")
        found = files.checksum(path, kind)
        if found != expected:
            raise DamagedError(
                f"{path} has the {kind} checksum {found}, expected {expected}: it is not the "
                f"published {archive.file}"
            )
        if kind == "sha256":
            return found
    return files.checksum(path, "sha256")


def describe(archive: Archive, folder: Path) -> str:
    """Return in words how sure it is that what stands in `folder` is what was published.

    Raises DamagedError for a file without an archive that is not the published one.
    """
    if not archive.wants:
        try:
            verify(folder / archive.file, archive)
        except DamagedError as error:
            raise DamagedError(f"{error}; delete it and run again") from None
        return f"verified ({archive.checksum.split(':')[0]})" if archive.checksum else "unverified"
    record = read_record(archive, folder)
    if not record:
        return "not from here: its files are used as they are, unverified"
    if record.get("verified"):
        return f"verified ({record['verified'].split(':')[0]})"
    where = f"its SHA-256 is in {record_path(archive, folder)}"
    return f"not verified: {_unverified(archive)}; {where}"


def _unverified(archive: Archive) -> str:
    if archive.part_of_it or archive.checksum:
        return "it is a part of the data set"
    return "no checksum is published"


def record_path(archive: Archive, folder: Path) -> Path:
    """Return where the record of an archive lies."""
    return folder / "archives" / f"{archive.file}.json"


def write_record(archive: Archive, folder: Path, path: Path, source: str, digest: str) -> None:
    """Record that the file at `path`, of a SHA-256, came from `source`."""
    record = {
        "file": archive.file,
        "source": source,
        "bytes": size_of(path),
        "sha256": digest,
        "verified": archive.checksum,
    }
    if not archive.checksum:
        record["note"] = f"{_unverified(archive)}: this is what came, it could not be verified"
    files.write_json(record_path(archive, folder), record)


def read_record(archive: Archive, folder: Path) -> dict[str, str]:
    """Return the record of an archive, empty where there is none. Raises SDNError if damaged."""
    path = record_path(archive, folder)
    return files.read_json(path, "delete it and run again") if path.exists() else {}
