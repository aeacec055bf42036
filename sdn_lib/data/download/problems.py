"""What can go wrong with a download, an archive or the disk, and what tells them apart."""

from __future__ import annotations

import errno
import shutil
import urllib.error
from pathlib import Path

from sdn_lib.errors import SDNError


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
