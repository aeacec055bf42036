"""Fetch Oxford-102 flowers with captions and precomputed embeddings into a folder."""

from __future__ import annotations

import sys

from sdn_lib.data.download import addresses, command_line

LICENCE = (
    "For research use: the images of Oxford-102 (Nilsback and Zisserman, 2008), the captions of "
    "Reed et al. (2016), the embeddings of StackGAN (Zhang et al., 2017). The photographs belong "
    "to their photographers. They come from their owners' addresses; do not redistribute them."
)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, fetch, and return the exit status (see `sdn_lib.program.run`)."""
    return command_line.run(addresses.FLOWERS, LICENCE, "data/raw/flowers", __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
