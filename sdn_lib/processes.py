"""Several processes that share a training: `torchrun -m sdn_lib train ...`."""

from __future__ import annotations

import datetime
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from sdn_lib.errors import SDNError, first_line

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher tells each process that it starts."""

MEET = datetime.timedelta(minutes=2)
WAIT = datetime.timedelta(days=1)

_talk: dist.ProcessGroup | None = None
"""Messages between processes, on the CPU, beside the gradients."""


def join() -> None:
    """Join the processes that a launcher started with this one; alone, do nothing.

    Variables that were left over in a shell, so that some of VARIABLES are missing, count for
    nothing, with a warning. Raises SDNError where they are all there and the others do not come.
    """
    global _talk
    if _talk is not None or os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        return
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        warnings.warn(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']} is ignored: {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not set, so no launcher started this process",
            stacklevel=2,
        )
        del os.environ["WORLD_SIZE"]
        return
    remedy = f"start all with torchrun, or unset {' '.join(VARIABLES)}"
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=MEET))
        store.set_timeout(WAIT)
        gpus = torch.cuda.is_available() and os.environ.get("SDN_DEVICE") != "cpu"
        dist.init_process_group("nccl" if gpus else "gloo", store=store, rank=rank, world_size=size)
        # The stubs allow for a process that is left out, which none is of a group of all.
        _talk = dist.new_group(backend="gloo", timeout=WAIT)  # type: ignore[assignment]
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = first_line(error)
        raise SDNError(f"the other processes cannot be reached ({reason}): {remedy}") from None


def count() -> int:
    """Return how many processes share the work."""
    join()
    return dist.get_world_size() if _talk else 1


def rank() -> int:
    """Return this process's place among them, from 0."""
    join()
    return dist.get_rank() if _talk else 0


def local_rank() -> int:
    """Return its place among those of this machine."""
    return int(os.environ["LOCAL_RANK"]) if count() > 1 else 0


def wait() -> None:
    """Wait for all processes."""
    if count() > 1:
        dist.barrier(_talk)


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process do something while the others wait, then the others."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def largest(value: int) -> int:
    """Return the largest of the processes' values, the same in all of them."""
    if count() == 1:
        return value
    most = torch.tensor(value)
    dist.all_reduce(most, dist.ReduceOp.MAX, group=_talk)
    return int(most)


def mean(value: Tensor) -> Tensor:
    """Return the mean over processes of a scalar tensor."""
    if count() == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total / count()
