"""Work on pictures in several processes.

The pools of the standard library wait for ever where a worker is killed while it hands over a
result, as happens when memory runs out: its lock is never given back, or the rest of its message
never comes. Here each worker has a connection of its own, which ends with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from sdn_lib.errors import SDNError
from sdn_lib.machine import cores

AHEAD = 3
"""Results a process that may wait for an earlier one."""


def check_processes(processes: int | None) -> int:
    """Return how many processes are asked for, by default one a core that this process may use.

    Raises SDNError for a number below 1.
    """
    if processes is None:
        return cores()
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
    team = _Team(count)
    try:
        yield team.map
    finally:
        team.end()


class _Team:
    """Processes, each with a connection and at most one job."""

    def __init__(self, count: int) -> None:
        # Forked workers need no importable main module, so notebooks and scripts may call
        # `generate`.
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._processes: dict[Connection, multiprocessing.Process] = {}
        self._busy: dict[Connection, tuple[object, int]] = {}
        for _ in range(count):
            near, far = context.Pipe()
            process = context.Process(target=_serve, args=(far,), daemon=True)
            process.start()
            # Only the worker holds this end, so that it closes when the worker ends.
            far.close()
            self._processes[near] = process

    def map(self, work: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        numbered = enumerate(jobs)
        # What is still done for a map that was left early is known by another name.
        name, turn, handed, more = object(), 0, 0, True
        done: dict[int, Any] = {}
        while True:
            for near in self._processes.keys() - self._busy.keys():
                if handed - turn >= AHEAD * len(self._processes):
                    break
                number, job = next(numbered, (None, None))
                if number is None:
                    more = False
                    break
                self._send(near, (work, job))
                self._busy[near] = name, number
                handed += 1
            if turn in done:
                yield done.pop(turn)
                turn += 1
            elif turn == handed and not more:
                return
            else:
                done.update(self._receive(name))

    def end(self) -> None:
        for near, process in self._processes.items():
            process.terminate()
            near.close()
        for process in self._processes.values():
            process.join()

    def _send(self, near: Connection, message: Any) -> None:
        try:
            near.send(message)
        except OSError:
            raise self._killed(near) from None

    def _receive(self, name: object) -> dict[int, Any]:
        """Wait for results; return those of the map `name` by the numbers of their jobs."""
        found = {}
        ready: list[Any] = wait(list(self._busy))
        for near in ready:
            try:
                value, error = near.recv()
            except (EOFError, OSError):
                raise self._killed(near) from None
            owner, number = self._busy.pop(near)
            if owner is not name:
                continue
            if isinstance(error, MemoryError):
                raise SDNError(
                    "the worker processes have used up the memory: run again with fewer of them "
                    "(--processes 1, processes=1)"
                ) from None
            if error is not None:
                raise error
            found[number] = value
        return found

    def _killed(self, near: Connection) -> SDNError:
        process = self._processes[near]
        process.join(5)
        return SDNError(
            f"a worker process was killed (exit code {process.exitcode}), most likely because "
            "memory ran out: run again with fewer processes (--processes 1, processes=1)"
        )


def _serve(far: Connection) -> None:
    """Do one job after another, and end when the parent does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts the parent too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    while True:
        try:
            work, job = far.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[Any, Exception | None] = work(job), None
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = None, error
        try:
            far.send(answer)
        except OSError:
            return


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
