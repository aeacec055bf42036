"""`python -m sdn_lib` is `sdn`."""

import sys

from sdn_lib.cli import main

sys.exit(main())
