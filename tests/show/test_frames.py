"""Controls and panels are checked when they are made."""

import numpy as np
import pytest

from sdn_lib.errors import SDNError
from sdn_lib.show.frames import Control, Panel


def test_controls_and_panels_refuse_nonsense():
    with pytest.raises(SDNError, match="kind 'dial'"):
        Control("a", "a", ("1",), "dial")
    with pytest.raises(SDNError, match="distinct"):
        Control("a", "a", ("1", "1"))
    with pytest.raises(SDNError, match="default '3'"):
        Control("a", "a", ("1", "2"), default="3")
    with pytest.raises(SDNError, match="only a slider"):
        Control("a", "a", ("1", "2"), play=100)
    with pytest.raises(SDNError, match="uint8"):
        Panel("p", (np.zeros((4, 4, 3)),))
