"""Files transferred from web addresses and Google Drive, going on where a transfer broke off."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from sdn_lib import files
from sdn_lib.data.download.addresses import Archive
from sdn_lib.data.download.problems import REFUSALS, FetchError, SpaceError, check_room, reason

# Version 6 of gdown drops the resource key from the address, and old files need it.
INSTALL = 'pip install "gdown>=5.2,<6"'
CHUNK = 1 << 18
TIMEOUT = 60.0
TRIES = 3
WAIT = 2.0


def download(url: str, partial: str | Path, size: int | None = None) -> None:
    """Download `url` into `partial`, going on after the bytes that are already there.

    A connection that breaks is taken up again, up to `TRIES` times without a new byte. Raises
    FetchError when the address is dead, offers another `size` in bytes than expected or answers
    with a web page; SpaceError when the disk is too full. What came so far stays in `partial`.
    """
    partial = Path(partial)
    had, stalls, flowed = size_of(partial), 0, False
    while True:
        try:
            _transfer(url, partial, size)
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in REFUSALS:
                raise SpaceError(files.explain(error, partial)) from None
            have, why = size_of(partial), reason(error)
            flowed, stalls = flowed or have > had, 0 if have > had else stalls + 1
            busy = isinstance(error, urllib.error.HTTPError) and error.code in (429, 500, 502, 503)
            if stalls >= TRIES or not (flowed or busy):
                kept = f" ({have} bytes are kept, the same command goes on there)" if have else ""
                raise FetchError(f"{url}: {why}{kept}") from None
            had = have
            time.sleep(WAIT * 2**stalls)


def download_with_gdown(archive: Archive, partial: Path) -> None:
    """Download an archive from Google Drive into `partial`, from the beginning.

    Raises FetchError where the package gdown is missing, or with what it says; SpaceError when
    the disk is full or refuses.
    """
    try:
        import gdown
    except ImportError:
        raise FetchError(
            f"{archive.page}: the package gdown, which knows Google Drive's pages, is missing: "
            f"{INSTALL}"
        ) from None
    # Not into `partial`: gdown starts from nothing, and what is there can still be resumed.
    with files.writing(partial) as whole:
        try:
            with whole.open("wb") as file, _bar(partial, archive.size, 0) as bar:
                gdown.download(
                    url=f"https://drive.google.com/uc?id={archive.drive}{archive.key}",
                    output=_Counted(file, bar),
                    quiet=True,
                    use_cookies=False,
                )
        except Exception as error:  # gdown's errors have no common base.
            if isinstance(error, OSError) and error.errno in REFUSALS:
                raise SpaceError(files.explain(error, partial)) from None
            words = f"gdown {gdown.__version__} (wanted: {INSTALL}) says: {reason(error)}"
            raise FetchError(f"{archive.page}: {words}") from None


def _transfer(url: str, partial: Path, size: int | None) -> None:
    have = size_of(partial)
    if size is not None and have > size:
        partial.unlink()
        have = 0
    if size is not None and have == size:
        return
    headers = {"User-Agent": "sdn-book", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return
        partial.unlink()
        return _transfer(url, partial, size)
    with response:
        if response.headers.get_content_type() == "text/html":
            raise FetchError(
                f"{url}: a web page came instead of the file (moved, a quota, or a login)"
            )
        if response.status == 206 and not (
            response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        ):
            partial.unlink()
            return _transfer(url, partial, size)
        # A server that ignores Range answers 200 and sends everything again.
        start = have if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else size
        if size is not None and total != size:
            raise FetchError(f"{url}: offers {total} bytes, expected {size}: another file")
        if total is not None:
            check_room(partial.parent, total - start, f"for {partial.name}")
        with (
            partial.open("ab" if start else "wb") as file,
            _bar(partial, total, start) as bar,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and size_of(partial) < total:
        raise ConnectionError(f"cut after {size_of(partial)} of {total} bytes")


class _Counted:
    """A file open for writing that moves a progress bar."""

    def __init__(self, file: BinaryIO, bar: tqdm) -> None:
        self._file, self._bar = file, bar

    def write(self, chunk: bytes) -> int:
        self._bar.update(len(chunk))
        return self._file.write(chunk)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()


def _bar(partial: Path, total: int | None, start: int) -> tqdm:
    name = partial.name.removesuffix(".partial")
    # disable=None: no bar where standard error is no terminal.
    return tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, disable=None)


def size_of(path: Path) -> int:
    """Return the bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
