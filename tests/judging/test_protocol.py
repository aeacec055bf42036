from __future__ import annotations

import torch

from sdn_lib.judging.protocol import protocol


def test_protocol_carries_versions():
    facts = protocol(images=3)
    found, used = facts["versions"]["torch"], torch.__version__
    assert facts["images"] == 3 and found.split("+")[0] == used.split("+")[0]
