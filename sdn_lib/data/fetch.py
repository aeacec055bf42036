"""Real birds and flowers, fetched from where their owners keep them: nothing is redistributed.

An archive is downloaded into `FOLDER/archives`, checked, unpacked beside its place and renamed
into it, so what stands in FOLDER is whole. Beside each archive lies a JSON record: where it came
from, its size, its SHA-256, and whether a published checksum confirmed it.

============  ==================================  ===============================================
part          birds                               flowers
============  ==================================  ===============================================
images        `CUB_200_2011/`                     `jpg/image_00001.jpg` ..
labels        (with the images)                   `imagelabels.mat`
splits        (with the images)                   `setid.mat`
captions      `text_c10/<class>/<image>.txt`      `text_c10/class_00001/image_06734.txt` ..
embeddings    `train/*.pickle`, `test/*.pickle`   `train/*.pickle`, `test/*.pickle`
============  ==================================  ===============================================
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from sdn_lib import files, program
from sdn_lib.data.unpacking import (
    CHUNK,
    REFUSALS,
    UNPACKED,
    DamagedError,
    FetchError,
    SpaceError,
    check_room,
    folders,
    reason,
    unpack,
)
from sdn_lib.errors import SDNError, near

# Version 6 of gdown drops the resource key from the address, and old files need it.
INSTALL = 'pip install "gdown>=5.2,<6"'
TIMEOUT = 60.0
TRIES = 3
WAIT = 2.0


@dataclass(frozen=True)
class Archive:
    """One file to fetch, and what it unpacks to.

    `part` the word for the command line; `file` its name on disk; `urls` tried in turn; `size`
    in bytes, and `checksum` as `md5:...` or `sha256:...`, each None where nobody published it;
    `drive` and `drive_key` a Google Drive id and its resource key, tried last; `wants` paths
    that stand in the data folder once it is unpacked, empty for a file that is used as it is;
    `gathers` (path beside the wanted folder in the archive, path in the data folder) pairs.
    """

    part: str
    file: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    checksum: str | None = None
    drive: str | None = None
    drive_key: str | None = None
    wants: tuple[str, ...] = ()
    gathers: tuple[tuple[str, str], ...] = ()

    @property
    def results(self) -> tuple[str, ...]:
        """Paths that say, all of them there, that this part has been fetched."""
        return self.wants or (self.file,)

    @property
    def items(self) -> list[str]:
        """Names that this part adds to the data folder."""
        return list(dict.fromkeys(path.split("/")[0] for path in self.results))

    @property
    def direct_urls(self) -> tuple[str, ...]:
        """Every address that needs no package: `urls`, then Drive's own download address."""
        if not self.drive:
            return self.urls
        # confirm=t answers beforehand the page that Drive puts before large files.
        base = "https://drive.usercontent.google.com/download"
        return (*self.urls, f"{base}?id={self.drive}&export=download&confirm=t{self._key()}")

    @property
    def page(self) -> str:
        """The address for a reader with a browser."""
        if self.drive:
            return f"https://drive.google.com/file/d/{self.drive}/view?usp=sharing{self._key()}"
        return self.urls[0]

    def _key(self) -> str:
        return f"&resourcekey={self.drive_key}" if self.drive_key else ""


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
_EMBEDDINGS = tuple(
    f"{split}/{name}.pickle"
    for split in ("train", "test")
    for name in ("filenames", "class_info", "char-CNN-RNN-embeddings")
)

BIRDS = (
    Archive(
        "images",
        "CUB_200_2011.tgz",
        ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",),
        size=1_150_585_339,
        checksum="sha256:0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
        drive="1hbzc_P1FuxMkcabkgn9ZKinBwW683j45",
        wants=("CUB_200_2011/images.txt", "CUB_200_2011/images"),
        gathers=(("attributes.txt", "CUB_200_2011/attributes/attributes.txt"),),
    ),
    Archive(
        "captions",
        "cvpr2016_cub.tar.gz",
        drive="0B0ywwgffWnLLZW9uVHNjb2JmNlE",
        drive_key="0-8y2UVmBHAlG26HafWYNoFQ",
        wants=("text_c10/001.Black_footed_Albatross",),
    ),
    Archive(
        "embeddings",
        "birds.zip",
        drive="0B3y_msrWZaXLT1BZdVdycDY5TEE",
        drive_key="0-sZrhftoEfdvHq6MweAeCjA",
        wants=_EMBEDDINGS,
    ),
)

FLOWERS = (
    Archive(
        "images",
        "102flowers.tgz",
        (f"{_OXFORD}/102flowers.tgz",),
        size=344_862_509,
        checksum="md5:52808999861908f626f3c1f4e79d11fa",
        wants=("jpg/image_00001.jpg",),
    ),
    Archive(
        "labels",
        "imagelabels.mat",
        (f"{_OXFORD}/imagelabels.mat",),
        checksum="md5:e0620be6f572b9609742df49c70aed4d",
    ),
    Archive(
        "splits",
        "setid.mat",
        (f"{_OXFORD}/setid.mat",),
        checksum="md5:a5357ecc9cb78c4bef273ce3793fc85c",
    ),
    Archive(
        "captions",
        "cvpr2016_flowers.tar.gz",
        drive="0B0ywwgffWnLLcms2WWJQRFNSWXM",
        drive_key="0-Av8zFbeDDvNcF1sSjDR32w",
        wants=("text_c10/class_00001",),
    ),
    Archive(
        "embeddings",
        "flowers.zip",
        drive="0B3y_msrWZaXLaUc0UXpmcnhaVmM",
        drive_key="0-jxKV2PqKHFdfLN7Q93SuxQ",
        wants=_EMBEDDINGS,
    ),
)


def download(url: str, partial: str | Path, size: int | None = None) -> None:
    """Download `url` into `partial`, going on after the bytes that are already there.

    A connection that breaks is taken up again, up to `TRIES` times without a new byte. Raises
    FetchError when the address is dead, offers another `size` in bytes than expected or answers
    with a web page; SpaceError when the disk is too full. What came so far stays in `partial`.
    """
    partial = Path(partial)
    had, stalls, flowed = _bytes(partial), 0, False
    while True:
        try:
            _transfer(url, partial, size)
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in REFUSALS:
                raise SpaceError(files.explain(error, partial)) from None
            have, why = _bytes(partial), reason(error)
            flowed, stalls = flowed or have > had, 0 if have > had else stalls + 1
            busy = isinstance(error, urllib.error.HTTPError) and error.code in (429, 500, 502, 503)
            if stalls >= TRIES or not (flowed or busy):
                kept = f" ({have} bytes are kept, the same command goes on there)" if have else ""
                raise FetchError(f"{url}: {why}{kept}") from None
            had = have
            time.sleep(WAIT * 2**stalls)


def verify(path: str | Path, archive: Archive) -> str:
    """Return the SHA-256 of a file, in hexadecimal, after a check against what is published.

    Raises DamagedError that names the file, what was expected and what came.
    """
    path = Path(path)
    size = _bytes(path)
    if archive.size is not None and size != archive.size:
        raise DamagedError(f"{path} has {size} bytes, the published file has {archive.size}")
    if archive.checksum:
        kind, expected = archive.checksum.split(":")
        came = _digest(path, kind)
        if came != expected:
            raise DamagedError(
                f"{path} has the {kind} checksum {came}, expected {expected}: it is not the "
                f"published {archive.file}"
            )
        if kind == "sha256":
            return came
    return _digest(path, "sha256")


def extract(path: str | Path, folder: str | Path, archive: Archive) -> None:
    """Unpack a zip or tar archive and move what `archive.wants` names into `folder`.

    The wanted folder may lie at any depth. Members that are links or devices, or that lie
    outside the archive's own folder, and archives that are cut short raise DamagedError;
    whatever is raised, nothing of the archive stays behind. Raises SpaceError where the disk is
    full or refuses. What Macs and Windows add to archives is left out.
    """
    path, folder = Path(path), Path(folder)
    temporary = folder / f".{archive.file}.{uuid.uuid4().hex[:8]}.partial"
    try:
        temporary.mkdir(parents=True)
        unpack(path, temporary)
        sources = _find(temporary, archive, path)
        for name, place in archive.gathers:
            item, _, rest = place.partition("/")
            source, target = sources[item], sources[item] / rest
            found = (temporary if source == temporary else source.parent) / name
            if found.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(found, target)
        _refuse_incomplete(archive, folder)
        for item, source in sources.items():
            if not (folder / item).exists():
                os.replace(source, folder / item)
    except OSError as error:
        raise SpaceError(files.explain(error)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def fetch(
    archive: Archive,
    folder: str | Path,
    from_file: str | Path | None = None,
    report: Callable[[str], None] = print,
) -> None:
    """Bring one part into `folder`, from a file at hand or from its addresses in turn.

    A part that is there is skipped, which `report` says; one that another run is bringing is
    waited for. Raises FetchError that lists what every address answered and says how to go on by
    hand; SpaceError before a download for which the disk has no room, and where it refuses;
    DamagedError for a `from_file` that is not the published one.
    """
    folder = Path(folder)
    try:
        if _is_there(archive, folder, report):
            return
        _refuse_incomplete(archive, folder)
        with files.alone(folder / "archives" / archive.file):
            # Another run may have brought it meanwhile, and one that was killed left something.
            if not _is_there(archive, folder, report):
                files.remove_leftovers(folder / archive.file, older=0)
                _bring(archive, folder, from_file, report)
    except OSError as error:
        raise SpaceError(files.explain(error)) from None


def _bring(
    archive: Archive,
    folder: Path,
    from_file: str | Path | None,
    report: Callable[[str], None],
) -> None:
    record = _record(archive, folder)
    if from_file is not None:
        _use_own(archive, folder, Path(from_file), record, report)
        return
    stored = folder / "archives" / archive.file
    if stored.exists() and _use_stored(archive, folder, stored, record, report):
        return
    partial = stored.with_name(f"{stored.name}.partial")
    if archive.size:
        room = archive.size * (1 + (UNPACKED if archive.wants else 0)) - _bytes(partial)
        check_room(folder, room, f"to download and unpack {archive.file}")
    answers = []
    for url, get in _sources(archive, partial):
        # What an earlier run left may be of another file: then once more, from nothing.
        for _ in range(2 if partial.exists() else 1):
            report(f"{archive.part}: {archive.file} from {url}")
            try:
                get()
                digest = verify(partial, archive)
                os.replace(partial, stored)
                _write_record(record, archive, stored, url, digest)
                _place(archive, folder, stored)
            except DamagedError as error:
                for path in (partial, stored, record):
                    path.unlink(missing_ok=True)
                answers.append(f"{url}: {error}")
                report(f"{archive.part}: {error}")
            except SpaceError:
                raise
            except FetchError as error:
                answers.append(str(error))
                report(f"{archive.part}: {error}")
                break
            else:
                report(f"{archive.part}: in {folder}, {_standing(archive, folder, record)}")
                return
    raise FetchError(
        f"{archive.part}: {archive.file} could not be fetched:"
        + "".join(f"\n  - {answer}" for answer in answers)
        + f"\nget it with a browser from {archive.page} and run the same command again with "
        f"--from-file {archive.part}=PATH, where PATH is the file that you saved"
    )


def command_line(
    archives: Sequence[Archive],
    *,
    description: str | None,
    licence: str,
    folder: str,
    arguments: Sequence[str] | None = None,
) -> int:
    """Read a fetch script's command line, fetch, and return the exit status.

    0 when all parts are there, 2 after an error (the other parts are still fetched), 130 when
    interrupted (`sdn_lib.program.run`). `licence` is shown first; `folder` is the default for where
    the data go.
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
    own = _own_files(options.from_file, parts)
    if options.subset:
        parts |= {part: replace(parts[part], size=None, checksum=None) for part in own}
    for part in dict.fromkeys(options.parts):
        if part not in parts:
            raise FetchError(f"unknown part {part!r}: {near(part, parts)}")
    report(licence)
    failed = 0
    for part in dict.fromkeys([*options.parts, *own]):
        try:
            fetch(parts[part], options.folder, own.get(part), report)
        except SpaceError:
            raise
        except SDNError as error:
            report(f"error: {error}")
            failed += 1
    kept = [archive.file for archive in archives if _kept(archive, options.folder)]
    if kept and not failed:
        report(f"to save room delete {', '.join(kept)} in {options.folder / 'archives'}")
    return 2 if failed else 0


def _kept(archive: Archive, folder: Path) -> bool:
    return (folder / "archives" / archive.file).is_file()


def _own_files(given: Sequence[str], parts: Mapping[str, Archive]) -> dict[str, Path]:
    own = {}
    for text in given:
        part, equals, path = text.partition("=")
        if not equals:
            raise FetchError(f"--from-file {text}: write PART=PATH, with a PART of {[*parts]}")
        if part not in parts:
            raise FetchError(f"--from-file {text}: unknown part {part!r}: {near(part, parts)}")
        own[part] = Path(path).expanduser()
    return own


# --- Downloading


def _transfer(url: str, partial: Path, size: int | None) -> None:
    have = _bytes(partial)
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
    if total is not None and _bytes(partial) < total:
        raise ConnectionError(f"cut after {_bytes(partial)} of {total} bytes")


def _sources(archive: Archive, partial: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    for url in archive.direct_urls:
        yield url, lambda url=url: download(url, partial, archive.size)
    if archive.drive:
        yield archive.page, lambda: _download_with_gdown(archive, partial)


def _download_with_gdown(archive: Archive, partial: Path) -> None:
    try:
        import gdown
    except ImportError:
        raise FetchError(
            f"{archive.page}: the package gdown, which knows Google Drive's pages, is missing: "
            f"{INSTALL}"
        ) from None
    # Not into `partial`: gdown starts from nothing, and what is there can still be resumed.
    whole = partial.with_suffix(".gdown")
    try:
        with whole.open("wb") as file, _bar(partial, archive.size, 0) as bar:
            gdown.download(
                url=f"https://drive.google.com/uc?id={archive.drive}{archive._key()}",
                output=_Counted(file, bar),
                quiet=True,
                use_cookies=False,
            )
        os.replace(whole, partial)
    except Exception as error:  # gdown's errors have no common base.
        if getattr(error, "errno", None) in REFUSALS:
            raise SpaceError(files.explain(error, whole)) from None
        said = f"gdown {gdown.__version__} (wanted: {INSTALL}) says: {reason(error)}"
        raise FetchError(f"{archive.page}: {said}") from None
    finally:
        whole.unlink(missing_ok=True)


class _Counted:
    """A file open for writing that moves a progress bar."""

    def __init__(self, file, bar: tqdm) -> None:
        self._file, self._bar = file, bar

    def write(self, chunk: bytes) -> int:
        self._bar.update(len(chunk))
        return self._file.write(chunk)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()


# --- What is at hand


def _record(archive: Archive, folder: Path) -> Path:
    return folder / "archives" / f"{archive.file}.json"


def _is_there(archive: Archive, folder: Path, report: Callable[[str], None]) -> bool:
    if not all((folder / path).exists() for path in archive.results):
        return False
    standing = _standing(archive, folder, _record(archive, folder))
    report(f"{archive.part}: already in {folder}, {standing}")
    return True


def _use_own(archive, folder: Path, path: Path, record: Path, report) -> None:
    if not path.is_file():
        raise FetchError(f"--from-file {archive.part}={path}: there is no such file")
    try:
        digest = verify(path, archive)
        if archive.wants:
            extract(path, folder, archive)
        else:
            _copy(path, folder / archive.file)
    except DamagedError as error:
        raise DamagedError(f"{error}; get it again from {archive.page}") from None
    _write_record(record, archive, path, f"file {path.name}", digest)
    report(f"{archive.part}: in {folder}, {_standing(archive, folder, record)}")


def _use_stored(archive, folder: Path, stored: Path, record: Path, report) -> bool:
    """Place an archive that an earlier run downloaded; False, with it removed, when damaged."""
    try:
        digest = verify(stored, archive)
        known = _read_record(record).get("sha256")
        if known and known != digest:
            raise DamagedError(f"{stored} is not the file that was downloaded: SHA-256 {digest}")
        if not known:
            _write_record(record, archive, stored, "found in the folder archives", digest)
        _place(archive, folder, stored)
    except DamagedError as error:
        report(f"{archive.part}: {error}; fetching it again")
        stored.unlink(missing_ok=True)
        record.unlink(missing_ok=True)
        return False
    report(f"{archive.part}: in {folder}, {_standing(archive, folder, record)}")
    return True


def _place(archive: Archive, folder: Path, stored: Path) -> None:
    if archive.wants:
        extract(stored, folder, archive)
    else:
        os.replace(stored, folder / archive.file)


def _copy(path: Path, target: Path) -> None:
    check_room(target.parent, _bytes(path), f"to copy {path}")
    with files.writing(target) as partial:
        shutil.copyfile(path, partial)


def _refuse_incomplete(archive: Archive, folder: Path) -> None:
    for item in archive.items:
        for path in archive.results:
            if path.split("/")[0] == item and (folder / item).exists():
                if not (folder / path).exists():
                    raise FetchError(
                        f"{folder / item} exists without {path}: move it away, then run again"
                    )


def _standing(archive: Archive, folder: Path, record: Path) -> str:
    if not archive.wants:
        try:
            verify(folder / archive.file, archive)
        except DamagedError as error:
            raise DamagedError(f"{error}; delete it and run again") from None
        return f"verified ({archive.checksum.split(':')[0]})" if archive.checksum else "unverified"
    came = _read_record(record)
    if not came:
        return "not from here: its files are used as they are, unverified"
    if came.get("verified"):
        return f"verified ({came['verified'].split(':')[0]})"
    return f"not verified: no checksum is published; its SHA-256 is in {record}"


def _write_record(record: Path, archive: Archive, path: Path, source: str, digest: str) -> None:
    came = {
        "file": archive.file,
        "source": source,
        "bytes": _bytes(path),
        "sha256": digest,
        "verified": archive.checksum,
    }
    if not archive.checksum:
        came["note"] = "no checksum is published: this is what came, it could not be verified"
    files.write_json(record, came)


def _read_record(record: Path) -> dict[str, str]:
    return files.read_json(record, "delete it and run again") if record.exists() else {}


# --- Unpacked


def _find(top: Path, archive: Archive, path: Path) -> dict[str, Path]:
    """Return where each of `archive.items` lies under `top`, the shallowest place first."""
    for folder in folders(top):
        if all((folder / want).exists() for want in archive.wants):
            return {item: folder / item for item in archive.items}
    # One folder under another name: its content tells it.
    inside = [want.partition("/")[2] for want in archive.wants]
    if len(archive.items) == 1 and all(inside):
        for folder in folders(top):
            if all((folder / want).exists() for want in inside):
                return {archive.items[0]: folder}
    there = sorted(p.name for p in top.iterdir())[:8]
    raise DamagedError(
        f"{path} holds no folder with {', '.join(archive.wants)}; at its top lie "
        f"{', '.join(there) or 'no files'}: it is another archive than {archive.file}"
    )


# --- Small things


def _bar(partial: Path, total: int | None, start: int) -> tqdm:
    name = partial.name.removesuffix(".partial")
    # disable=None: no bar where standard error is no terminal.
    return tqdm(total=total, initial=start, desc=name, unit="B", unit_scale=True, disable=None)


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        made = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
    return made.hexdigest()
