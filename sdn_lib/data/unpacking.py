"""Archives from elsewhere, unpacked with suspicion: no links, no devices, nothing outside."""

from __future__ import annotations

import errno
import shutil
import stat
import tarfile
import urllib.error
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdn_lib.data.clutter import is_clutter
from sdn_lib.errors import SDNError
from sdn_lib.files import explain

CHUNK = 1 << 18
# Photographs hardly shrink when packed; this leaves room for captions, which do.
UNPACKED = 1.5


class FetchError(SDNError):
    """A file that could not be downloaded, checked or unpacked; the message names it."""


class DamagedError(FetchError):
    """A file whose size, checksum or content is not what it should be."""


class SpaceError(FetchError):
    """A disk without room for what is to come, or that refuses it: no other address would help."""


REFUSALS = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EACCES", "EPERM", "EROFS", "EIO", "EMFILE", "ENOMEM")
    if hasattr(errno, name)
)
"""What says that this machine, not an archive or an address, is at fault."""


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip or tar archive into an existing, empty folder, without the clutter in it.

    Raises DamagedError for an archive that is cut short or damaged, or holds a link, a device or
    a member outside of itself; SpaceError on a full disk. What was unpacked by then stays.
    """
    with _unpacking(path):
        _unpack(path, folder)


def folders(top: Path) -> Iterator[Path]:
    """Yield `top` and every folder below it, the shallowest first."""
    waiting = deque([top])
    while waiting:
        folder = waiting.popleft()
        yield folder
        waiting.extend(sorted(p for p in folder.iterdir() if p.is_dir()))


def check_room(folder: Path, need: float, what: str) -> None:
    """Raise SpaceError unless the disk of `folder` has `need` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < need:
        raise SpaceError(
            f"{folder} has {free / 1e9:.2f} GB free, {need / 1e9:.2f} GB are needed {what}: "
            "make room, or choose a folder on another disk"
        )


def reason(error: Exception) -> str:
    """Return in one line what an error says."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    try:
        yield
    except SDNError:
        raise
    except OSError as error:
        if error.errno in REFUSALS:
            what = f"{path} cannot be unpacked: {explain(error)}"
            raise SpaceError(what) from None
        raise DamagedError(f"{path} cannot be unpacked: {reason(error)}") from None
    except (
        EOFError,
        RuntimeError,
        ValueError,
        zlib.error,
        tarfile.TarError,
        zipfile.BadZipFile,
    ) as error:
        raise DamagedError(f"{path} is damaged or cut short: {reason(error)}") from None


def _unpack(path: Path, folder: Path) -> None:
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if not is_zip:
        check_room(folder, path.stat().st_size * UNPACKED, f"to unpack {path.name}")
        with tarfile.open(path) as tar:
            for member in tar:
                kind = "folder" if member.isdir() else "file" if member.isreg() else "link, device"
                target = _target(folder, member.name, kind, path)
                if kind == "file" and target:
                    _write_member(tar.extractfile(member), target)
            # To the end, where gzip keeps its checksum.
            while tar.fileobj.read(CHUNK):
                pass
        return
    with zipfile.ZipFile(path) as zipped:
        members = zipped.infolist()
        check_room(folder, sum(m.file_size for m in members), f"to unpack {path.name}")
        for member in members:
            mode = stat.S_IFMT(member.external_attr >> 16)
            plain = mode in (0, stat.S_IFREG, stat.S_IFDIR)
            is_folder = member.filename.endswith(("/", "\\"))
            kind = "link, device" if not plain else "folder" if is_folder else "file"
            target = _target(folder, member.filename, kind, path)
            if kind == "file" and target:
                _write_member(zipped.open(member), target)


def _target(folder: Path, name: str, kind: str, path: Path) -> Path | None:
    """Return where a member goes, its folder made, or None for clutter.

    Raises DamagedError when it must go nowhere.
    """
    if kind not in ("file", "folder"):
        raise DamagedError(f"{path}: the member {name!r} is a link or a device: refused")
    parts = name.replace("\\", "/").split("/")
    if is_clutter("/".join(parts)):
        return None
    if name.startswith(("/", "\\")) or ".." in parts or ":" in name:
        raise DamagedError(f"{path}: the member {name!r} lies outside the archive: refused")
    target = folder.joinpath(*parts)
    (target if kind == "folder" else target.parent).mkdir(parents=True, exist_ok=True)
    return target


def _write_member(source, target: Path) -> None:
    with source, target.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
