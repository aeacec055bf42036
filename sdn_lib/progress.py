"""How far long work has come: a bar in a terminal, a line in a notebook, a few lines in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """Things done, on standard error or in a notebook's cell.

    Call it with how many are done and how many there are, and with the loss where there is one. In
    a terminal that is a bar. In a notebook one line is rewritten every two seconds, in a log a line
    is added every half a minute, and when all are done. As a context it ends the display, whatever
    happens.
    """

    def __init__(self, title: str, unit: str, enabled: bool = True) -> None:
        self.title, self.unit = title, unit
        self._notebook = "ipykernel" in sys.modules
        self.enabled = enabled and (self._notebook or sys.stderr is not None)
        self._every = 2.0 if self._notebook else 30.0
        self._began = self._shown = time.monotonic()
        self._bar: Any = None
        self._handle: Any = None
        self._line = ""

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
        if self._line:
            self._show()

    def __call__(self, done: int, total: int, loss: float | None = None) -> None:
        """Show that `done` of `total` are done."""
        if not self.enabled:
            return
        if not self._notebook and sys.stderr.isatty():
            self._draw_bar(done, total, loss)
            return
        now = time.monotonic()
        self._line = f"{self.title}: {done:,} of {total:,} {self.unit}"
        if loss is not None:
            self._line += f", {now - self._began:.0f} s, loss {loss:.3f}"
        first = self._notebook and self._handle is None
        if first or done >= total or now - self._shown >= self._every:
            self._show()

    def _draw_bar(self, done: int, total: int, loss: float | None) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=self.title, unit=f" {self.unit}")
        self._bar.update(done - self._bar.n)
        if loss is not None:
            self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

    def _show(self) -> None:
        line, self._line, self._shown = self._line, "", time.monotonic()
        if not self._notebook:
            print(line, file=sys.stderr, flush=True)
            return
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": line}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": line}, raw=True)
