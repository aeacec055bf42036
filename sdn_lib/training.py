"""The training loop: batches by seed, one-cycle schedule, JSONL log, exact resume.

Every draw is a function of (seed, step), so nothing but weights, optimiser state and the step
number has to be saved for a resumed run to agree bit for bit with an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sdn_lib import checkpoints, devices, fast, files, processes
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError, near
from sdn_lib.profiles import TrainConfig
from sdn_lib.randomness import Numbered, stream

SCHEDULES = ("one_cycle", "constant")
PRECISIONS = ("fp32", "bf16")
EPSILON = 1e-8


class Task(nn.Module):
    """What `fit` trains: a module whose forward pass returns losses.

    `size` samples; `sample(step, seed, batch)` returns the tensors of one batch as a dict, drawn
    from nothing but its arguments, on the CPU, perhaps in a thread beside the training's;
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


def batch_indices(size: int, batch: int, step: int, seed: int) -> np.ndarray:
    """Return the int64 positions of step's batch: a new permutation of `size` each epoch.

    The last, smaller batch of an epoch is dropped; a `batch` above `size` raises SDNError.
    """
    if batch > size:
        raise SDNError(f"batch {batch} is larger than the {size} training samples: lower it")
    epoch, position = divmod(step, size // batch)
    order = stream("batches", seed, epoch).permutation(size)
    return order[position * batch : (position + 1) * batch]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of a step: a tenth of linear warm-up, then half a cosine to zero."""
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule != "one_cycle":
        raise SDNError(f"unknown schedule {config.schedule!r}: {near(config.schedule, SCHEDULES)}")
    warm = max(1, config.steps // 10)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, config.steps - warm)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def tensorflow_epsilon(epsilon: float, step: int, beta2: float) -> float:
    """Return the epsilon that makes PyTorch's Adam take TensorFlow 1's step number `step` (from 1).

    TensorFlow adds epsilon before the bias correction of the second moment, PyTorch after it.
    """
    return epsilon / math.sqrt(1 - beta2**step)


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
    last periodic state. `stop_after` ends early at that step, state saved. `on_step` is called with
    the number of steps done, before the first and after each one. Raises SDNError when the loss or
    a weight is no longer finite, and when memory does not suffice. The optimiser is Adam, with
    epsilon where TensorFlow has it.
    """
    if config.precision not in PRECISIONS:
        hint = near(config.precision, PRECISIONS)
        raise SDNError(f"unknown precision {config.precision!r}: {hint}")
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
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY.search(str(error)):
            raise SDNError(
                f"{device} has too little memory for {title} in batches of {config.batch}: lower "
                f"the batch, or train on another device ({devices.VARIABLE}=cpu)"
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
        model: nn.Module = task
        if processes.count() > 1:
            _shareable(task, config, processes.count())
            own = None if self.device.type == "cpu" else [self.device]
            model = nn.parallel.DistributedDataParallel(task, device_ids=own)
        if config.compiled:
            model = torch.compile(model)
        task.train()
        if on_step and self.step == 0:
            on_step(0, task)
        last = min(config.steps, stop_after or config.steps)
        progress = Progress(self.title, config.steps, processes.rank() == 0)
        with _interruptible() as interrupted:
            for batch in _batches(task, config, range(self.step, last), self.device):
                losses = self.advance(model, batch)
                logged = self.step % config.log_every == 0 or self.step == config.steps
                # Elsewhere a look at every loss would make the accelerator wait.
                if logged or self.device.type == "cpu":
                    self.check(losses.total)
                if logged:
                    self.record(losses)
                    progress.update(self.step, self.log[-1]["total"])
                if on_step:
                    on_step(self.step, task)
                if processes.largest(interrupted.is_set()):
                    self.save()
                    progress.close()
                    raise KeyboardInterrupt(
                        f"{self.title} stopped at step {self.step} of {config.steps}"
                    )
                if self.step % config.checkpoint_every == 0:
                    self.save()
        progress.close()
        self.save()
        task.eval()
        return self.log

    def advance(self, model: nn.Module, batch: dict[str, Tensor]) -> LayerLosses:
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
        entry = {"step": self.step, "total": processes.mean(losses.total.detach()).item()}
        entry["learning_rate"] = learning_rate(self.config, self.step - 1)
        entry["seconds"] = round(time.perf_counter() - self.began, 3)
        entry["losses"] = {
            key: float(f"{processes.mean(value.detach()).item():.6g}")
            for key, value in losses.items()
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
            write_log(self.folder / "log.jsonl", self.log)
            self.saved = self.step


AHEAD = 2
"""Batches that are read while an accelerator is at work."""


def _batches(
    task: Task, config: TrainConfig, steps: range, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Yield this process's part of each step's batch, on the device.

    For an accelerator a thread reads ahead, into pinned memory where CUDA copies from there.
    """
    seed = config.seed if config.streams == "labelled" else Numbered(config.seed)
    rank, world = processes.rank(), processes.count()

    def read(step: int) -> dict[str, Tensor]:
        sample = task.sample(step, seed, config.batch)
        parts = {key: value[rank::world] for key, value in sample.items()}
        if device.type == "cuda":
            parts = {key: value.pin_memory() for key, value in parts.items()}
        return parts

    if device.type == "cpu":
        yield from map(read, steps)
        return
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(read, step) for step in steps[:AHEAD])
        for later in (*steps[AHEAD:], *[None] * AHEAD):
            if not waiting:
                return
            parts = waiting.popleft().result()
            if later is not None:
                waiting.append(reader.submit(read, later))
            yield {key: value.to(device, non_blocking=True) for key, value in parts.items()}


def _shareable(task: Task, config: TrainConfig, world: int) -> None:
    """Raise SDNError where `world` processes would not give the losses of one."""
    if not task.divisible:
        raise SDNError(f"{type(task).__name__} compares a batch with itself: use one process")
    if config.batch % world:
        raise SDNError(f"batch {config.batch} cannot be shared by {world} processes evenly")
    norms = nn.modules.batchnorm._BatchNorm
    if any(isinstance(module, norms) for module in task.modules()):
        raise SDNError(
            "batch norm sees only its own process's part of a batch: use one process, or "
            "network__student_norm=False"
        )


def write_log(path: Path, log: list[dict]) -> None:
    """Write a log as JSON lines, atomically."""
    files.write_text(path, "".join(json.dumps(entry) + "\n" for entry in log))


def read_log(path: str | Path) -> list[dict]:
    """Return the entries of a JSONL log; SDNError names the file and line that is no JSON."""
    remedy = "restore it, or delete its folder and train again"
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SDNError(f"{path} cannot be read ({error}): {remedy}") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise SDNError(f"{path}, line {number}, is no JSON ({error}): {remedy}") from None
        if not isinstance(entries[-1], dict) or not {"step", "total"} <= entries[-1].keys():
            raise SDNError(f"{path}, line {number}, is no record of a step: {remedy}")
    if not entries:
        raise SDNError(f"{path} is empty: {remedy}")
    return entries


class Progress:
    """One progress display: a bar in a terminal, one line that is rewritten in a notebook."""

    def __init__(self, title: str, total: int, enabled: bool = True, every: float = 2.0) -> None:
        self.title, self.total, self.every = title, total, every
        self.enabled, self._shown, self._handle, self._bar = enabled, 0.0, None, None
        self._line = ""
        self._began = time.perf_counter()
        self._notebook = "ipykernel" in sys.modules
        if enabled and not self._notebook and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=title, unit="step")

    def update(self, step: int, loss: float | None = None) -> None:
        """Show that `step` steps are done; rewrites at most every `every` seconds."""
        now = time.perf_counter()
        if not self.enabled:
            return
        if self._bar is not None:
            self._bar.update(step - self._bar.n)
            if loss is not None:
                self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            return
        line = f"{self.title}: step {step} of {self.total}, {now - self._began:.0f} s"
        self._line = line + (f", loss {loss:.3f}" if loss is not None else "")
        every = self.every if self._notebook else 30.0
        if now - self._shown >= every or step >= self.total:
            self._show()

    def close(self) -> None:
        """Finish the display, with the last step that was reported."""
        if self._bar is not None:
            self._bar.close()
        self._show()

    def _show(self) -> None:
        if not self._line:
            return
        line, self._line, self._shown = self._line, "", time.perf_counter()
        if not self._notebook:
            print(line, file=sys.stderr, flush=True)
            return
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": line}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": line}, raw=True)


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
