"""The training loop: batches by seed, one-cycle schedule, JSONL log, exact resume.

Every draw is a function of (seed, step), so nothing but weights, optimiser state and the step
number has to be saved for a resumed run to agree bit for bit with an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sdn_lib import checkpoints, machine
from sdn_lib.distillation import LayerLosses
from sdn_lib.errors import SDNError, near
from sdn_lib.profiles import TrainConfig

SCHEDULES = ("one_cycle", "constant")
PRECISIONS = ("fp32", "bf16")
EPSILON = 1e-8


class Task(nn.Module):
    """What `fit` trains: a module whose forward pass returns losses.

    `size` samples; `sample(step, seed, batch)` returns the tensors of one batch as a dict, drawn
    from nothing but its arguments; `forward(**tensors)` returns LayerLosses. `divisible` says
    whether the loss of a batch is the mean over its parts, so that several processes may share it.
    """

    size: int
    divisible: bool = True

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
    order = np.random.default_rng([seed, epoch]).permutation(size)
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

    With a `folder`, `log.jsonl` and `state.safetensors` are kept there and an earlier state is
    resumed. Ctrl-C and a terminating signal save the state, then raise KeyboardInterrupt; a kill
    leaves the last periodic state. `stop_after` ends early at that step, state saved. `on_step`
    is called with the number of steps done, before the first and after each one. Raises SDNError
    when the loss is no longer finite. The optimiser is Adam, with epsilon where TensorFlow has it.
    """
    if config.precision not in PRECISIONS:
        hint = near(config.precision, PRECISIONS)
        raise SDNError(f"unknown precision {config.precision!r}: {hint}")
    accelerator = Accelerator()
    if accelerator.device.type == "cpu":
        machine.keep_freed_memory()
    task.to(accelerator.device)
    trained = [p for p in task.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=config.learning_rate, fused=True)
    folder = Path(folder) if folder else None
    state = folder / "state.safetensors" if folder else None
    start, log, seconds = 0, [], 0.0
    if state and state.exists():
        meta = checkpoints.load_state(state, task, optimiser)
        start, log, seconds = meta["step"], meta["log"], meta["seconds"]
    rank, world = accelerator.process_index, accelerator.num_processes
    if world > 1:
        _shareable(task, config, world)
    model, optimiser = accelerator.prepare(task, optimiser)
    if config.compiled:
        model = torch.compile(model)
    task.train()
    began = time.perf_counter() - seconds
    if on_step and start == 0:
        on_step(0, task)

    def save(step: int) -> None:
        if state and accelerator.is_main_process:
            meta = {"step": step, "log": log, "seconds": time.perf_counter() - began}
            checkpoints.save_state(state, task, optimiser.optimizer, meta)
            write_log(folder / "log.jsonl", log)

    progress = Progress(title, config.steps, accelerator.is_main_process)
    step, last = start, min(config.steps, stop_after or config.steps)
    with _interruptible() as interrupted:
        while step < last:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, step)
                group["eps"] = tensorflow_epsilon(EPSILON, step + 1, group["betas"][1])
            batch = {
                key: value[rank::world].to(accelerator.device, non_blocking=True)
                for key, value in task.sample(step, config.seed, config.batch).items()
            }
            optimiser.zero_grad(set_to_none=True)  # here: the forward pass needs the memory
            # Accelerate keeps one precision a process; chapters mix them, and bf16 needs no scaler.
            with torch.autocast(
                accelerator.device.type, torch.bfloat16, enabled=config.precision == "bf16"
            ):
                losses = LayerLosses(model(**batch))
            total = losses.total
            accelerator.backward(total)
            if config.clip:
                accelerator.clip_grad_norm_(trained, config.clip)
            optimiser.step()
            step += 1
            if step % config.log_every == 0 or step == config.steps:
                total = accelerator.reduce(total.detach(), "mean").item()
                if not math.isfinite(total):
                    raise SDNError(
                        f"the loss is {total} at step {step} of {title}: lower learning_rate or "
                        f"set clip; {state or 'nothing'} holds the last good state"
                    )
                entry = {"step": step, "total": total}
                entry["learning_rate"] = learning_rate(config, step - 1)
                entry["seconds"] = round(time.perf_counter() - began, 3)
                entry["losses"] = {
                    key: float(f"{accelerator.reduce(value.detach(), 'mean').item():.6g}")
                    for key, value in losses.items()
                }
                log.append(entry)
                progress.update(step, total)
            if on_step:
                on_step(step, task)
            if interrupted.is_set():
                save(step)
                progress.close()
                raise KeyboardInterrupt(f"{title} stopped at step {step} of {config.steps}")
            if step % config.checkpoint_every == 0:
                save(step)
    progress.close()
    save(step)
    task.eval()
    return log


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
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("".join(json.dumps(entry) + "\n" for entry in log), encoding="utf-8")
    partial.replace(path)


def read_log(path: str | Path) -> list[dict]:
    """Return the entries of a JSONL log; SDNError names the file and line that is no JSON."""
    entries = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise SDNError(f"{path}, line {number}, is no JSON ({error})") from None
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
