from __future__ import annotations

import torch

from sdn_lib.judging.protocol import protocol


def test_protocol_carries_versions():
    facts = protocol(images=3)
    assert facts["images"] == 3 and torch.__version__.startswith(facts["versions"]["torch"])
