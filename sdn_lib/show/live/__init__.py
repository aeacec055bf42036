"""Students that paint in the reader's browser: the engine, its weights, the form on the page."""

from sdn_lib.show.live import weights
from sdn_lib.show.live.exporting import export
from sdn_lib.show.live.form import FOLDER, PaintBox, form

__all__ = ["FOLDER", "PaintBox", "export", "form", "weights"]
