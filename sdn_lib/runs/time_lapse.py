"""What a student paints while it learns: eight captions, a row a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sdn_lib import files
from sdn_lib.data import prepared
from sdn_lib.errors import SDNError
from sdn_lib.learning.loop import Task
from sdn_lib.runs.sampling import paint, read_sheet, to_uint8
from sdn_lib.text import CharCNNRNN


class TimeLapse:
    """Pictures of the same eight unseen captions while a student trains, one row a moment.

    Called by `learning.fit` after every step; kept as `time_lapse.png` beside `time_lapse.json`,
    which holds the steps and captions.
    """

    COUNT = 8

    def __init__(
        self, data: prepared.Prepared, encoder: CharCNNRNN, steps: int, folder: Path
    ) -> None:
        rows = data.indices("test")
        self.rows = rows[np.linspace(0, len(rows) - 1, self.COUNT).astype(int)]
        self.captions = [max(data.captions[row], key=len) for row in self.rows]
        self.moments = {0, steps} | {round(steps * 0.5 ** (k / 1.5)) for k in range(1, 11)}
        self.encoder, self.folder = encoder, folder
        self.frames: dict[int, np.ndarray] = {}
        if all((folder / kept).exists() for kept in ("state.safetensors", "time_lapse.json")):
            try:
                self.frames, _, _ = read_time_lapse(folder)
            except SDNError:
                pass  # pictures of earlier steps are lost; the training goes on

    def __call__(self, step: int, task: Task) -> None:
        """Paint and save one row when `step` is one of the moments."""
        if step not in self.moments:
            return
        student = task.get_submodule("student")
        training_mode = student.training
        pictures = paint(student.eval(), self.encoder, self.captions)
        student.train(training_mode)
        self.frames[step] = to_uint8(pictures)
        steps = sorted(self.frames)
        sheet = np.stack([np.concatenate(list(self.frames[s]), axis=1) for s in steps])
        image = Image.fromarray(sheet.reshape(-1, *sheet.shape[2:]))
        with files.writing(self.folder / "time_lapse.png") as partial:
            image.save(partial, format="PNG", optimize=True)
        facts = {"steps": steps, "captions": self.captions, "rows": self.rows.tolist()}
        files.write_json(self.folder / "time_lapse.json", facts)


def read_time_lapse(folder: Path) -> tuple[dict[int, np.ndarray], list[str], list[int]]:
    """Return {step: uint8 (8, height, width, 3)}, the captions and their rows in the data.

    Raises SDNError that names a file which is missing or damaged.
    """
    remedy = "restore it, or train again"
    path, picture = folder / "time_lapse.json", folder / "time_lapse.png"
    facts = files.read_json(path, remedy)
    sheet = read_sheet(picture, remedy)
    captions, steps, rows = (facts.get(key) for key in ("captions", "steps", "rows"))
    if not all(isinstance(value, list) for value in (captions, steps, rows)):
        raise SDNError(f"{path} lists no captions, steps or rows: {remedy}")
    count = len(captions)
    size = sheet.shape[1] // max(1, count)
    # A picture that was written just before a kill has a row that the list lacks.
    heights = (len(steps) * size, (len(steps) + 1) * size)
    if not count or sheet.shape[1] != count * size or sheet.shape[0] not in heights:
        raise SDNError(f"{path} and {picture} do not belong together: {remedy}")
    frames = {
        step: np.stack(np.split(sheet[row * size : (row + 1) * size], count, 1))
        for row, step in enumerate(steps)
    }
    return frames, captions, rows
