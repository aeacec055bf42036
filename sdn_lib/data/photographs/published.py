"""What CUB and Oxford-102 have in common: files that fit the data set's own lists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdn_lib.data.clutter import is_clutter
from sdn_lib.data.photographs.reading import Reading, chosen_rows, source_of
from sdn_lib.data.photographs.splits import read_split
from sdn_lib.data.prepared import SPLITS
from sdn_lib.errors import SDNError, counted
from sdn_lib.files import read_text

CAPTIONS = 10


@dataclass(frozen=True)
class Published:
    """What is known of a data set before it is read.

    `kind` its name; `program` the one in data_scripts that fetches it; `images` the folder of its
    images; `counts` images by split, `test_classes` the ids of the test split; `may_repeat`
    whether a file may hold fewer than ten captions.
    """

    kind: str
    program: str
    images: str
    counts: dict[str, int]
    test_classes: Collection[int]
    may_repeat: bool

    def remedy(self, folder: Path) -> str:
        """Return the words on how to fetch what is missing in a folder."""
        return f"fetch it with `python data_scripts/{self.program} {shlex.quote(str(folder))}`"


@dataclass(frozen=True)
class Lists:
    """What the lists of a data set say of its N images, in their order.

    `paths` of the lists, the one of the images first; `names` as the published splits spell them;
    `class_ids`; `class_names` id -> name; `images` and `captions` the paths of their files within
    the folders of images and captions, without the endings.
    """

    paths: Sequence[Path]
    names: Sequence[str]
    class_ids: Sequence[int]
    class_names: dict[int, str]
    images: Sequence[str]
    captions: Sequence[str]


def read_files(
    about: Published, folder: Path, lists: Lists, subset: bool, classes: Sequence[int] | None
) -> Reading:
    """Return the reading of a folder whose lists have been read, without boxes.

    Of a `subset`, images whose picture or captions are not there are left out, and `source` says
    how many have no picture ('left_out'), how many of these have captions ('unpictured'), and how
    many have a picture alone ('uncaptioned'). Raises SDNError, which names the file, for a split of
    another size than published unless `subset`, for image or caption files that the lists do not
    have or the folder lacks, and for captions that are not ten.
    """
    rows = chosen_rows(lists.class_ids, lists.class_names, classes)
    pictures, told = folder / about.images, folder / "text_c10"
    remedy = about.remedy(folder)
    seen = stems_in(pictures, lists.images, ".jpg", remedy)
    read = stems_in(told, lists.captions, ".txt", remedy)
    there = [(lists.images[row] in seen, lists.captions[row] in read) for row in rows]
    if subset:
        pictured = [row for row in rows if lists.images[row] in seen]
        # Where none is whole, the first missing file is named below.
        rows = [row for row in pictured if lists.captions[row] in read] or pictured or rows

    def kept(values: Sequence) -> list:
        return [values[row] for row in rows]

    split = read_split(
        folder, lists.names, lists.class_ids, about.test_classes, rows if subset else None
    )
    check_counts(lists.paths[0], split.splits, about.counts, subset)
    images = _paths(pictures, kept(lists.images), seen, ".jpg", subset)
    texts = _paths(told, kept(lists.captions), read, ".txt", subset)
    captions, mended = read_captions(texts, about.may_repeat)
    splits, embeddings = kept(split.splits), split.embeddings
    if embeddings is not None and len(rows) < len(embeddings):  # else it would be copied
        embeddings = embeddings[rows]
    source = source_of(about.kind, folder, split, splits, subset, classes, mended, lists.paths)
    counts = {
        "left_out": sum(not picture for picture, _ in there),
        "unpictured": there.count((False, True)),
        "uncaptioned": there.count((True, False)),
    }
    return Reading(
        names=kept(lists.names),
        class_ids=kept(lists.class_ids),
        class_names={
            k: name for k, name in lists.class_names.items() if classes is None or k in classes
        },
        images=images,
        captions=captions,
        splits=splits,
        boxes=None,
        embeddings=embeddings,
        source={**source, **counts},
    )


def stems_in(root: Path, known: Collection[str], suffix: str, remedy: str) -> set[str]:
    """Return the stems, paths within `root` without the ending, of its files `<stem><suffix>`.

    What Macs and Windows add to folders is passed over (`clutter.is_clutter`). Raises SDNError
    that names the file for one whose stem is not among the `known`, which would shift every later
    image against its captions, and with the `remedy` where `root` itself is missing.
    """
    if not root.is_dir():
        raise SDNError(f"{root} is missing: {remedy}")
    paths = (path.relative_to(root).as_posix() for path in root.rglob(f"*{suffix}"))
    found = {path[: -len(suffix)] for path in paths if not is_clutter(path)}
    extra = sorted(found - set(known))
    if extra:
        raise SDNError(
            f"{root / (extra[0] + suffix)} belongs to no image of the data set "
            f"({counted(len(extra), 'such file')}): take it away or unpack the archive again"
        )
    return found


def _paths(
    root: Path, stems: Sequence[str], there: Collection[str], suffix: str, subset: bool
) -> list[Path]:
    missing = [stem for stem in stems if stem not in there]
    if missing:
        raise SDNError(
            f"{root / (missing[0] + suffix)} is missing ({counted(len(missing), 'such file')}): "
            "unpack the archive again"
            + ("" if subset else ", or say that it is a subset (subset=True, --subset)")
        )
    return [root / (stem + suffix) for stem in stems]


def read_captions(paths: Sequence[Path], repeat: bool) -> tuple[list[list[str]], dict[str, int]]:
    """Return ten captions for each file, and how many files and captions were mended.

    U+FFFD, which stands in pairs where a space was meant, becomes one; empty lines are dropped. A
    file with fewer than ten lines starts again from its first where `repeat`, and raises SDNError
    else; so does a file with more than ten, with none, or that is no UTF-8. A byte order mark and
    the line ends of Windows and of old Macs are read.
    """
    captions, mended, repeated = [], 0, 0
    for path in paths:
        text = read_text(path, "unpack it again")
        # An old Mac's lines end in \r; elsewhere that stands before \n, or is text.
        lines = text.split("\n" if "\n" in text else "\r")
        mended += sum("\ufffd" in line for line in lines)
        lines = [re.sub("\ufffd{1,2}", " ", line).strip() for line in lines]
        lines = [line for line in lines if line]
        short = 0 < len(lines) < CAPTIONS
        if len(lines) != CAPTIONS and not (short and repeat):
            raise SDNError(
                f"{path} has {counted(len(lines), 'caption')}, expected {CAPTIONS}: "
                "unpack the archive again"
            )
        repeated += short
        captions.append([lines[i % len(lines)] for i in range(CAPTIONS)])
    return captions, {"captions_mended": mended, "files_repeated_to_ten": repeated}


def check_counts(path: Path, splits: Sequence[str], official: dict[str, int], subset: bool) -> None:
    """Raise SDNError that names `path` unless the split has the official size or is a subset."""
    counts = {split: list(splits).count(split) for split in SPLITS}
    if not splits:
        raise SDNError(f"{path} lists no images: fetch it again")
    if counts != official and not subset:
        raise SDNError(
            f"{path} gives {counts['train']} training and {counts['test']} test images, the whole "
            f"data set has {official['train']} and {official['test']}: fetch it again, or say that "
            "it is a subset (subset=True, --subset)"
        )
