"""Archives from elsewhere, unpacked with suspicion: no links, no devices, nothing outside."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sdn_lib.data.clutter import is_clutter
from sdn_lib.data.download.problems import REFUSALS, DamagedError, SpaceError, check_room, reason
from sdn_lib.errors import SDNError
from sdn_lib.files import explain

CHUNK = 1 << 18
# Photographs hardly shrink when packed; this leaves room for captions, which do.
UNPACKED = 1.5


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into an existing, empty folder, without the clutter in it.

    Raises DamagedError for an archive that is cut short or damaged, or holds a link, a device or
    a member outside of itself; SpaceError on a full disk. What was unpacked by then stays.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        (_unpack_zip if is_zip else _unpack_tar)(path, folder)
    except SDNError:
        raise
    except OSError as error:
        if error.errno in REFUSALS:
            raise SpaceError(f"{path} cannot be unpacked: {explain(error)}") from None
        raise DamagedError(f"{path} cannot be unpacked: {reason(error)}") from None
    except (
        EOFError,
        RuntimeError,
        ValueError,
        lzma.LZMAError,
        zlib.error,
        tarfile.TarError,
        zipfile.BadZipFile,
    ) as error:
        raise DamagedError(f"{path} is damaged or cut short: {reason(error)}") from None


def _unpack_tar(path: Path, folder: Path) -> None:
    check_room(folder, path.stat().st_size * UNPACKED, f"to unpack {path.name}")
    with tarfile.open(path) as tar:
        # No owners and modes of elsewhere, where Python is 3.11.4 or newer; the rest is refused.
        tar.extraction_filter = getattr(tarfile, "data_filter", None)
        tar.extractall(folder, _admitted(tar, path))
        # To the end, where gzip keeps its checksum.
        while tar.fileobj.read(CHUNK):
            pass


def _admitted(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        name = _safe_name(path, member.name, member.isreg() or member.isdir())
        if name:
            member.name = name
            member.mode |= 0o700 if member.isdir() else 0o600  # what is unpacked is moved on
            yield member


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as zipped:
        members = zipped.infolist()
        check_room(folder, sum(m.file_size for m in members), f"to unpack {path.name}")
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            name = _safe_name(path, member.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if name:
                member.filename = name
                zipped.extract(member, folder)


def _safe_name(path: Path, name: str, is_plain: bool) -> str:
    """Return a member's name with slashes, nothing for clutter.

    Raises DamagedError for what is no plain file or folder, or would lie outside the archive.
    """
    if not is_plain:
        raise DamagedError(f"{path}: the member {name!r} is a link or a device: refused")
    with_slashes = name.replace("\\", "/")
    if is_clutter(with_slashes):
        return ""
    if with_slashes.startswith("/") or ".." in with_slashes.split("/") or with_slashes[1:2] == ":":
        raise DamagedError(f"{path}: the member {name!r} lies outside the archive: refused")
    if ":" in name:
        raise DamagedError(
            f"{path}: the member {name!r} has a colon in its name, which Windows forbids: rename it"
        )
    return with_slashes
