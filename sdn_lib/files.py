"""Files written whole or not at all, and read with an error that names the file and the remedy."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sdn_lib.errors import SDNError

DAY = 86400

LINE_END = re.compile("\r\n|\r|\n")
"""Where lines end on Linux, on Windows and on an old Mac."""

# The longer first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

_REMEDIES: dict[int | None, str] = {
    errno.ENOSPC: "free some space, then run the same command again",
    errno.EDQUOT: "your quota is used up: free some space, then run the same command again",
    errno.EACCES: "make it writable for you, or choose another place",
    errno.EPERM: "make it writable for you, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.EFBIG: "a limit of yours or of the disk forbids files of this size: choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away, or choose another place",
    errno.EISDIR: "a folder stands where a file is needed: move it away, or choose another place",
    errno.EEXIST: "a file stands where a folder is needed: move it away, or choose another place",
}


def explain(error: OSError, path: str | Path | None = None) -> str:
    """Return one line on what the system refused: the file, its reason, and what to do."""
    where = f"{path or error.filename}: " if path or error.filename else ""
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno)
    return f"{where}{reason[:1].lower()}{reason[1:]}" + (f": {remedy}" if remedy else "")


def partial_path(path: Path) -> Path:
    """Return a new name beside `path` for what is to become it; `remove_leftovers` knows it."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path of this writer's own, which becomes `path` where nothing is raised.

    Folders are made. The file gets the mode that the umask says; a link stays one. What killed
    writers of the same file left behind is removed after a day. Raises SDNError where the system
    refuses, by name, and where `path` is neither a file nor a folder.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise SDNError(f"{path} is no plain file: name one")
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        partial.touch()
        mode = partial.stat().st_mode & 0o777
        yield partial
        partial.chmod(mode)
        os.replace(partial, path)
    except OSError as error:
        foreign = error.filename not in (None, str(partial))
        raise SDNError(explain(error, error.filename if foreign else path)) from None
    finally:
        with suppress(OSError):
            partial.unlink()


def remove_leftovers(path: Path, older: float = DAY) -> None:
    """Remove the temporary files and folders of `path` that are `older` seconds or more."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.partial"):
        try:
            if time.time() - left.lstat().st_mtime >= older:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except FileNotFoundError:
            continue


class NoTextError(SDNError):
    """Bytes that are no text from a `line` on, where `byte` is not of the encoding `kind`."""

    def __init__(self, line: int, kind: str, byte: int) -> None:
        super().__init__(f"line {line} is not {kind} (byte {byte:#04x})")
        self.line, self.kind, self.byte = line, kind, byte


def decoded(raw: bytes) -> str:
    """Return the text of bytes, UTF-8, or UTF-16 or 32 with a byte order mark, which is dropped.

    Raises NoTextError where they are no such text.
    """
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8-sig")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        # Of `utf-8-sig`, Python counts from behind the mark.
        before = error.object[: error.start].decode(encoding, errors="ignore")
        line = len(LINE_END.findall(before)) + 1
        kind = encoding.removesuffix("-sig").upper()
        raise NoTextError(line, kind, error.object[error.start]) from None


def read_text(path: str | Path, remedy: str) -> str:
    """Return the text of a file, as `decoded` does.

    Raises SDNError with the file, the line and the `remedy` where it is no such text.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise SDNError(f"{path} cannot be read ({reason}): {remedy}") from None
    try:
        text = decoded(raw)
    except NoTextError as error:
        raise SDNError(
            f"{path} cannot be read as text (line {error.line} is not {error.kind}): {remedy}"
        ) from None
    if "\0" in text:
        raise SDNError(f"{path} cannot be read as text (it is not UTF-8): {remedy}")
    return text


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with writing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: str | Path, remedy: str, kind: type = dict) -> Any:
    """Return what a JSON file holds, a `kind`.

    Raises SDNError with the file, the reason and the `remedy` for one that is missing, empty, cut
    short, no UTF-8, or that holds something else.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise SDNError(f"{path} cannot be read ({reason}): {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise SDNError(f"{path} cannot be read ({error}): {remedy}") from None
    if not isinstance(value, kind):
        raise SDNError(f"{path} holds {type(value).__name__}, not {kind.__name__}: {remedy}")
    return value


@contextmanager
def alone(path: str | Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let one process at a time make what goes to `path`; `waiting` is called before a wait."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise SDNError(explain(error, path)) from None
    try:
        yield
    finally:
        # Whoever waits for the file that goes notices, and takes a new one.
        with suppress(OSError):
            os.unlink(lock.lock_file)
        lock.release()


def checksum(path: str | Path, kind: str = "sha256") -> str:
    """Return the checksum of a file, in hexadecimal; `kind` as hashlib names it."""
    with Path(path).open("rb") as file:
        made = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
    return made.hexdigest()


_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # of Windows


def names_a_folder(name: str) -> bool:
    """Say whether a folder may have this name on any system.

    Up to 64 letters, digits, spaces, '.', '_' and '-', the first a letter, a digit or '_', the last
    one of these or '-'; and no device of Windows.
    """
    plain = re.fullmatch(r"\w([\w. -]{0,62}[\w-])?", name)
    return bool(plain) and not _DEVICES.fullmatch(name)
