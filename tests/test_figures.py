"""Every figure is drawn from mock data, weighs little, and refuses wrong shapes by name."""

import io
import json
import os
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from sdn_lib import figures, vgg
from sdn_lib.errors import SDNError

NAMES = vgg.names(19)


def smooth_images(count, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def activations(depth=19, size=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = vgg.shapes(depth, 0.25, size)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}


def per_layer(seed):
    values = np.random.default_rng(seed).random(len(NAMES))
    return dict(zip(NAMES, values.tolist(), strict=True))


def log(count, seed=0):
    noise = np.random.default_rng(seed).random(count)
    return [{"step": 10 * i, "total": 5 / (1 + i) + float(noise[i])} for i in range(count)]


def drawings():
    images, maps = smooth_images(8), activations()
    captions = ["a small red bird with two white bars on its wings and a pointed beak"] * 8
    table = {"before": per_layer(0), "after": per_layer(1)}
    runs = {"pixel-only": {"crown": 0.4, "tail": 0.3}, "stage two": {"crown": 0.9, "tail": 0.8}}
    return {
        "image_grid": lambda: figures.image_grid(images, captions),
        "image_grid without titles": lambda: figures.image_grid(images, columns=3),
        "image_grid left": lambda: figures.image_grid(images[:4], captions[:4], 2, "left"),
        "compare_rows": lambda: figures.compare_rows({"real": images, "two": images}, captions),
        "activation_maps": lambda: figures.activation_maps(maps, ["image", "conv3_1", "pool5"]),
        "activation_pair": lambda: figures.activation_pair(
            maps["conv4_1"], maps["conv4_1"] + 0.1, "conv4_1"
        ),
        "symmetry_diagram": lambda: figures.symmetry_diagram(
            vgg.shapes(19, 0.25, 64), vgg.level_of(19), fc_width=512
        ),
        "symmetry_diagram 11": lambda: figures.symmetry_diagram(
            vgg.shapes(11, 1, 224), pictures=(images[0], images[1])
        ),
        "loss_curves": lambda: figures.loss_curves({"stage one": log(30)}, {"stage one": log(90)}),
        "layer_losses": lambda: figures.layer_losses(table),
        "gap_bars": lambda: figures.gap_bars(table, error={"after": per_layer(2)}),
        "attribute_bars": lambda: figures.attribute_bars(runs, {"crown": 1.0, "tail": 0.9}, 0.1),
        "row_scores": lambda: figures.row_scores(
            {"accuracy": {"full": [0.4, 0.5], "low": [0.3]}, "far": {"full": [9, 8], "low": [20]}},
            marks={"accuracy": 0.95},
            groups={"all": ["full"], "levels": ["low"]},
        ),
        "cost_bars": lambda: figures.cost_bars(
            {"s": {"one": {"plain": 9.0, "fast": 3.0}}, "GB": {"one": {"plain": 5.0, "fast": 3.0}}},
            floors={"s": {"one": 2.5}},
        ),
        "heatmap": lambda: figures.heatmap(torch.rand(3, 4), list("abcd"), list("xyz"), "share"),
        "thumbnails_scatter": lambda: figures.thumbnails_scatter(
            np.random.default_rng(0).random((8, 2)), images
        ),
    }


@pytest.mark.parametrize("name", drawings())
def test_draws_light_and_leaves_pyplot_clean(name):
    before, style = plt.get_fignums(), dict(plt.rcParams)
    figure = drawings()[name]()
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
    for name, draw in drawings().items():
        figure = draw()
        for text in figure.findobj(matplotlib.text.Text):
            assert not text.get_text() or text.get_fontsize() >= 9, (name, text.get_text())


def test_as_images_agrees_over_its_two_forms_and_leaves_its_input_alone():
    tensor = smooth_images(2) * 1.5 - 0.2
    kept = tensor.clone()
    array = figures.as_images(tensor)
    assert array.shape == (2, 64, 64, 3)
    assert torch.equal(tensor, kept)
    assert figures.as_images(array) is array
    assert np.array_equal(array, figures.as_images(tensor.numpy()))
    assert figures.as_images(tensor.bfloat16()).dtype == np.uint8


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.rand(2, 8, 8, 3), np.zeros((2, 3, 8, 8), np.uint8),
               np.zeros((2, 3, 8, 8), int), torch.full((1, 3, 8, 8), float("nan"))]
)
def test_as_images_names_what_it_cannot_show(images):
    with pytest.raises(SDNError, match="the birds"):
        figures.as_images(images, "the birds")


def test_strongest_is_ordered_and_stable():
    maps = np.zeros((4, 2, 2), np.float32)
    maps[2], maps[3] = 1, 5
    assert figures.strongest(maps, 4).tolist() == [3, 2, 0, 1]


def test_mosaic_keeps_order_scale_and_gaps():
    maps = np.stack([np.zeros((4, 4)), np.ones((4, 4)), np.full((4, 4), 0.5)]).astype(np.float32)
    picture = figures.mosaic(maps, scale=np.ones(3), columns=2, cell=16)
    assert picture.shape == (33, 33, 4)
    assert picture[16, 0, 3] == 0 and picture[20, 20, 3] == 0
    purple, yellow = [68, 1, 84], [253, 231, 37]
    assert picture[0, 0, :3].tolist() == purple and picture[0, 20, :3].tolist() == yellow
    assert picture[20, 0, :3].tolist() not in (purple, yellow)


def test_wrapping_keeps_every_word_within_the_width():
    text = "a small bird with a bright red crown and a hummingbird beak"
    lines = figures._wrap(text, 120)
    assert " ".join(lines) == text
    assert len(lines) > 3
    for line in lines:
        assert " " not in line or figures._text_width(line, figures.CAPTION) <= 135


def test_wrong_input_is_named():
    images, maps = smooth_images(4), activations()
    with pytest.raises(SDNError, match="4 images but 1 titles"):
        figures.image_grid(images, ["one"])
    with pytest.raises(SDNError, match="no images"):
        figures.image_grid(images[:0])
    with pytest.raises(SDNError, match="'stage two' has 3"):
        figures.compare_rows({"real": images, "stage two": images[:3]})
    with pytest.raises(SDNError, match="4 columns but 2 captions"):
        figures.compare_rows({"real": images}, ["a", "b"])
    with pytest.raises(SDNError, match="conv9_9"):
        figures.activation_maps(maps, ["conv9_9"])
    with pytest.raises(SDNError, match="'conv1_1'.*one sample"):
        figures.activation_maps({"conv1_1": torch.rand(2, 3, 4, 4)})
    with pytest.raises(SDNError, match="conv3_1"):
        figures.activation_pair(maps["conv3_1"], maps["conv3_1"][:5], "conv3_1")
    with pytest.raises(SDNError, match="run from 'image'"):
        figures.symmetry_diagram({"conv1_1": (16, 8, 8)})
    with pytest.raises(SDNError, match="pool5"):
        figures.layer_losses({"a": per_layer(0), "b": {k: 1.0 for k in NAMES[:-1]}})
    with pytest.raises(SDNError, match="no values"):
        figures.gap_bars({"a": per_layer(0)}, error={"b": per_layer(0)})
    with pytest.raises(SDNError, match="tail"):
        figures.attribute_bars({"a": {"tail": 1.0}}, ceiling={"crown": 1.0})
    with pytest.raises(SDNError, match=r"differ in \['low'\]"):
        figures.row_scores({"a": {"full": [1]}, "b": {"full": [1], "low": [2]}})
    with pytest.raises(SDNError, match="no scores"):
        figures.row_scores({"a": {}})
    with pytest.raises(SDNError, match="no costs"):
        figures.cost_bars({})
    with pytest.raises(SDNError, match="'GB' has not the rows"):
        figures.cost_bars({"s": {"one": {"plain": 1.0}}, "GB": {"one": {"fast": 1.0}}})
    with pytest.raises(SDNError, match="2 row labels"):
        figures.heatmap(np.eye(3), list("abc"), list("ab"), "x")
    with pytest.raises(SDNError, match=r"\(4, 2\)"):
        figures.thumbnails_scatter(np.zeros((3, 2)), images)


def test_loss_curves_refuse_empty_and_diverged_logs():
    with pytest.raises(SDNError, match="'stage one' has no entry"):
        figures.loss_curves({"stage one": [{"step": 1}]})
    with pytest.raises(SDNError, match="not finite at step 20"):
        figures.loss_curves({"a": [*log(2), {"step": 20, "total": float("nan")}]})


def test_smoothing_keeps_constants_and_length():
    assert np.allclose(figures._smooth(np.full(7, 3.0), 5), 3.0)
    assert len(figures._smooth(np.arange(4.0), 100)) == 4


# --- whatever settings a reader has ----------------------------------------------------------

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
import test_figures

def of(png):
    pixels = test_figures.plt.imread(io.BytesIO(png))
    return [*pixels.shape, hashlib.sha256(pixels.tobytes()).hexdigest()]

def saved(figure):
    out = io.BytesIO()
    figure.savefig(out)
    return out.getvalue()

found = {}
for name, draw in test_figures.drawings().items():
    if name in ("image_grid", "activation_maps", "loss_curves", "row_scores", "thumbnails_scatter"):
        figure = draw()
        found[name] = of(saved(figure)), of(print_figure(figure, bbox_inches="tight"))
test_figures.figures.use_style()
figure, axes = test_figures.plt.subplots(figsize=(3, 2), layout="constrained")
axes.imshow([[0, 1], [2, 3]])
axes.set(title="a chapter's own", xlabel="x")
found["own"] = of(saved(figure)), of(print_figure(figure, bbox_inches="tight"))
print(json.dumps(found))
"""


def test_a_reader_s_settings_change_no_pixel(tmp_path):
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    here = os.path.dirname(__file__)
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
    assert len(found[0]) == 6


def test_a_style_that_is_set_between_drawing_and_saving_changes_no_pixel():
    def pixels(figure):
        out = io.BytesIO()
        figure.savefig(out, bbox_inches="tight")
        return out.getvalue()

    draw = drawings()["row_scores"]
    plain = pixels(draw())
    with plt.style.context(["dark_background", {"savefig.dpi": 30, "xtick.major.size": 9}]):
        assert pixels(draw()) == plain
        figure = draw()
        figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba())[..., :3].mean() > 200
    assert pixels(figure) == plain


def test_dollars_in_captions_are_dollars():
    captions = ["a $5 bird that ate $6", r"a bird of \$ \alpha$ and $\nonsense{$", "a $ bird"]
    figure = figures.image_grid(smooth_images(3), captions)
    figure.savefig(io.BytesIO())
    texts = figure.findobj(matplotlib.text.Text)
    shown = {word for text in texts for word in text.get_text().split()}
    assert {word for caption in captions for word in caption.split()} <= shown
    assert not any(text.get_parse_math() for text in texts if "$" in text.get_text())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_pictures_of_any_precision_that_learn_are_shown(dtype):
    images = smooth_images(2).to(dtype)
    shown = figures.as_images(images.float())
    images.requires_grad_()
    assert np.array_equal(figures.as_images(images), shown)
    assert np.array_equal(figures.as_images(list(images)), shown)
    if dtype != torch.bfloat16:
        assert np.array_equal(figures.as_images(images.detach().numpy()), shown)


def test_pictures_on_another_device_are_fetched():
    class Far(torch.Tensor):
        """A tensor that is on another device until it is asked to come."""

        def numpy(self):
            raise TypeError("can't convert device tensor to numpy")

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    images = smooth_images(2)
    far = images.as_subclass(Far)
    assert np.array_equal(figures.as_images(far), figures.as_images(images))
    assert np.array_equal(figures.as_images([far[0], far[1]]), figures.as_images(images))


def test_a_notebook_shows_a_figure_with_pyplot_and_without():
    code = """
import base64, sys
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from sdn_lib import figures
shell = InteractiveShell.instance()
figure = figures.image_grid(np.zeros((2, 8, 8, 3), np.uint8))
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
