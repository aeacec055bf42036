"""Files that Macs and Windows put beside those of their users."""

from __future__ import annotations

NAMES = (".DS_Store", "Icon\r", ".localized", "Thumbs.db", "ehthumbs.db", "desktop.ini")


def is_clutter(name: str) -> bool:
    """Say whether a path, with slashes, names what a Mac or Windows adds to folders and archives.

    Besides `NAMES` that is what stands for attributes of files: `._<name>`, all in `__MACOSX/`,
    and `<name>:Zone.Identifier`.
    """
    *above, last = name.rstrip("/").split("/")
    return (
        "__MACOSX" in above
        or last == "__MACOSX"
        or last.startswith("._")
        or last.endswith(":Zone.Identifier")
        or last.casefold() in {one.casefold() for one in NAMES}
    )
