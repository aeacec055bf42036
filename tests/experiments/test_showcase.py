"""What a profile of painted birds keeps in results/: networks, scores, pictures of own captions."""

from __future__ import annotations

import json

import pytest

from sdn_lib import runs
from sdn_lib.errors import SDNError
from sdn_lib.experiments import showcase, stored_evaluation


def test_painted_birds_are_published_whole(p, home):
    folder = home / "results" / p.name
    with pytest.raises(SDNError, match=r"captions\.txt is missing"):
        showcase.publish(p)
    folder.mkdir(parents=True)
    (folder / "captions.txt").write_text("a red owl\na small blue duck on the water\n")
    assert showcase.publish(p) == folder
    report, captions, painted = showcase.published(p)
    assert report == stored_evaluation(p) and set(report["runs"]) >= set(runs.STUDENTS)
    assert {"hardware", "versions", "commit", "dirty"} <= set(report)
    assert captions == ["a red owl", "a small blue duck on the water"]
    assert {name: pictures.shape for name, pictures in painted.items()} == dict.fromkeys(
        runs.STUDENTS, (2, p.data.size, p.data.size, 3)
    )
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in runs.NAMES:
        assert {f"{name}/{part}" for part in showcase.RUN} <= kept
        assert (f"{name}/time_lapse.png" in kept) is (name in runs.STUDENTS)
        config = json.loads((folder / name / "config.json").read_text())
        assert config["name"] == name
    before = {name: (folder / name).stat().st_mtime_ns for name in kept}
    assert showcase.publish(p) == folder
    after = {name: (folder / name).stat().st_mtime_ns for name in kept}
    changed = {name for name in kept if before[name] != after[name]}
    assert changed >= {"evaluation.json"}
