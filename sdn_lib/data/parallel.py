"""Work on pictures in several processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def workers(processes: int | None, jobs: int) -> Iterator[Callable]:
    """Yield a `map` that works in `processes` processes (default: all cores), results in order.

    No more processes than `jobs` are started, and none for a single one.
    """
    count = min(processes or os.cpu_count() or 1, jobs)
    if count == 1:
        yield map
        return
    # Forked workers need no importable main module, so notebooks and scripts may call `generate`.
    method = "fork" if sys.platform == "linux" else "spawn"
    with multiprocessing.get_context(method).Pool(count) as pool:
        yield pool.imap
