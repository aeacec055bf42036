"""Files are whole or not there, writers do not share a name, and what is damaged is named."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from sdn_lib import files
from sdn_lib.errors import SDNError


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "facts.json"
    files.write_json(path, {"bird": "Fréchet"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"bird": "Fréchet"}
    with pytest.raises(ZeroDivisionError), files.writing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(TypeError):
        files.write_json(path, {"no JSON": {1, 2}})
    assert files.read_json(path, "") == {"bird": "Fréchet"}
    assert left(path.parent) == ["facts.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_gets_the_mode_that_the_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with files.writing(tmp_path / "weights") as partial:
            # As safetensors and tempfile make their files.
            partial.unlink()
            os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights").stat().st_mode) == mode


def test_a_link_stays_a_link_and_what_is_no_file_stays_what_it_is(tmp_path: Path) -> None:
    kept, link, pipe = tmp_path / "kept", tmp_path / "link", tmp_path / "pipe"
    kept.write_text("old")
    link.symlink_to(kept)
    files.write_text(link, "new")
    assert link.is_symlink() and kept.read_text() == "new"
    os.mkfifo(pipe)
    with pytest.raises(SDNError, match="pipe is no plain file: name one"):
        files.write_text(pipe, "new")
    assert pipe.is_fifo()


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with files.writing(path) as one, files.writing(path) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one", "the last to end"
    assert left(tmp_path) == ["log.jsonl"]


def test_leftovers_of_killed_writers_go_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / "a[1].json"
    old, young = tmp_path / ".a[1].json.01234567.partial", tmp_path / ".a[1].json.89abcdef.partial"
    other = tmp_path / ".b.json.01234567.partial"
    old.mkdir()
    (old / "part").touch()
    young.touch()
    other.touch()
    for leftover in (old, other):
        os.utime(leftover, (time.time() - 2 * files.DAY,) * 2)
    files.write_text(path, "")
    assert left(tmp_path) == sorted([path.name, young.name, other.name])


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "no space left on device: free some space"),
        (errno.EDQUOT, "disk quota exceeded: your quota is used up"),
        (errno.EACCES, "permission denied: make it writable"),
        (errno.EROFS, "read-only file system: choose a place"),
        (errno.EIO, "input/output error"),
    ],
)
def test_what_the_system_refuses_is_one_line(tmp_path: Path, code: int, said: str) -> None:
    path = tmp_path / "facts.json"
    files.write_text(path, "before")
    with pytest.raises(SDNError) as caught, files.writing(path) as partial:
        raise OSError(code, os.strerror(code), str(partial))
    assert str(caught.value).lower().startswith(f"{path}: {said}".lower())
    assert "\n" not in str(caught.value) and "partial" not in str(caught.value)
    assert path.read_text() == "before" and left(tmp_path) == ["facts.json"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    for path in (tmp_path / "data" / "facts.json", tmp_path / "data" / "deep" / "facts.json"):
        with pytest.raises(SDNError, match="data.*a file stands where a folder is needed"):
            files.write_text(path, "")
        with pytest.raises(SDNError, match="a file stands where a folder is needed"):
            files.alone(path).__enter__()
    (tmp_path / "folder").mkdir()
    with pytest.raises(SDNError, match="folder: is a directory: a folder stands"):
        files.write_text(tmp_path / "folder", "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b'{"a": 1', "cannot be read"),
        (b"\xff\xfe{", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"[]", "holds list, not dict"),
        (b"null", "holds NoneType, not dict"),
        (None, "No such file"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SDNError) as caught:
        files.read_json(path, "delete it, train again")
    said_all = str(caught.value)
    assert said_all.startswith(str(path)) and said in said_all
    assert said_all.endswith(": delete it, train again") and "\n" not in said_all


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("one\ntwo\nthr\xe9e".encode("latin1"), 3),
        ("one\r\ntwo\rthr\xe9e".encode("latin1"), 3),
        (b"\xef\xbb\xbfone\n\xe9two", 2),
        (b"\xff\xfea\0\n\0b", 2),
    ],
)
def test_what_is_no_text_is_named_with_its_line(tmp_path: Path, raw: bytes, line: int) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(raw)
    kind = "UTF-16" if raw.startswith(b"\xff") else "UTF-8"
    with pytest.raises(SDNError, match=f"classes.txt .*line {line} is not {kind}.: unpack it"):
        files.read_text(path, "unpack it")
    with pytest.raises(files.NoTextError, match=f"line {line} is not {kind} .byte 0x"):
        files.decoded(raw)


def hold(path: Path, held: multiprocessing.Event, seconds: float) -> None:
    with files.alone(path):
        held.set()
        time.sleep(seconds)


def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "made"
    context = multiprocessing.get_context("spawn")
    held, waits = context.Event(), []
    other = context.Process(target=hold, args=(path, held, 60))
    other.start()
    assert held.wait(60)

    def waiting() -> None:
        waits.append(time.monotonic())
        other.kill()

    with files.alone(path, waiting):
        assert len(waits) == 1
    other.join()
    with files.alone(path, waiting):
        assert len(waits) == 1, "nobody is there to wait for"
