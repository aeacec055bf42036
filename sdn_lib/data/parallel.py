"""Work on pictures in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

from sdn_lib.errors import SDNError


def check_processes(processes: int | None) -> int:
    """Return how many processes are asked for, by default one a core that this process may use.

    Raises SDNError for a number below 1.
    """
    if processes is None:
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if type(processes) is not int or processes < 1:
        raise SDNError(f"processes={processes!r}: give 1 or more, or leave it out for one a core")
    return processes


@contextmanager
def workers(processes: int | None, jobs: int) -> Iterator[Callable]:
    """Yield a `map` that works in `processes` processes (default: one a core), results in order.

    No more processes than `jobs` are started, and none for a single one. Jobs are handed out as
    results are taken, so that only a few results wait in memory. When a process is killed, or the
    memory is used up, the `map` raises SDNError; however the context is left, no process stays,
    nor does one when this process itself is killed.
    """
    count = min(check_processes(processes), jobs)
    if count <= 1:
        yield map
        return
    # Forked workers need no importable main module, so notebooks and scripts may call `generate`.
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin)
    try:
        yield partial(_in_order, pool, 2 * count)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, ahead: int, work: Callable[[Any], Any], jobs: Iterable[Any]
) -> Iterator[Any]:
    waiting: deque = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise SDNError(
            "a worker process was killed, most likely because memory ran out: run again with "
            "fewer processes (--processes 1, processes=1)"
        ) from None
    except MemoryError:
        raise SDNError(
            "the worker processes have used up the memory: run again with fewer of them "
            "(--processes 1, processes=1)"
        ) from None


def _begin() -> None:
    """Leave interrupts to the parent, and end when it does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
