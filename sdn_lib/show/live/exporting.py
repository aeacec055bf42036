"""All that the form on a page needs, written into one folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdn_lib import files
from sdn_lib.show.live import weights
from sdn_lib.student import Student
from sdn_lib.text import CharCNNRNN

ASSETS = ("engine.js", "page.js", "live.css")


def export(
    folder: str | Path,
    encoder: CharCNNRNN,
    students: Mapping[str, Student],
    captions: Sequence[str] = (),
) -> dict[str, int]:
    """Write all that the form needs into a folder, and return the size of each network's file.

    Of `captions`, where there are any, the page names those that the encoder takes to be nearest.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ASSETS:
        shutil.copy2(Path(__file__).with_name(name), folder / name)
    sizes = {"text": weights.write_text(encoder, folder / "text.js")}
    for name, student in students.items():
        sizes[name] = weights.write_student(student, name, folder / f"{name}.js")
    if captions:
        near = encoder.encode(captions).numpy()
        sizes["nearest"] = weights.write_nearest(near, captions, folder / "nearest.js")
    facts = {"sizes": sizes}
    files.write_text(folder / "manifest.js", f"sdnLive.describe({json.dumps(facts)});\n")
    return sizes
