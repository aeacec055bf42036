"""The gate: what an executed notebook must be, and the numbers that it glued."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from typing import Any

from sdn_lib.errors import SDNError

INJECTED = "injected-parameters"


class ChapterError(SDNError):
    """A chapter failed; `.detail` holds the cell and its traceback."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message, detail)
        self.detail = re.sub(r"\x1b\[[0-9;]*m", "", detail)

    def __str__(self) -> str:
        return self.args[0]


def gate(source: Any, executed: Any, name: str) -> dict[str, Any]:
    """Check an executed notebook against its source and return its glued scalars by name.

    ChapterError names the first cell with an error output, or one that was not executed, or out of
    order. It is also raised where the cells are not those of the source, for a name that is glued
    twice, and for a glued value of NumPy or PyTorch. What else is no number, bool or text, as
    figures are, is left out.
    """
    cells = [c for c in executed.cells if INJECTED not in c.metadata.get("tags", [])]
    if [(c.cell_type, c.source) for c in cells] != [(c.cell_type, c.source) for c in source.cells]:
        raise ChapterError(f"chapter {name}: its cells are not those of the source: run it again")
    count, numbers = 0, {}
    for cell in executed.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        count += 1
        first = cell.source.strip().splitlines()[0]
        if cell.execution_count != count:
            raise ChapterError(
                f"chapter {name}: cell {first!r} has execution count {cell.execution_count}, "
                f"expected {count}: every cell must run once, in order"
            )
        for output in cell.outputs:
            if output.output_type == "error":
                raise ChapterError(f"chapter {name}: cell {first!r} shows {output.ename}")
            for key, value in glued(output, name):
                if key in numbers:
                    raise ChapterError(f"chapter {name} glues {key!r} twice: rename one")
                numbers[key] = value
    return {key: value for key, value in numbers.items() if value is not None}


def glued(output: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of a glued output; value is None for figures and other displays.

    Numbers that are not finite come as text ('nan', 'inf'), which JSON can hold.
    """
    tag = output.get("metadata", {}).get("scrapbook")
    if not tag:
        return
    data = {key[len(tag.get("mime_prefix", "")) :]: value for key, value in output.data.items()}
    text = data.get("text/plain", "")
    text = text if isinstance(text, str) else "".join(text)
    if set(data) - {"text/plain"}:
        yield tag["name"], None
        return
    if re.match(r"(np|torch|numpy)\.|tensor\(|array\(", text):
        raise ChapterError(
            f"chapter {name} glues {tag['name']!r} as {text}: wrap it in float(), int() or bool()"
        )
    try:
        value = float(text) if text in ("nan", "inf", "-inf") else ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = None
    if isinstance(value, float) and not math.isfinite(value):
        value = text
    yield tag["name"], value if isinstance(value, bool | int | float | str) else None
