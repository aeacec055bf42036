"""What every program of the project does alike: its exit status, its errors, its progress."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType

from sdn_lib.errors import SDNError
from sdn_lib.files import explain


def run(work: Callable[[], int | None], interrupted: str = "") -> int:
    """Do a program's work and return its exit status.

    That is what `work` returns (None: 0); 2 after an SDNError or something that the system
    refused, each told in one line on standard error; 130 after an interrupt, told with
    `interrupted`, what becomes of the work; 1 where the reader of a pipe left early, as `head`
    does. Any other error keeps its traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        # A path may hold characters that a terminal cannot show.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = work() or 0
        if sys.stdout:  # closed, as by `>&-`, it is None
            sys.stdout.flush()
        return status
    except SDNError as error:
        detail = getattr(error, "detail", "")
        if detail:
            print(detail, file=sys.stderr)
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        said = f": {stop}" if str(stop) else ""
        print(f"interrupted{said}" + (f"; {interrupted}" if interrupted else ""), file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Else the interpreter fails once more when it flushes what nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2


class Progress:
    """Things done, on standard error: a bar in a terminal, elsewhere a line now and then.

    Call it with how many are done and how many there are. In a log there is a line every `every`
    seconds, and one when all are done. As a context it ends the bar, whatever happens.
    """

    def __init__(self, title: str, unit: str, every: float = 30.0) -> None:
        self.title, self.unit, self.every = title, unit, every
        self._bar, self._said = None, time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if sys.stderr.isatty():
            if self._bar is None:
                from tqdm import tqdm

                self._bar = tqdm(total=total, desc=self.title, unit=f" {self.unit}")
            self._bar.update(done - self._bar.n)
        elif done >= total or time.monotonic() - self._said >= self.every:
            self._said = time.monotonic()
            print(f"{self.title}: {done:,} of {total:,} {self.unit}", file=sys.stderr, flush=True)
