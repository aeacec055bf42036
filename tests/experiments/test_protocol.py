from __future__ import annotations

import torch

from sdn_lib.experiments.protocol import code, protocol


def test_protocol_carries_versions():
    facts = protocol(code(), images=3)
    found, used = facts["versions"]["torch"], torch.__version__
    assert {"commit", "dirty", "hardware"} <= set(facts)
    assert facts["images"] == 3 and found.split("+")[0] == used.split("+")[0]
