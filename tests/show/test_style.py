"""Every figure weighs little, can be read, and looks the same whatever settings a reader has."""

import io
import json
import os
import subprocess
import sys

import drawings
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from sdn_lib.errors import SDNError
from sdn_lib.show import style


@pytest.mark.parametrize("name", drawings.drawings())
def test_draws_light_and_leaves_pyplot_clean(name):
    before, style = plt.get_fignums(), dict(plt.rcParams)
    figure = drawings.drawings()[name]()
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == before
    assert dict(plt.rcParams) == style
    out = io.BytesIO()
    figure.savefig(out, bbox_inches="tight")
    assert 2_000 < len(out.getvalue()) < 300_000
    pixels = plt.imread(io.BytesIO(out.getvalue()))
    assert pixels.shape[1] > 900
    assert pixels[..., :3].std() > 0.01


def test_words_are_large_enough_to_read():
    for name, draw in drawings.drawings().items():
        figure = draw()
        for text in figure.findobj(matplotlib.text.Text):
            assert not text.get_text() or text.get_fontsize() >= 9, (name, text.get_text())


HOSTILE = """
backend: svg
image.origin: lower
image.interpolation: bicubic
image.cmap: gray
figure.autolayout: True
figure.facecolor: black
figure.dpi: 37
figure.subplot.left: 0.4
axes.grid: False
axes.facecolor: 333333
axes.prop_cycle: cycler('color', ['r', 'g'])
axes.linewidth: 4
axes.autolimit_mode: round_numbers
axes.unicode_minus: False
font.family: serif
font.weight: bold
font.style: italic
mathtext.fontset: cm
text.usetex: True
text.hinting: none
text.antialiased: False
xtick.major.size: 20
xtick.minor.visible: True
ytick.direction: in
lines.marker: o
lines.linestyle: :
patch.force_edgecolor: True
path.sketch: 4, 50, 2
savefig.bbox: tight
savefig.pad_inches: 2
savefig.facecolor: red
savefig.transparent: True
savefig.dpi: 31
"""

RENDER = """
import hashlib, io, json, sys
from IPython.core.pylabtools import print_figure
import drawings
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sdn_lib import show

def of(png):
    pixels = plt.imread(io.BytesIO(png))
    return [*pixels.shape, hashlib.sha256(pixels.tobytes()).hexdigest()]

def saved(figure):
    out = io.BytesIO()
    figure.savefig(out)
    return out.getvalue()

found = {}
for name, draw in drawings.drawings().items():
    if name in ("activation_maps", "loss_curves", "row_scores", "thumbnails_scatter"):
        figure = draw()
        found[name] = of(saved(figure)), of(print_figure(figure, bbox_inches="tight"))
show.use_style()
figure, axes = plt.subplots(figsize=(3, 2), layout="constrained")
axes.imshow([[0, 1], [2, 3]])
axes.set(title="a chapter's own", xlabel="x")
found["own"] = of(saved(figure)), of(print_figure(figure, bbox_inches="tight"))
print(json.dumps(found))
"""


def test_a_reader_s_settings_change_no_pixel(tmp_path):
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    here = os.path.dirname(drawings.__file__)
    found = []
    for folder in ("", str(tmp_path)):
        environment = os.environ | {"PYTHONPATH": here, "MATPLOTLIBRC": folder}
        environment.pop("MPLBACKEND", None)
        done = subprocess.run(
            [sys.executable, "-c", RENDER], env=environment, capture_output=True, text=True,
            check=False, timeout=120,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert len(found[0]) == 5


def test_a_style_that_is_set_between_drawing_and_saving_changes_no_pixel():
    def pixels(figure):
        out = io.BytesIO()
        figure.savefig(out, bbox_inches="tight")
        return out.getvalue()

    draw = drawings.drawings()["row_scores"]
    plain = pixels(draw())
    with plt.style.context(["dark_background", {"savefig.dpi": 30, "xtick.major.size": 9}]):
        assert pixels(draw()) == plain
        figure = draw()
        figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba())[..., :3].mean() > 200
    assert pixels(figure) == plain


def test_a_notebook_shows_a_figure_with_pyplot_and_without():
    code = """
import base64, sys
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from sdn_lib import show
shell = InteractiveShell.instance()
figure = show.activation_maps({"conv1_1": np.ones((2, 8, 8))})
assert "matplotlib.pyplot" not in sys.modules
alone, _ = shell.display_formatter.format(figure)
import matplotlib.pyplot
from matplotlib_inline.backend_inline import configure_inline_support
configure_inline_support(shell, "module://matplotlib_inline.backend_inline")
beside, _ = shell.display_formatter.format(figure)
as_bytes = lambda png: png if isinstance(png, bytes) else base64.b64decode(png)
from PIL import Image
import io
one, two = (np.asarray(Image.open(io.BytesIO(as_bytes(d["image/png"])))) for d in (alone, beside))
assert one.shape == two.shape and (one == two).all()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_layer_of_no_vgg_has_no_colour():
    assert style.level_colour("fc7") == style.level_colour("conv5_1")
    with pytest.raises(SDNError, match="no layer 'conv5_9'.*conv5_"):
        style.level_colour("conv5_9")


def test_a_run_keeps_its_colour_and_no_other_series_gets_it():
    labels = ["stage two, live", "a", "b", "Stage_one", "c", "d"]
    colours = style.run_colours(labels)
    assert list(colours) == labels and len(set(colours.values())) == len(labels)
    assert colours["stage two, live"] == style.RUN_COLOURS["stage two"]
    many = style.run_colours([f"series {k}" for k in range(9)])
    assert list(many.values()) == [*style.PALETTE, *style.PALETTE[:2]]
