"""The training loop: batches by seed, a schedule, a log, exact resume.

Every draw is a function of (seed, step), so nothing but weights, optimiser state and the step
number has to be saved for a resumed run to agree bit for bit with an uninterrupted one.
"""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from sdn_lib import devices, fast, machine, processes
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError
from sdn_lib.learning import checkpoints, log
from sdn_lib.learning.schedule import learning_rate, tensorflow_epsilon
from sdn_lib.profiles import TrainConfig
from sdn_lib.progress import Progress
from sdn_lib.randomness import Numbered

EPSILON = 1e-8


class Task(nn.Module):
    """What `fit` trains: a module whose forward pass returns losses.

    `size` samples; `sample(step, seed, batch)` returns the tensors of one batch as a dict, drawn
    from nothing but its arguments, on the CPU, perhaps in several threads beside the training's;
    `forward(**tensors)` returns LayerLosses. `divisible` says whether the loss of a batch is the
    mean over its parts, so that several processes may share it. `frozen` networks go with the task
    to its device and are no part of its checkpoint.
    """

    size: int
    divisible: bool = True
    frozen: tuple[nn.Module, ...] = ()

    def sample(self, step: int, seed: int, batch: int) -> dict[str, Tensor]:
        """Return the batch of one step. Tasks implement it."""
        raise NotImplementedError


def fit(
    task: Task,
    config: TrainConfig,
    folder: str | Path | None = None,
    *,
    stop_after: int | None = None,
    on_step: Callable[[int, Task], None] | None = None,
    title: str = "training",
) -> list[dict]:
    """Train `task` for `config.steps` steps and return the log, a list of dicts.

    It trains on the accelerator, where there is one, and leaves every network where it was. With a
    `folder`, `log.jsonl` and `state.safetensors` are kept there and an earlier state is resumed.
    Ctrl-C and a terminating signal save the state, then raise KeyboardInterrupt; a kill leaves the
    last periodic state. `stop_after` ends early at that step, state saved. `on_step(step, task)` is
    called with the number of steps done, after each one, and before the first of a training that is
    not resumed. Raises SDNError when the loss or
    a weight is no longer finite, and when memory does not suffice. The optimiser is Adam, with
    epsilon where TensorFlow has it.
    """
    device = devices.best()
    if device.type == "cpu":
        fast.keep_freed_memory()
    try:
        with (
            devices.own_defaults(),
            torch.enable_grad(),
            devices.moved(device, task, *task.frozen),
        ):
            return _Training(task, config, device, folder, title).run(stop_after, on_step)
    except (RuntimeError, MemoryError) as error:
        full = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if full or _NO_MEMORY.search(str(error)):
            elsewhere = f", or train on another device ({devices.VARIABLE}=cpu)"
            raise SDNError(
                f"{device} has too little memory for {title} in batches of {config.batch}: lower "
                f"the batch{elsewhere if device.type != 'cpu' else ''}"
            ) from error
        raise


_NO_MEMORY = re.compile("out of memory|can't allocate memory")


def ran_in(config: TrainConfig, device: torch.device) -> str:
    """Return the precision in which a training computes on a device.

    'bf16' is meant to save time: a device without it computes in 'fp32'.
    """
    return config.precision if devices.has_bf16(device) else "fp32"


class _Training:
    """One call of `fit`: a task on its device, its optimiser, its log."""

    def __init__(
        self,
        task: Task,
        config: TrainConfig,
        device: torch.device,
        folder: str | Path | None,
        title: str,
    ) -> None:
        self.task, self.config, self.device, self.title = task, config, device, title
        self.folder = Path(folder) if folder else None
        self.state = self.folder / "state.safetensors" if self.folder else None
        self.trained = [p for p in task.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(self.trained, lr=config.learning_rate, fused=True)
        self.step, self.saved, self.log, seconds = 0, 0, [], 0.0
        if self.state and self.state.exists():
            meta = checkpoints.load_state(self.state, task, self.optimiser)
            self.step, self.log, seconds = meta["step"], meta["log"], meta["seconds"]
            self.saved = self.step
        self.began = time.perf_counter() - seconds

    def run(
        self, stop_after: int | None, on_step: Callable[[int, Task], None] | None
    ) -> list[dict]:
        config, task = self.config, self.task
        model: Callable[..., LayerLosses] = task
        if processes.count() > 1:
            _shareable(task, config, processes.count())
            own = None if self.device.type == "cpu" else [self.device]
            model = nn.parallel.DistributedDataParallel(task, device_ids=own)
        if config.compiled:
            model = torch.compile(model)
        task.train()
        if on_step and self.step == 0:
            on_step(0, task)
        last = config.steps if stop_after is None else min(config.steps, stop_after)
        shown = Progress(self.title, "steps", enabled=processes.rank() == 0)
        with _interruptible() as interrupted, shown as progress:
            for batch in _batches(task, config, range(self.step, last), self.device):
                losses = self.advance(model, batch)
                logged = self.step % config.log_every == 0 or self.step == config.steps
                # Elsewhere a look at every loss would make the accelerator wait.
                if logged or self.device.type == "cpu":
                    self.check(losses.total)
                if logged:
                    self.record(losses)
                    progress(self.step, config.steps, self.log[-1]["total"])
                if on_step:
                    on_step(self.step, task)
                if processes.largest(interrupted.is_set()):
                    self.save()
                    raise KeyboardInterrupt(
                        f"{self.title} stopped at step {self.step} of {config.steps}"
                    )
                if self.step % config.checkpoint_every == 0:
                    self.save()
        self.save()
        task.eval()
        return self.log

    def advance(self, model: Callable[..., LayerLosses], batch: dict[str, Tensor]) -> LayerLosses:
        """Take one step and return its losses."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
            group["eps"] = tensorflow_epsilon(EPSILON, self.step + 1, group["betas"][1])
        self.optimiser.zero_grad(set_to_none=True)  # here: the forward pass needs the memory
        # bf16 has float32's range: no loss needs scaling.
        bf16 = ran_in(self.config, self.device) == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            losses = LayerLosses(model(**batch))
        losses.total.backward()
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.trained, self.config.clip)
        self.optimiser.step()
        self.step += 1
        return losses

    def check(self, total: Tensor) -> None:
        """Raise SDNError, in all processes, where a loss of this step is not finite."""
        value = total.item()
        if processes.largest(not math.isfinite(value)):
            self.fail(f"the loss is {value}")

    def fail(self, what: str) -> None:
        kept = f"{self.state} holds step {self.saved}" if self.saved else "nothing was saved"
        raise SDNError(
            f"{what} at step {self.step} of {self.title}: lower learning_rate or set clip; {kept}"
        )

    def record(self, losses: LayerLosses) -> None:
        """Add this step's losses to the log, those of all processes together."""
        entry = {
            "step": self.step,
            "total": processes.mean(losses.total.detach()).item(),
            "learning_rate": learning_rate(self.config, self.step - 1),
            "seconds": round(time.perf_counter() - self.began, 3),
            "losses": {
                key: float(f"{processes.mean(value.detach()).item():.6g}")
                for key, value in losses.items()
            },
        }
        self.log.append(entry)

    def save(self) -> None:
        """Keep the state; SDNError where a weight is not finite: the last good state stays."""
        finite = [value.isfinite().all() for value in self.task.state_dict().values()]
        if not torch.stack(finite).all():
            self.fail("a weight is not finite")
        if self.state and processes.rank() == 0:
            seconds = time.perf_counter() - self.began
            meta = {"step": self.step, "log": self.log, "seconds": seconds}
            checkpoints.save_state(self.state, self.task, self.optimiser, meta)
            log.write(self.state.with_name("log.jsonl"), self.log)
            self.saved = self.step


READERS = 8
"""Threads that read batches while an accelerator is at work, at most one a processor."""


def _batches(
    task: Task, config: TrainConfig, steps: range, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Yield this process's part of each step's batch, on the device.

    For an accelerator threads read ahead, into pinned memory where CUDA copies from there.
    """
    seed = config.seed if config.streams == "labelled" else Numbered(config.seed)
    rank, world = processes.rank(), processes.count()
    pinned = device.type == "cuda"  # elsewhere a copy may outlive what it is made from

    def read(step: int) -> dict[str, Tensor]:
        sample = task.sample(step, seed, config.batch)
        parts = {key: value[rank::world] for key, value in sample.items()}
        if pinned:
            parts = {key: value.pin_memory() for key, value in parts.items()}
        return parts

    if device.type == "cpu":
        yield from map(read, steps)
        return
    readers = min(READERS, machine.cores())
    ahead = readers + 1
    with ThreadPoolExecutor(readers) as reader:
        waiting = deque(reader.submit(read, step) for step in steps[:ahead])
        for later in (*steps[ahead:], *[None] * ahead):
            if not waiting:
                return
            parts = waiting.popleft().result()
            if later is not None:
                waiting.append(reader.submit(read, later))
            yield {key: value.to(device, non_blocking=pinned) for key, value in parts.items()}


def _shareable(task: Task, config: TrainConfig, world: int) -> None:
    """Raise SDNError where `world` processes would not give the losses of one."""
    if not task.divisible:
        raise SDNError(f"{type(task).__name__} compares a batch with itself: use one process")
    if config.batch % world:
        raise SDNError(f"batch {config.batch} cannot be shared by {world} processes evenly")
    norms = nn.modules.batchnorm._BatchNorm
    if any(isinstance(module, norms) for module in task.modules()):
        raise SDNError(
            "batch norm sees only its own process's part of a batch: train this with one process "
            "first, or a student with network__student_norm=False"
        )


@contextmanager
def _interruptible():
    """Turn SIGINT and SIGTERM into an event that the loop looks at between two steps."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = {
        number: signal.signal(number, lambda *_: event.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
