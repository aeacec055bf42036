"""Photographs with captions: CUB-200-2011, Oxford-102, a folder of your own.

`cub.read`, `flowers.read` and `folder.read` check a folder and return a `Reading`, to which
`facing` adds the way that CUB's birds look; `prepare` decodes, crops and resizes its images into
the prepared form.
"""

from sdn_lib.data.photographs.preparing import CROPS, FILTERS, prepare
from sdn_lib.data.photographs.reading import Reading

__all__ = ["CROPS", "FILTERS", "Reading", "prepare"]
