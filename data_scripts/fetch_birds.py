"""Fetch CUB-200-2011 with its captions and precomputed embeddings into a folder."""

from __future__ import annotations

import sys

from sdn_lib.data.download import addresses, command_line

LICENCE = (
    "For research use: the images of CUB-200-2011 (Wah et al., 2011), the captions of Reed et "
    "al. (2016), the embeddings of StackGAN (Zhang et al., 2017). The photographs belong to "
    "their photographers. They come from their owners' addresses; do not redistribute them."
)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, fetch, and return the exit status (see `sdn_lib.program.run`)."""
    return command_line.run(addresses.BIRDS, LICENCE, "data/raw/birds", __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
