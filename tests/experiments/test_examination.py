from __future__ import annotations

import numpy as np
import pytest

from sdn_lib import experiments, judging, runs


def test_the_mark_of_the_real_pictures_is_perfect(p):
    asked = experiments.draw_exam(p)
    assert len(asked.species) == len(asked.captions) > len(set(asked.species))
    judges = (runs.get(n, p).model for n in ("evaluator", "teacher"))
    found = experiments.mark(asked.real, asked, *judges, draws=2)
    assert found["frechet"] == pytest.approx(0, abs=1e-3)
    assert found["spectrum"] == pytest.approx(np.ones(p.data.size // 2))
    assert judging.detail(found["spectrum"]) == pytest.approx(0)
