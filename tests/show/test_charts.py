"""What cannot be plotted is refused by name, and curves are smoothed fairly."""

import drawings
import numpy as np
import pytest

from sdn_lib import show
from sdn_lib.errors import SDNError


def test_wrong_input_is_named():
    with pytest.raises(SDNError, match="pool5"):
        show.layer_bars({"a": drawings.per_layer(0), "b": {k: 1.0 for k in drawings.NAMES[:-1]}})
    with pytest.raises(SDNError, match="no values"):
        show.layer_bars({"a": drawings.per_layer(0)}, errors={"b": drawings.per_layer(0)})
    with pytest.raises(SDNError, match="tail"):
        show.attribute_bars({"a": {"tail": 1.0}}, ceiling={"crown": 1.0})
    with pytest.raises(SDNError, match=r"differ in \['low'\]"):
        show.row_scores({"a": {"full": [1]}, "b": {"full": [1], "low": [2]}})
    with pytest.raises(SDNError, match="no scores"):
        show.row_scores({"a": {}})
    with pytest.raises(SDNError, match="no costs"):
        show.cost_bars({})
    with pytest.raises(SDNError, match="'GB' has not the rows"):
        show.cost_bars({"s": {"one": {"plain": 1.0}}, "GB": {"one": {"fast": 1.0}}})
    with pytest.raises(SDNError, match="2 row labels"):
        show.heatmap(np.eye(3), list("abc"), list("ab"), "x")
    with pytest.raises(SDNError, match=r"\(4, 2\)"):
        show.thumbnails_scatter(np.zeros((3, 2)), drawings.smooth_images(4))


def test_loss_curves_refuse_empty_and_diverged_logs():
    with pytest.raises(SDNError, match="'stage one' has no entry"):
        show.loss_curves({"stage one": [{"step": 1}]})
    with pytest.raises(SDNError, match="not finite at step 20"):
        show.loss_curves({"a": [*drawings.log(2), {"step": 20, "total": float("nan")}]})


def test_smoothing_keeps_constants_and_length():
    assert np.allclose(show.moving_average(np.full(7, 3.0), 5), 3.0)
    assert len(show.moving_average(np.arange(4.0), 100)) == 4
