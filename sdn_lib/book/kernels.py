"""The kernels that notebooks run in: free of the user's own setup, and several at a time."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdn_lib import files, profiles
from sdn_lib.errors import SDNError
from sdn_lib.machine import cores

# What a user's shell or profile could change in a kernel.
UNSET = (
    "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT", "JUPYTER_CONFIG_PATH",
    "JUPYTER_PREFER_ENV_PATH", "PYTHONSAFEPATH",
)  # fmt: skip

# As ipykernel_launcher does it; but a port that another process took is told in one line.
LAUNCH = """
import sys
del sys.path[0]  # the working directory
import zmq
from ipykernel import kernelapp
try:
    kernelapp.launch_new_instance()
except zmq.ZMQError as error:
    sys.exit(f"a kernel could not open its ports ({error})")
"""


@contextmanager
def kernel_environment(root: Path, share: int = 1) -> Iterator[None]:
    """Make the kernel 'python3' this very interpreter, whatever the user has set up or registered.

    It imports the very `sdn_lib` that runs it. With `share` kernels at a time each computes with
    its part of the processors.
    """
    folder = root / "_build" / "jupyter"
    command = [sys.executable, "-c", LAUNCH, "-f", "{connection_file}"]
    command += ["--log-level=CRITICAL"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    files.write_json(folder / "kernels" / "python3" / "kernel.json", spec)
    files.write_text(folder / "matplotlibrc", "")
    path = [str(profiles.BESIDE), os.environ.get("PYTHONPATH", "")]
    values: dict[str, str | None] = dict.fromkeys(UNSET)
    values |= {
        "JUPYTER_PATH": str(folder),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        # A user's MPLBACKEND would keep figures out of the notebook.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONUTF8": "1",
        # Interactives leave their widgets out: no kernel will stand behind the rendered pages.
        "SDN_STATIC": "1",
    }
    if share > 1:
        values["OMP_NUM_THREADS"] = str(max(1, cores() // share))
    before = {key: os.environ.get(key) for key in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    """Set variables of the environment; None takes one away."""
    for key, value in values.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


def run_jobs(
    task: Callable[..., Any], jobs: Sequence[tuple], workers: int, root: Path
) -> Iterator[tuple[tuple, Any]]:
    """Yield each job, a tuple, and what `task` returned for it, as jobs end in their processes.

    `workers` run at a time; with one, in this process and in their order. The first error stops
    what has not begun; a worker that is killed is an SDNError.
    """
    workers = min(workers, max(1, len(jobs)))
    with kernel_environment(root, share=workers):
        if workers == 1:
            for job in jobs:
                yield job, task(*job)
            return
        fresh = multiprocessing.get_context("spawn")
        executor = concurrent.futures.ProcessPoolExecutor(workers, mp_context=fresh)
        running: dict[concurrent.futures.Future, tuple] = {}
        left = list(jobs)
        try:
            while running or left:
                while left and len(running) < workers:
                    job = left.pop(0)
                    running[executor.submit(task, *job)] = job
                first = concurrent.futures.FIRST_COMPLETED
                for done in concurrent.futures.wait(running, return_when=first).done:
                    yield running.pop(done), done.result()
        except BrokenProcessPool:
            raise SDNError(
                "a process that ran a part of it was killed, out of memory perhaps: run the same "
                "command again with fewer --workers"
            ) from None
        finally:
            executor.shutdown()
