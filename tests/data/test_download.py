from __future__ import annotations

import errno
import hashlib
import importlib.util
import io
import json
import os
import shutil
import stat
import sys
import tarfile
import threading
import tomllib
import types
import zipfile
from collections import namedtuple
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sdn_lib.data.download import addresses, command_line, transfer, unpacking
from sdn_lib.data.download.addresses import Archive
from sdn_lib.data.download.fetching import fetch
from sdn_lib.data.download.placing import extract
from sdn_lib.data.download.problems import DamagedError, FetchError, SpaceError
from sdn_lib.data.download.transfer import download
from sdn_lib.errors import SDNError

ROOT = Path(__file__).resolve().parents[2]
NOISE = b"".join(hashlib.sha256(bytes([i % 256, i // 256])).digest() for i in range(3000))
BIRDS = {
    "attributes.txt": b"1 has_bill_shape::curved\n",
    "CUB_200_2011/images.txt": b"1 001.A/A_1.jpg\n",
    "CUB_200_2011/images/001.A/A_1.jpg": NOISE,
    "CUB_200_2011/attributes/certainties.txt": b"1 guessing\n",
}


def tar_of(files, extra=(), mode="w:gz"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return out.getvalue()


def flipped(content):
    """The content with its middle byte flipped."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def zip_of(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return out.getvalue()


def images(*urls, content=None, **change):
    """An archive of birds, with size and checksum when `content` is given."""
    archive = replace(addresses.BIRDS[0], urls=urls, drive=None, size=None, checksum=None)
    if content is not None:
        digest = hashlib.md5(content).hexdigest()
        archive = replace(archive, size=len(content), checksum=f"md5:{digest}")
    return replace(archive, **change)


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


class Server:
    """A web server on loopback: `files` by path; what it is to do wrong; what it was asked."""

    def __init__(self):
        self.files, self.asked = {}, []
        self.cuts, self.ranges, self.busy, self.html = [], True, 0, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def url(self, name):
        return f"http://127.0.0.1:{self.server.server_port}/{name}"

    def answer(self, to):
        asked = to.headers.get("Range")
        self.asked.append((to.path[1:], asked))
        content = self.files.get(to.path[1:])
        if content is None:
            return to.send_error(404)
        if self.busy:
            self.busy -= 1
            return to.send_error(503)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        if start and start >= len(content):
            to.send_response(416)
            to.send_header("Content-Range", f"bytes */{len(content)}")
            return to.end_headers()
        to.send_response(206 if start else 200)
        if start:
            to.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        to.send_header("Content-Type", "text/html" if self.html else "application/octet-stream")
        to.send_header("Content-Length", str(len(content) - start))
        to.end_headers()
        end = self.cuts.pop(0) if self.cuts else len(content)
        to.wfile.write(content[start:end])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "WAIT", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def said():
    return []


# --- Downloading


def test_birds_arrive_verified_and_a_second_run_skips_them(server, tmp_path, said):
    content = server.files["birds.tgz"] = tar_of(BIRDS)
    archive = images(server.url("birds.tgz"), content=content)
    fetch(archive, tmp_path / "birds", report=said.append)
    assert tree(tmp_path / "birds") == [
        "CUB_200_2011/attributes/attributes.txt",
        "CUB_200_2011/attributes/certainties.txt",
        "CUB_200_2011/images.txt",
        "CUB_200_2011/images/001.A/A_1.jpg",
        "archives/CUB_200_2011.tgz",
        "archives/CUB_200_2011.tgz.json",
    ]
    record = json.loads((tmp_path / "birds/archives/CUB_200_2011.tgz.json").read_text())
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["verified"] == archive.checksum and "verified (md5)" in said[-1]
    fetch(archive, tmp_path / "birds", report=said.append)
    assert "already in" in said[-1] and "verified (md5)" in said[-1]
    assert len(server.asked) == 1


def test_without_a_checksum_what_came_is_recorded_as_unverified(server, tmp_path, said):
    content = server.files["birds.tgz"] = tar_of(BIRDS)
    fetch(images(server.url("birds.tgz")), tmp_path, report=said.append)
    record = json.loads((tmp_path / "archives/CUB_200_2011.tgz.json").read_text())
    assert record["sha256"] == hashlib.sha256(content).hexdigest()
    assert record["bytes"] == len(content) and record["source"] == server.url("birds.tgz")
    assert record["verified"] is None and "could not be verified" in record["note"]
    assert "not verified: no checksum is published" in said[-1]


def test_a_cut_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.files["file"] = NOISE
    server.cuts = [30_000, 60_000]
    download(server.url("file"), tmp_path / "file.partial", len(NOISE))
    assert (tmp_path / "file.partial").read_bytes() == NOISE
    assert [r for _, r in server.asked] == [None, "bytes=30000-", "bytes=60000-"]


def test_a_later_run_resumes_the_partial_file(server, tmp_path, said):
    content = server.files["birds.tgz"] = tar_of(BIRDS)
    archive = images(server.url("birds.tgz"), content=content)
    server.cuts = [20_000] * 9
    with pytest.raises(FetchError, match="cut after 20000 of .*the same command goes on"):
        fetch(archive, tmp_path, report=said.append)
    assert tree(tmp_path) == ["archives/CUB_200_2011.tgz.partial"]
    server.cuts, server.asked = [], []
    fetch(archive, tmp_path, report=said.append)
    assert server.asked == [("birds.tgz", "bytes=20000-")]
    assert "archives/CUB_200_2011.tgz.partial" not in tree(tmp_path)


def test_a_server_that_ignores_range_sends_all_again(server, tmp_path):
    server.files["file"], server.ranges = NOISE, False
    (tmp_path / "file.partial").write_bytes(NOISE[:1000])
    download(server.url("file"), tmp_path / "file.partial")
    assert server.asked == [("file", "bytes=1000-")]
    assert (tmp_path / "file.partial").read_bytes() == NOISE


@pytest.mark.parametrize("size", [None, len(NOISE)])
def test_a_partial_file_that_is_whole_or_too_long(server, tmp_path, size):
    server.files["file"] = NOISE
    partial = tmp_path / "file.partial"
    for content in (NOISE, NOISE + b"more"):
        partial.write_bytes(content)
        download(server.url("file"), partial, size)
        assert partial.read_bytes() == NOISE


def test_a_partial_file_of_another_file_is_fetched_once_more(server, tmp_path, said):
    content = server.files["birds.tgz"] = tar_of(BIRDS)
    partial = tmp_path / "archives/CUB_200_2011.tgz.partial"
    partial.parent.mkdir()
    partial.write_bytes(b"x" * 1000)
    fetch(images(server.url("birds.tgz"), content=content), tmp_path, report=said.append)
    assert [r for _, r in server.asked] == ["bytes=1000-", None]
    assert "CUB_200_2011/images.txt" in tree(tmp_path)


def test_a_busy_server_is_asked_again_and_a_dead_address_is_not(server, tmp_path):
    server.files["file"], server.busy = NOISE, 2
    download(server.url("file"), tmp_path / "file")
    assert len(server.asked) == 3
    with pytest.raises(FetchError, match="nothing: HTTP 404"):
        download(server.url("nothing"), tmp_path / "other")
    assert len(server.asked) == 4 and not (tmp_path / "other").exists()
    with pytest.raises(FetchError, match="refused"):
        download("http://127.0.0.1:9/file", tmp_path / "other")


def test_a_dead_link_gives_the_next_one(server, tmp_path, said):
    content = server.files["mirror"] = tar_of(BIRDS)
    archive = images(server.url("gone"), server.url("mirror"), content=content)
    fetch(archive, tmp_path, report=said.append)
    assert any("HTTP 404" in line for line in said)
    assert json.loads((tmp_path / "archives/CUB_200_2011.tgz.json").read_text())["source"] == (
        server.url("mirror")
    )


def test_a_web_page_is_no_archive(server, tmp_path, said):
    server.files["page"], server.html = b"<html>quota exceeded</html>", True
    partial = tmp_path / "archives/CUB_200_2011.tgz.partial"
    partial.parent.mkdir()
    partial.write_bytes(b"kept")
    server.ranges = False
    with pytest.raises(FetchError, match="a web page came instead"):
        fetch(images(server.url("page")), tmp_path, report=said.append)
    assert partial.read_bytes() == b"kept"


def test_when_every_link_is_dead_the_error_says_what_to_do(server, tmp_path, said):
    archive = images(server.url("one"), server.url("two"))
    with pytest.raises(FetchError) as caught:
        fetch(archive, tmp_path / "birds", report=said.append)
    words = str(caught.value)
    assert f"{server.url('one')}: HTTP 404" in words and f"{server.url('two')}: HTTP 404" in words
    assert f"browser from {server.url('one')}" in words and "--from-file images=PATH" in words
    assert tree(tmp_path) == []


def test_a_wrong_checksum_is_named_and_the_file_removed(server, tmp_path, said):
    content = tar_of(BIRDS)
    server.files["birds.tgz"] = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    archive = images(server.url("birds.tgz"), content=content)
    with pytest.raises(FetchError, match="md5 checksum .* expected " + archive.checksum[4:]):
        fetch(archive, tmp_path, report=said.append)
    assert tree(tmp_path) == []


def test_a_file_of_another_length_is_not_downloaded(server, tmp_path, said):
    server.files["birds.tgz"] = tar_of(BIRDS)
    archive = images(server.url("birds.tgz"), size=77)
    with pytest.raises(FetchError, match="expected 77"):
        fetch(archive, tmp_path, report=said.append)
    assert tree(tmp_path) == []


def test_the_disk_is_looked_at_first(server, tmp_path, said, monkeypatch):
    content = server.files["birds.tgz"] = tar_of(BIRDS)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6, 1000))
    archive = images(server.url("birds.tgz"), content=content)
    with pytest.raises(SpaceError, match="GB free.*needed to download and unpack.*another disk"):
        fetch(archive, tmp_path, report=said.append)
    assert server.asked == []
    # Nobody published the size: the server says it.
    with pytest.raises(SpaceError, match="CUB_200_2011.tgz.partial"):
        fetch(images(server.url("birds.tgz")), tmp_path, report=said.append)
    (tmp_path / "own.tgz").write_bytes(content)
    with pytest.raises(SpaceError, match="to unpack own.tgz"):
        extract(tmp_path / "own.tgz", tmp_path / "birds", archive)
    assert tree(tmp_path) == ["own.tgz"]


def test_an_archive_that_waits_unpacked_is_not_downloaded_again(server, tmp_path, said):
    content = server.files["birds.tgz"] = tar_of(BIRDS)
    archive = images(server.url("birds.tgz"))
    fetch(archive, tmp_path, report=said.append)
    shutil.rmtree(tmp_path / "CUB_200_2011")
    fetch(archive, tmp_path, report=said.append)
    assert len(server.asked) == 1 and "CUB_200_2011/images.txt" in tree(tmp_path)
    shutil.rmtree(tmp_path / "CUB_200_2011")
    (tmp_path / "archives/CUB_200_2011.tgz").write_bytes(content[:-1] + b"?")
    fetch(archive, tmp_path, report=said.append)
    assert len(server.asked) == 2 and any("fetching it again" in line for line in said)


# --- Google Drive


def drive_only(monkeypatch):
    monkeypatch.setattr(Archive, "direct_urls", property(lambda self: self.urls))
    return replace(addresses.BIRDS[1], wants=("text_c10/001.A",))


def test_drive_addresses_carry_the_resource_key():
    for archive in (*addresses.BIRDS[1:], *addresses.FLOWERS[3:]):
        for address in (archive.page, *archive.direct_urls):
            assert archive.drive in address and f"resourcekey={archive.drive_key}" in address


def test_gdown_is_asked_with_the_key(tmp_path, said, monkeypatch):
    archive, asked = drive_only(monkeypatch), {}

    def download(output, **options):
        asked.update(options)
        output.write(tar_of({"cvpr2016_cub/text_c10/001.A/1.txt": b"a bird\n"}))

    fake = types.SimpleNamespace(download=download, __version__="5.2.2")
    monkeypatch.setitem(sys.modules, "gdown", fake)
    fetch(archive, tmp_path, report=said.append)
    assert f"id={archive.drive}&resourcekey={archive.drive_key}" in asked["url"]
    assert not asked["use_cookies"]
    assert "text_c10/001.A/1.txt" in tree(tmp_path)


def test_what_gdown_says_is_passed_on_and_nothing_stays(tmp_path, said, monkeypatch):
    def download(output, **_):
        output.write(b"half")
        raise RuntimeError("Cannot retrieve the public link")

    fake = types.SimpleNamespace(download=download, __version__="5.2.2")
    monkeypatch.setitem(sys.modules, "gdown", fake)
    with pytest.raises(FetchError, match="gdown 5.2.2 .*Cannot retrieve.*\n.*--from-file"):
        fetch(drive_only(monkeypatch), tmp_path, report=said.append)
    assert tree(tmp_path) == []


def test_without_gdown_the_pip_command_is_named(tmp_path, said, monkeypatch):
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(FetchError, match='pip install "gdown>=5.2,<6"'):
        fetch(drive_only(monkeypatch), tmp_path, report=said.append)
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert transfer.INSTALL == f'pip install "{extra["optional-dependencies"]["data"][0]}"'


# --- Unpacking


def member(name, kind, target=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def zip_link():
    link = zipfile.ZipInfo("CUB_200_2011/link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return link


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tar_of({**BIRDS, "../evil": b"!"}), "'../evil' lies outside"),
        (tar_of({**BIRDS, "a/../../evil": b"!"}), "lies outside"),
        (tar_of({**BIRDS, "/tmp/evil": b"!"}), "'/tmp/evil' lies outside"),
        (tar_of({**BIRDS, "..\\evil": b"!"}), "lies outside"),
        (tar_of({**BIRDS, "C:evil": b"!"}), "lies outside"),
        (tar_of({**BIRDS, "CUB_200_2011/12:30.jpg": b"!"}), "has a colon in its name"),
        (tar_of(BIRDS, [member("link", tarfile.SYMTYPE, "/etc")]), "'link' is a link or a device"),
        (tar_of(BIRDS, [member("link", tarfile.LNKTYPE, "attributes.txt")]), "is a link"),
        (tar_of(BIRDS, [member("null", tarfile.CHRTYPE)]), "a device"),
        (tar_of(BIRDS, [member("pipe", tarfile.FIFOTYPE)]), "a device"),
        (zip_of({**BIRDS, "../evil": b"!"}), "'../evil' lies outside"),
        (zip_of({**BIRDS, zip_link(): b"/etc"}), "is a link"),
        (tar_of(BIRDS)[:-20_000], "damaged or cut short"),
        (tar_of(BIRDS)[:-4], "damaged or cut short"),
        (tar_of(BIRDS, mode="w")[:50_000], "damaged or cut short"),
        (zip_of(BIRDS)[:-20_000], "damaged or cut short"),
        (flipped(tar_of(BIRDS, mode="w:xz")), "damaged or cut short"),
        (tar_of(BIRDS)[:-8] + bytes(8), "cannot be unpacked: CRC"),
        (b"<html>no</html>", "damaged or cut short"),
        (b"", "damaged or cut short"),
        (tar_of({"other/file": b""}), "no folder with CUB_200_2011/images.txt.*top lie other"),
        (tar_of({"file": b"", "file/below": b""}), "cannot be unpacked"),
    ],
    # An archive holds the time of its making: as a name it would differ between test processes.
    ids=lambda value: "archive" if isinstance(value, bytes) else value,
)
def test_bad_archives_leave_nothing(tmp_path, content, words):
    path, folder = tmp_path / "own.archive", tmp_path / "data" / "birds"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=words):
        extract(path, folder, images())
    assert tree(tmp_path) == ["own.archive"] and list(folder.iterdir()) == []


CLUTTER = {
    "._CUB_200_2011": b"\0\5\x16\7",
    ".DS_Store": b"Bud1",
    "CUB_200_2011/._images.txt": b"\0\5\x16\7",
    "CUB_200_2011/images/001.A/._A_1.jpg": b"\0\5\x16\7",
    "CUB_200_2011/images/001.A/Thumbs.db": b"",
    "CUB_200_2011/images/desktop.ini": b"",
    "CUB_200_2011/images/Icon\r": b"",
    "CUB_200_2011/images/001.A/A_1.jpg:Zone.Identifier": b"[ZoneTransfer]",
    "__MACOSX/CUB_200_2011/images/001.A/A_1.jpg": b"\0\5\x16\7",
}


@pytest.mark.parametrize(
    ("archive", "top", "place"),
    [
        (addresses.FLOWERS[0], "", "jpg/image_06734.jpg"),
        (addresses.FLOWERS[3], "cvpr2016_flowers/", "text_c10/class_00030/image_06734.txt"),
        (addresses.BIRDS[1], "cvpr2016_cub/", "text_c10/015.Lazuli_Bunting/one.txt"),
    ],
)
def test_a_part_of_the_data_set_need_not_hold_its_first_file(tmp_path, archive, top, place):
    path = tmp_path / archive.file
    with tarfile.open(path, "w:gz") as packed:
        packed.addfile(tarfile.TarInfo(f"{top}{place}"))
    extract(path, tmp_path / "data", archive)
    assert tree(tmp_path / "data") == [place]


@pytest.mark.parametrize("top", ["", "jpg/", "flowers/jpg/"])
def test_flowers_may_lie_in_folders_of_their_classes(tmp_path, top):
    names = [f"image_{number:05d}.jpg" for number in range(1, 41)]
    files = {f"{top}class_{k % 7}/{name}": name.encode() for k, name in enumerate(names)}
    (tmp_path / "own").write_bytes(tar_of({**files, f"{top}image_00041.jpg": b"", "list.txt": b""}))
    extract(tmp_path / "own", tmp_path / "data", addresses.FLOWERS[0])
    assert tree(tmp_path / "data") == [f"jpg/{name}" for name in (*names, "image_00041.jpg")]
    assert all((tmp_path / "data/jpg" / name).read_bytes() == name.encode() for name in names)


def test_two_flowers_of_one_name_are_refused(tmp_path):
    files = {"jpg/a/image_00001.jpg": b"", "jpg/b/image_00001.jpg": b""}
    (tmp_path / "own").write_bytes(tar_of(files))
    with pytest.raises(DamagedError, match="jpg/a/image_00001.jpg and jpg/b/.*, of one name: keep"):
        extract(tmp_path / "own", tmp_path / "data", addresses.FLOWERS[0])
    assert tree(tmp_path) == ["own"]


@pytest.mark.parametrize("place", ["facing.txt", "CUB_200_2011/facing.txt"])
def test_the_sides_that_birds_face_come_with_their_images(tmp_path, place):
    (tmp_path / "own").write_bytes(tar_of({**BIRDS, place: b"001.A/A_1 left\n"}))
    extract(tmp_path / "own", tmp_path / "birds", images())
    assert "CUB_200_2011/facing.txt" in tree(tmp_path / "birds")


@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_what_macs_and_windows_add_to_archives_is_left_out(tmp_path, pack):
    (tmp_path / "own").write_bytes(pack({**CLUTTER, **BIRDS}))
    extract(tmp_path / "own", tmp_path / "birds", images())
    expected = set(BIRDS) - {"attributes.txt"} | {"CUB_200_2011/attributes/attributes.txt"}
    assert tree(tmp_path / "birds") == sorted(expected)
    assert (tmp_path / "birds/CUB_200_2011/images/001.A/A_1.jpg").read_bytes() == NOISE


def test_an_archive_of_windows_has_backslashes(tmp_path):
    files = {name.replace("/", "\\"): content for name, content in BIRDS.items()}
    (tmp_path / "own").write_bytes(zip_of({"CUB_200_2011\\": b"", **files}))
    extract(tmp_path / "own", tmp_path / "birds", images())
    assert "CUB_200_2011/images/001.A/A_1.jpg" in tree(tmp_path / "birds")


def test_a_damaged_archive_without_a_checksum_gives_the_next_mirror(server, tmp_path, said):
    server.files["bad"], server.files["good"] = tar_of(BIRDS)[:-20_000], tar_of(BIRDS)
    archive = images(server.url("bad"), server.url("good"))
    fetch(archive, tmp_path, report=said.append)
    assert any("cut short" in line for line in said)
    assert "CUB_200_2011/images.txt" in tree(tmp_path)


@pytest.mark.parametrize("before", ["", "a/b/"])
@pytest.mark.parametrize("pack", [tar_of, zip_of])
def test_the_wanted_folder_may_lie_deeper(tmp_path, pack, before):
    path = tmp_path / "own"
    path.write_bytes(pack({before + name: content for name, content in BIRDS.items()}))
    extract(path, tmp_path / "birds", images())
    expected = set(BIRDS) - {"attributes.txt"} | {"CUB_200_2011/attributes/attributes.txt"}
    assert tree(tmp_path / "birds") == sorted(expected)


@pytest.mark.parametrize("name", ["", "CUB-200/"])
def test_the_wanted_folder_may_have_another_name(tmp_path, name):
    inside = {name + k.partition("/")[2]: v for k, v in BIRDS.items() if "/" in k}
    (tmp_path / "own").write_bytes(tar_of(inside))
    extract(tmp_path / "own", tmp_path / "birds", images())
    assert "CUB_200_2011/images/001.A/A_1.jpg" in tree(tmp_path / "birds")


def test_embeddings_are_two_folders_and_a_missing_one_is_added(tmp_path, said):
    archive = addresses.BIRDS[2]
    files = {f"birds/{want}": want.encode() for want in archive.wants}
    (tmp_path / "own.zip").write_bytes(zip_of({**files, "__MACOSX/birds/._train": b""}))
    folder = tmp_path / "birds"
    fetch(archive, folder, tmp_path / "own.zip", said.append)
    assert set(archive.wants) | {"archives/birds.zip.json"} == set(tree(folder))
    shutil.rmtree(folder / "test")
    fetch(archive, folder, tmp_path / "own.zip", said.append)
    assert set(archive.wants) <= set(tree(folder))


# --- What the reader has


def test_a_file_at_hand_is_checked_and_kept(server, tmp_path, said):
    content = tar_of(BIRDS)
    own = tmp_path / "mine.tgz"
    own.write_bytes(content)
    archive = images(server.url("birds.tgz"), content=content)
    wrong = replace(archive, checksum="md5:" + "0" * 32)
    with pytest.raises(DamagedError, match="mine.tgz has the md5.*get it again from http"):
        fetch(wrong, tmp_path / "birds", own, said.append)
    with pytest.raises(FetchError, match="images=.*nothing.*there is no such file"):
        fetch(archive, tmp_path / "birds", tmp_path / "nothing", said.append)
    fetch(archive, tmp_path / "birds", own, said.append)
    assert own.read_bytes() == content and server.asked == []
    assert "CUB_200_2011/images.txt" in tree(tmp_path / "birds")


def test_what_is_there_came_from_the_file_that_is_given(tmp_path, said):
    folder, own, other = tmp_path / "birds", tmp_path / "mine.tgz", tmp_path / "other.tgz"
    own.write_bytes(tar_of(BIRDS))
    other.write_bytes(tar_of({**BIRDS, "attributes.txt": b"2\n"}))
    for _ in range(2):
        fetch(images(), folder, own, said.append)
    assert "already in" in said[-1] and len(said) == 2
    with pytest.raises(FetchError, match="images=.*gone.tgz: there is no such file"):
        fetch(images(), folder, tmp_path / "gone.tgz", said.append)
    place = folder / "CUB_200_2011"
    with pytest.raises(FetchError, match=f"other.tgz: {place} came from another .*delete {place}"):
        fetch(images(), folder, other, said.append)
    (folder / "archives/CUB_200_2011.tgz.json").unlink()
    with pytest.raises(FetchError, match=f"not on record: delete {place} and run again, or leave"):
        fetch(images(), folder, own, said.append)
    shutil.rmtree(place)
    fetch(images(), folder, other, said.append)
    assert (place / "attributes/attributes.txt").read_bytes() == b"2\n"


def test_a_plain_file_that_is_there_is_the_one_that_is_given(tmp_path, said):
    archive = replace(addresses.FLOWERS[2], checksum=None)
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    for _ in range(2):
        fetch(archive, tmp_path, tmp_path / "one", said.append)
    assert "already in" in said[-1]
    with pytest.raises(FetchError, match=f"delete {tmp_path / 'setid.mat'} and run again"):
        fetch(archive, tmp_path, tmp_path / "two", said.append)


def test_a_folder_is_no_archive(tmp_path, said):
    for archive, words in ((images(), "pack it"), (addresses.FLOWERS[1], "name its imagelabels")):
        with pytest.raises(FetchError, match=f"{archive.part}=.*: that is a folder: {words}"):
            fetch(archive, tmp_path / "data", tmp_path, said.append)


def test_labels_of_a_part_are_looked_into(tmp_path, capsys):
    junk, labels, home = tmp_path / "junk.mat", tmp_path / "labels.mat", tmp_path / "flowers"
    junk.write_text("no labels")
    savemat(labels, {"labels": np.array([[77, 5]])})
    main, asked = script("fetch_flowers").main, [str(home), "--subset", "--parts", "labels"]
    assert main([*asked, "--from-file", f"labels={junk}"]) == 2
    said = capsys.readouterr().err.splitlines()[1:]
    assert len(said) == 1 and said[0].startswith(f"error: {junk} cannot be read")
    assert not (home / "imagelabels.mat").exists()
    assert main([*asked, "--from-file", f"labels={labels}"]) == 0
    assert main([*asked, "--from-file", f"splits={labels}"]) == 2  # never cut
    assert "it is not the published setid.mat" in capsys.readouterr().err


def test_of_a_part_nobody_says_that_its_checksum_is_unknown(tmp_path, capsys):
    (tmp_path / "some.tgz").write_bytes(tar_of(BIRDS))
    asked = ["--subset", "--parts", "images", "--from-file", f"images={tmp_path / 'some.tgz'}"]
    assert script("fetch_birds").main([str(tmp_path / "birds"), *asked]) == 0
    assert "not verified: it is a part of the data set; its SHA" in capsys.readouterr().err
    record = json.loads((tmp_path / "birds/archives/CUB_200_2011.tgz.json").read_text())
    assert record["note"].startswith("it is a part of the data set")
    assert script("fetch_birds").main([str(tmp_path / "birds"), "--parts", "images"]) == 0
    assert "not verified: it is a part of the data set; its SHA" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--subset"], "--subset is about files at hand: name them with --from-file"),
        (["--from-file", "images=a", "--from-file", "images=b"], "names a file for 'images' twice"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path, capsys, options, words):
    assert script("fetch_birds").main([str(tmp_path / "birds"), *options]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_that_stands_in_the_way_is_named_before_the_download(server, tmp_path, said):
    (tmp_path / "CUB_200_2011").mkdir()
    (tmp_path / "CUB_200_2011/thesis.tex").write_text("precious")
    with pytest.raises(FetchError, match="exists without CUB_200_2011/images.txt: move it away"):
        fetch(images(server.url("birds.tgz")), tmp_path, report=said.append)
    assert server.asked == [] and tree(tmp_path) == ["CUB_200_2011/thesis.tex"]


def test_data_from_elsewhere_are_used_and_called_unverified(tmp_path, said):
    (tmp_path / "CUB_200_2011/images").mkdir(parents=True)
    (tmp_path / "CUB_200_2011/images.txt").write_text("")
    fetch(images(), tmp_path, report=said.append)
    assert "already in" in said[0] and "unverified" in said[0]


def test_a_plain_file_is_verified_each_time(server, tmp_path, said):
    content = server.files["setid.mat"] = b"MATLAB"
    archive = replace(
        addresses.FLOWERS[2],
        urls=(server.url("setid.mat"),),
        checksum=f"md5:{hashlib.md5(content).hexdigest()}",
    )
    fetch(archive, tmp_path, report=said.append)
    assert (tmp_path / "setid.mat").read_bytes() == content
    assert tree(tmp_path) == ["archives/setid.mat.json", "setid.mat"]
    fetch(archive, tmp_path, report=said.append)
    assert "already in" in said[-1] and "verified (md5)" in said[-1]
    (tmp_path / "setid.mat").write_bytes(b"other")
    with pytest.raises(DamagedError, match="delete it and run again"):
        fetch(archive, tmp_path, report=said.append)
    (tmp_path / "setid.mat").unlink()
    (tmp_path / "mine").write_bytes(content)
    fetch(archive, tmp_path, tmp_path / "mine", said.append)
    assert (tmp_path / "setid.mat").read_bytes() == content


# --- What is refused, killed, or done twice


def test_a_disk_that_refuses_keeps_the_archive(server, tmp_path, said, monkeypatch):
    server.files["birds.tgz"] = tar_of(BIRDS)
    archive = images(server.url("birds.tgz"))

    def refuse(number):
        raise OSError(number, os.strerror(number), "somewhere")

    for number in (errno.ENOSPC, errno.EACCES, errno.EROFS):
        monkeypatch.setattr(unpacking.tarfile.TarFile, "makefile", lambda *_, n=number: refuse(n))
        with pytest.raises(SpaceError, match="tgz cannot be unpacked: somewhere: .*: ") as error:
            fetch(archive, tmp_path / "birds", report=said.append)
        assert "\n" not in str(error.value)
        kept = ["archives/CUB_200_2011.tgz", "archives/CUB_200_2011.tgz.json"]
        assert tree(tmp_path / "birds") == kept
        assert {path.name for path in (tmp_path / "birds").iterdir()} == {"archives"}
    monkeypatch.undo()
    fetch(archive, tmp_path / "birds", report=said.append)
    assert len(server.asked) == 1 and "CUB_200_2011/images.txt" in tree(tmp_path / "birds")


def test_a_download_that_cannot_be_stored_asks_no_other_address(server, tmp_path, monkeypatch):
    server.files["file"] = NOISE

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "file"))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SpaceError, match="file: permission denied: make it writable"):
        download(server.url("file"), tmp_path / "file")
    assert len(server.asked) == 1


def test_what_a_killed_run_left_is_taken_away(server, tmp_path, said):
    server.files["birds.tgz"] = tar_of(BIRDS)
    left = tmp_path / ".CUB_200_2011.tgz.12345678.partial" / "CUB_200_2011"
    left.mkdir(parents=True)
    (left / "images.txt").touch()
    fetch(images(server.url("birds.tgz")), tmp_path, report=said.append)
    assert {path.name for path in tmp_path.iterdir()} == {"CUB_200_2011", "archives"}


def test_two_runs_at_once_fetch_once(server, tmp_path, said):
    server.files["birds.tgz"] = tar_of(BIRDS)
    archive = images(server.url("birds.tgz"))
    failed = []

    def run():
        try:
            fetch(archive, tmp_path, report=said.append)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == [] and len(server.asked) == 1
    assert sum("already in" in line for line in said) == 2


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_record_is_named(server, tmp_path, said, content):
    server.files["birds.tgz"] = tar_of(BIRDS)
    archive = images(server.url("birds.tgz"))
    fetch(archive, tmp_path, report=said.append)
    (tmp_path / "archives/CUB_200_2011.tgz.json").write_text(content)
    with pytest.raises(SDNError, match="CUB_200_2011.tgz.json .*: delete it and run again"):
        fetch(archive, tmp_path, report=said.append)


# --- The scripts


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "data_scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["fetch_birds", "fetch_flowers"])
def test_scripts_tell_their_usage_and_their_errors(name, tmp_path, capsys):
    main = script(name).main
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and "research use" in shown and "--from-file" in shown
    assert main([str(tmp_path), "--parts", "image"]) == 2
    assert "did you mean 'images'?" in capsys.readouterr().err
    assert main([str(tmp_path), "--from-file", "birds.zip"]) == 2
    assert "write PART=PATH" in capsys.readouterr().err
    (tmp_path / "file").write_text("precious")
    assert main([str(tmp_path / "file" / "birds")]) == 2
    shown = capsys.readouterr().err.splitlines()[1:]
    assert shown and all(
        line.startswith("error: ") and line.endswith("choose another place") for line in shown
    )
    assert tree(tmp_path) == ["file"]


def test_an_interrupt_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "fetch", interrupt)
    assert script("fetch_birds").main([str(tmp_path)]) == 130
    assert "interrupted; the same command goes on from here" in capsys.readouterr().err


def test_one_part_that_fails_does_not_stop_the_others(server, tmp_path, capsys, monkeypatch):
    content = server.files["birds.tgz"] = tar_of(BIRDS)
    dead = replace(addresses.BIRDS[1], urls=(server.url("gone"),), drive=None)
    monkeypatch.setattr(
        addresses, "BIRDS", (dead, images(server.url("birds.tgz"), content=content))
    )
    assert script("fetch_birds").main([str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert "For research use" in shown.splitlines()[0] and "HTTP 404" in shown
    assert "CUB_200_2011/images.txt" in tree(tmp_path)
    assert script("fetch_birds").main([str(tmp_path), "--parts", "images"]) == 0
    assert "to save room delete CUB_200_2011.tgz" in capsys.readouterr().err


def test_real_birds_from_files_take_the_expected_layout(shared, tmp_path, capsys, monkeypatch):
    real = shared / "datasets" / "cub10"
    packed = {
        "images": [p for p in (real / "CUB_200_2011").glob("*.txt")]
        + sorted((real / "CUB_200_2011/images").glob("001*/*"))[:2],
        "captions": sorted((real / "text_c10").glob("001*/*")),
        "embeddings": sorted(real.glob("t*/*.pickle")),
    }
    arguments = [str(tmp_path / "birds")]
    for part, paths in packed.items():
        files = {p.relative_to(real).as_posix(): p.read_bytes() for p in paths}
        if part == "embeddings":
            # No real embeddings are at hand.
            files |= {f"{s}/char-CNN-RNN-embeddings.pickle": b"" for s in ("train", "test")}
        own = tmp_path / part
        own.write_bytes((zip_of if part == "embeddings" else tar_of)(files))
        arguments += ["--from-file", f"{part}={own}"]
    known = tuple(replace(a, size=None, checksum=None) for a in addresses.BIRDS)
    monkeypatch.setattr(addresses, "BIRDS", known)
    assert script("fetch_birds").main(arguments) == 0, capsys.readouterr().err
    for path in (p for paths in packed.values() for p in paths):
        arrived = tmp_path / "birds" / path.relative_to(real)
        assert arrived.read_bytes() == path.read_bytes()


def test_the_shared_sample_counts_as_fetched(shared, capsys):
    real = shared / "datasets" / "cub10"
    assert script("fetch_birds").main([str(real), "--parts", "images", "captions"]) == 0
    assert capsys.readouterr().err.count("already in") == 2
