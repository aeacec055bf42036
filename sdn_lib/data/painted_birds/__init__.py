"""PaintedBirds: a procedural stand-in for CUB, its attributes, masks and captions known.

`make_species` invents the classes, `draw` a bird of one of them, `paint` its picture and part
map, `describe` its captions, `generate` the whole data set in the prepared form; `unpainted` is
the same where few of its pictures are needed. `bird_from` makes a bird of any attributes at all.
"""

from sdn_lib.data.painted_birds.attributes import (
    ATTRIBUTES,
    COLOURED,
    COLOURS,
    OF_THE_IMAGE,
    PALETTE,
    PARTS,
)
from sdn_lib.data.painted_birds.bird import bird_from, draw
from sdn_lib.data.painted_birds.captions import describe
from sdn_lib.data.painted_birds.dataset import VERSION, generate, paint_matching, unpainted
from sdn_lib.data.painted_birds.painting import paint
from sdn_lib.data.painted_birds.species import make_species

__all__ = [
    "ATTRIBUTES",
    "COLOURED",
    "COLOURS",
    "OF_THE_IMAGE",
    "PALETTE",
    "PARTS",
    "VERSION",
    "bird_from",
    "describe",
    "draw",
    "generate",
    "make_species",
    "paint",
    "paint_matching",
    "unpainted",
]
