"""What every program of the project does alike: its exit status and its errors."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from sdn_lib.captions import CaptionWarning
from sdn_lib.errors import SDNError
from sdn_lib.files import explain


def run(work: Callable[[], int | None], interrupted: str = "") -> int:
    """Do a program's work and return its exit status.

    That is what `work` returns (None: 0); 2 after an SDNError or something that the system
    refused, each told in one line on standard error, after the error's `detail` where it has one;
    130 after an interrupt, told with `interrupted`, what becomes of the work; 1 where the reader of
    a pipe left early, as `head` does. Any other error keeps its traceback. What cannot be read of
    captions is noted in a line, without the place in the code that a warning names.
    """
    for stream in (sys.stdout, sys.stderr):
        # A path may hold characters that a terminal cannot show.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    usual = warnings.formatwarning

    def noted(message: Any, category: type[Warning], *place: Any, **line: Any) -> str:
        if issubclass(category, CaptionWarning):
            return f"note: {message}\n"
        return usual(message, category, *place, **line)

    warnings.formatwarning = noted
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
        reason = f": {stop}" if str(stop) else ""
        print(f"interrupted{reason}" + (f"; {interrupted}" if interrupted else ""), file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Else the interpreter fails once more when it flushes what nobody reads.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    finally:
        warnings.formatwarning = usual
