"""Convert the weights of a VGG trunk (torchvision, MatConvNet or a state dict) for the teacher."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sdn_lib import program, vgg
from sdn_lib.runs import weights
from sdn_lib.teacher import PREPROCESSING


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, convert, and return the exit status (see `sdn_lib.program.run`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="'torchvision', or a .mat, .pth, .pt or .safetensors file")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--depth", type=int, choices=vgg.CONVOLUTIONS, default=19)
    parser.add_argument(
        "--preprocessing",
        choices=PREPROCESSING,
        help="what the weights were trained with (default: matconvnet for a .mat, else imagenet)",
    )
    parser.add_argument("--sha256", help="the file's checksum, or its beginning")
    parser.add_argument(
        "--order", choices=weights.ORDERS, help="sides of a .mat's kernels (default hw)"
    )
    options = parser.parse_args(arguments)
    return program.run(lambda: _convert(options), interrupted="nothing was written")


def _convert(options: argparse.Namespace) -> None:
    meta = weights.convert(
        options.source,
        options.out,
        options.depth,
        options.preprocessing,
        options.sha256,
        options.order,
    )
    checked = "as it should be" if meta["checked"] else "not compared: none was given"
    print(
        f"{options.out}: {meta['network']} from {meta['file']}, SHA-256 {meta['sha256']}, {checked}"
    )


if __name__ == "__main__":
    sys.exit(main())
