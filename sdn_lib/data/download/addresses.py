"""Where the archives of birds and flowers lie, and what they unpack to.

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

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sdn_lib.data.photographs import flowers


def missing(folder: Path, patterns: Iterable[str]) -> list[str]:
    """Return those patterns of paths that nothing in a folder matches."""
    return [pattern for pattern in patterns if next(folder.glob(pattern), None) is None]


@dataclass(frozen=True)
class Archive:
    """One file to fetch, and what it unpacks to.

    `part` the word for the command line; `file` its name on disk; `urls` tried in turn; `size`
    in bytes, and `checksum` as `md5:...` or `sha256:...`, each None where nobody published it or
    where the file is a `part_of_it` only;
    `drive` and `drive_key` a Google Drive id and its resource key, tried last; `wants` patterns
    of paths of which one each stands in the data folder once it is unpacked, also where it holds a
    part of the data set; empty for a file that is used as it is;
    `gathers` (path beside the wanted folder in the archive, path in the data folder) pairs;
    `flat` where the files of its one pattern may lie in any folders of the archive; `check` raises
    SDNError for a file that is none of its kind.
    """

    part: str
    file: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    checksum: str | None = None
    part_of_it: bool = False
    drive: str | None = None
    drive_key: str | None = None
    wants: tuple[str, ...] = ()
    gathers: tuple[tuple[str, str], ...] = ()
    flat: bool = False
    check: Callable[[Path], object] | None = None

    @property
    def results(self) -> tuple[str, ...]:
        """Patterns that say, all of them matched, that this part has been fetched."""
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
        return (*self.urls, f"{base}?id={self.drive}&export=download&confirm=t{self.key}")

    @property
    def page(self) -> str:
        """The address for a reader with a browser."""
        if self.drive:
            return f"https://drive.google.com/file/d/{self.drive}/view?usp=sharing{self.key}"
        return self.urls[0]

    @property
    def key(self) -> str:
        """Return the words in a Drive address that give the resource key."""
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
        gathers=(
            ("attributes.txt", "CUB_200_2011/attributes/attributes.txt"),
            ("facing.txt", "CUB_200_2011/facing.txt"),
        ),
    ),
    Archive(
        "captions",
        "cvpr2016_cub.tar.gz",
        drive="0B0ywwgffWnLLZW9uVHNjb2JmNlE",
        drive_key="0-8y2UVmBHAlG26HafWYNoFQ",
        wants=("text_c10/[0-9][0-9][0-9].*",),
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
        wants=("jpg/image_*.jpg",),
        flat=True,
    ),
    Archive(
        "labels",
        "imagelabels.mat",
        (f"{_OXFORD}/imagelabels.mat",),
        checksum="md5:e0620be6f572b9609742df49c70aed4d",
        check=flowers.read_labels,
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
        wants=("text_c10/class_*",),
    ),
    Archive(
        "embeddings",
        "flowers.zip",
        drive="0B3y_msrWZaXLaUc0UXpmcnhaVmM",
        drive_key="0-jxKV2PqKHFdfLN7Q93SuxQ",
        wants=_EMBEDDINGS,
    ),
)
