"""What exercises say of the first steps of trainings is read from a whole table, or not at all."""

from __future__ import annotations

import json

import pytest

from sdn_lib import profiles
from sdn_lib.errors import SDNError
from sdn_lib.runs import first_steps


def lines(*variants):
    return [
        {"network": "text", "variant": v, first_steps.FIRST: 4.0, first_steps.LAST: 3.0}
        for v in variants
    ]


@pytest.mark.parametrize(
    "tables",
    [{}, [], {first_steps.TITLE: lines("icml")}, {first_steps.TITLE: [{"network": "text"}]}, None],
)
def test_a_table_that_lacks_a_variant_is_an_error(home, tables):
    path = profiles.ROOT / "results/benchmarks/first_steps.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tables": tables}))
    with pytest.raises(SDNError, match="no whole table.*bench_first_steps"):
        first_steps.stored("text")


def test_a_whole_table_is_read(home):
    path = profiles.ROOT / "results/benchmarks/first_steps.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = lines("icml", "cvpr") + [{"network": "teacher", "variant": "avg"}]
    path.write_text(json.dumps({"tables": {first_steps.TITLE: rows}}))
    assert first_steps.stored("text") == {"icml": (4.0, 3.0), "cvpr": (4.0, 3.0)}


def test_the_variants_are_those_that_a_profile_can_have():
    for setting, values in first_steps.VARIANTS.values():
        for value in values:
            profiles.load("smoke", **{f"network__{setting}": value})
