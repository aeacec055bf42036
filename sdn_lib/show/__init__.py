"""The book's figures and interactives: arrays, tensors and dicts in; what a notebook shows out."""

from sdn_lib.show.arrays import as_images
from sdn_lib.show.builders import layer_scrubber, prompt_builder, step_scrubber
from sdn_lib.show.charts import (
    attribute_bars,
    cost_bars,
    heatmap,
    layer_bars,
    loss_curves,
    moving_average,
    row_scores,
    thumbnails_scatter,
)
from sdn_lib.show.explorer import Explorer
from sdn_lib.show.frames import Control, Frame, Panel
from sdn_lib.show.gallery import Gallery, compare_rows, image_grid, rows_figure
from sdn_lib.show.live import PaintBox
from sdn_lib.show.maps import activation_maps
from sdn_lib.show.mirror import symmetry_diagram
from sdn_lib.show.style import INK, PALETTE, RUN_COLOURS, use_style
from sdn_lib.show.tables import table, with_range

__all__ = [
    "INK",
    "PALETTE",
    "RUN_COLOURS",
    "Control",
    "Explorer",
    "Frame",
    "Gallery",
    "PaintBox",
    "Panel",
    "activation_maps",
    "as_images",
    "attribute_bars",
    "compare_rows",
    "cost_bars",
    "heatmap",
    "image_grid",
    "layer_bars",
    "layer_scrubber",
    "loss_curves",
    "moving_average",
    "prompt_builder",
    "row_scores",
    "rows_figure",
    "step_scrubber",
    "symmetry_diagram",
    "table",
    "thumbnails_scatter",
    "use_style",
    "with_range",
]
