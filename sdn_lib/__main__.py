"""`python -m sdn_lib` is `sdn`."""

import sys

from sdn_lib.cli import main

if __name__ == "__main__":
    sys.exit(main())
