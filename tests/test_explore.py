"""Interactives: complete, self-contained, deterministic, light, and alive in a browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sdn_lib import explore, vgg
from sdn_lib.errors import SDNError
from sdn_lib.explore import Control, Explorer, Frame, Panel
from sdn_lib.text import CharCNNRNN

VOID = {"img", "input", "br"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.data, self.shown = [], [], "", ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        tag, attributes = self.open[-1]
        if attributes.get("class") == "sdn-data":
            self.data += data
        elif tag not in ("script", "style"):
            self.shown += data

    def of(self, tag, kind=""):
        return [a for t, a in self.tags if t == tag and kind in a.get("class", "").split(" ")]


def bird_like(count, size=64, seed=0):
    """Smooth backgrounds with two sharp-edged ellipses, the colours all different."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:size * 1j, -1:1:size * 1j]
    images = []
    for _ in range(count):
        low, high, body, head = random.random((4, 3))
        image = low + (high - low) * (y[..., None] + 1) / 2
        edge = np.clip((1 - (x / 0.6) ** 2 - ((y - 0.2) / 0.4) ** 2) * 6, 0, 1)[..., None]
        image = image * (1 - edge) + body * edge
        edge = np.clip((1 - ((x - 0.4) / 0.25) ** 2 - ((y + 0.4) / 0.25) ** 2) * 6, 0, 1)[..., None]
        images.append(image * (1 - edge) + head * edge)
    return (np.stack(images) * 255).astype(np.uint8)


def small(**options):
    """Two controls, six frames, two of which look the same."""
    images = bird_like(5)
    controls = [
        Control("crown", "crown", ("red", "blue"), "buttons"),
        Control("step", "step", ("0", "10", "20"), "slider", default="10", play=50),
    ]
    keys = [(c, s) for c in ("red", "blue") for s in ("0", "10", "20")]
    frames = {
        key: Frame((Panel("student", (images[min(i, 4)],)),), f"{key[0]} <b> at {key[1]}")
        for i, key in enumerate(keys)
    }
    options = {"title": "Try it", "alt": "a bird"} | options
    return Explorer(controls, frames, **options)


def decode(uri):
    kind, body = re.fullmatch(r"data:image/(\w+);base64,(.+)", uri).groups()
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert image.format == kind.upper()
    return np.asarray(image)


def test_html_is_well_formed_and_self_contained():
    text = small().to_html()
    page = Page(text)
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    root = page.tags[0][1]
    assert root["class"] == "sdn-explore" and root["id"].startswith("sdn-")
    data = json.loads(page.data)
    assert len(data["frames"]) == len(data["texts"]) == 6
    assert len(data["images"]) == 5, "equal pictures are kept once"
    assert data["controls"] == [["red", "blue"], ["0", "10", "20"]]
    assert all(decode(uri).shape[:2] == (64, 64) for uri in data["images"])
    assert "<b>" not in page.data.replace("\\u003c", "")


def test_default_frame_is_there_without_scripts():
    page = Page(small().to_html())
    (picture,) = page.of("img", "sdn-frame")
    data = json.loads(page.data)
    assert picture["src"] == data["images"][data["frames"][1][0]]
    assert "red <b> at 10" in page.shown and "red <b> at 10" in picture["alt"]
    assert "hidden" in page.of("form", "sdn-controls")[0]
    assert page.of("noscript")
    (slider,) = [a for a in page.of("input") if a["type"] == "range"]
    assert slider["value"] == "1" and slider["aria-label"] == "step"
    assert page.of("p", "sdn-text")[0]["aria-live"] == "polite"


def test_same_input_same_bytes_other_input_other_id():
    first, again, other = small(), small(), small(title="Another")
    assert first.to_html() == again.to_html()
    found = [re.search(r'id="(sdn-\w+)"', e.to_html()).group(1) for e in (first, other)]
    assert found[0] != found[1]
    assert first.still() == again.still()


def test_bundle_with_and_without_the_widget(monkeypatch):
    plain = {"text/plain", "text/html", "image/png"}
    monkeypatch.delenv("SDN_STATIC", raising=False)
    assert set(small()._repr_mimebundle_()) == plain, "no kernel, no widget"
    ipython = pytest.importorskip("IPython")
    pytest.importorskip("ipywidgets")
    monkeypatch.setattr(ipython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    assert set(small()._repr_mimebundle_()) == plain | {explore.WIDGET}
    monkeypatch.setenv("SDN_STATIC", "1")
    bundle = small()._repr_mimebundle_()
    assert set(bundle) == plain
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.format == "PNG" and picture.width == 256


def test_widget_shows_the_chosen_frame_and_live_text():
    pytest.importorskip("ipywidgets")

    def live(text):
        if not text:
            raise SDNError("the caption is empty")
        return Frame.of(bird_like(1, seed=9)[0], text, "student")

    box = small(live=live).widget()
    controls, view = box.children
    crown, step, play, typed = controls.children
    assert "red &lt;b&gt; at 10" in view.value
    crown.value, step.value = "blue", "20"
    assert "blue &lt;b&gt; at 20" in view.value
    typed.value = "a free caption"
    assert "a free caption" in view.value
    typed.value = ""
    assert "the caption is empty" in view.value and Page(view.value).of("p")[0]["role"] == "alert"
    assert "box for a text of your own" in small(live=live).to_html()


def typed_into_a_builder(caption):
    """Type a caption where CharCNNRNN reads it; return the page that the widget then shows."""
    pytest.importorskip("ipywidgets")
    reader = CharCNNRNN()
    built = explore.prompt_builder(
        {"crown": ("red", "blue")},
        lambda asked: {"real": bird_like(len(asked)), "student": bird_like(len(asked))},
        lambda bird: f"a bird with a {bird['crown']} crown",
        live_text=lambda caption: {"student": bird_like(len(reader.encode([caption])))},
    )
    controls, view = built.widget().children
    controls.children[-1].value = caption
    return Page(view.value)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("красная птица", "not one letter"),
        ("🐦", "not one letter"),
        ("a réd bird", "'é' (write e)"),
        ("a <script>alert('é')</script> & bird", "'é' (write e)"),
        ("a red\nbird", "(write a space)"),
        ("a red bird " * 1000, "only the first 201"),
        ("   ", "is empty"),
    ],
)
def test_what_cannot_be_read_of_a_typed_caption_is_said_in_the_widget(caption, words, recwarn):
    page = typed_into_a_builder(caption)
    (alert,) = [attributes for attributes in page.of("p") if attributes.get("role") == "alert"]
    assert alert and words in page.shown
    assert len(recwarn) == 0, "said once, in the widget"
    assert not page.of("script")
    if caption.strip():
        (picture,) = page.of("img", "sdn-frame")
        assert picture["alt"].startswith("a painted bird, student: ")
        assert caption[:201] in picture["alt"] and caption[:201] in page.shown
        assert len(page.shown) < 600


def test_a_typed_caption_that_is_read_whole_gets_no_remark():
    page = typed_into_a_builder("a 'red' bird")
    assert "a 'red' bird" in page.shown
    assert not [attributes for attributes in page.of("p") if attributes.get("role") == "alert"]


def test_missing_unknown_and_odd_frames_are_named():
    whole = small()
    frames = dict(whole.frames)
    gone = frames.pop(("blue", "10"))
    with pytest.raises(SDNError, match="no frame for crown=blue, step=10"):
        Explorer(whole.controls, frames, title="t", alt="a")
    frames[("blue", "10")] = gone
    frames[("green", "10")] = gone
    with pytest.raises(SDNError, match="green"):
        Explorer(whole.controls, frames, title="t", alt="a")
    frames.pop(("green", "10"))
    frames[("blue", "20")] = Frame.of(bird_like(1)[0], label="other")
    with pytest.raises(SDNError, match="crown=blue, step=20"):
        Explorer(whole.controls, frames, title="t", alt="a")
    with pytest.raises(SDNError, match="crown=puce"):
        whole.frame(crown="puce")
    with pytest.raises(SDNError, match="crow'"):
        whole.frame(crow="red")
    assert whole.frame(crown="blue").text == "blue <b> at 10"


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


def test_300_frames_of_64_pixels_weigh_less_than_500_kb():
    values = tuple(f"{i}" for i in range(300))
    frames = {(v,): Frame.of(image) for v, image in zip(values, bird_like(300), strict=True)}
    text = Explorer([Control("i", "i", values)], frames, title="t", alt="a").to_html()
    assert len(json.loads(Page(text).data)["frames"]) == 300
    assert len(text.encode()) < 500_000


@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_survive_encoding(channels):
    images = bird_like(4)
    if channels == 4:
        images = np.concatenate([images, np.full((4, 64, 64, 1), 255, np.uint8)], axis=3)
        images[:, :, 30:34] = 0
    for image in images:
        back = decode(explore.data_uri(image)).astype(float)
        if channels == 4:
            assert (back[:, 30:34, 3] == 0).all() and (back[:, :30, 3] == 255).all()
            image, back = image[:, :30, :3], back[:, :30, :3]
        assert 10 * np.log10(255**2 / ((back - image) ** 2).mean()) > 27
    flat = np.zeros((2, 2, 3), np.uint8)
    assert np.array_equal(decode(explore.data_uri(flat))[..., :3], flat)


def test_prompt_builder_paints_every_combination_in_batches():
    calls = []

    def render(attributes):
        calls.append(len(attributes))
        red = torch.tensor([float(a["crown"] == "red") for a in attributes])
        flat = red[:, None, None, None].expand(-1, 3, 8, 8)
        return {"stage one": flat * 0.5, "stage two": flat}

    built = explore.prompt_builder(
        {"crown": ("red", "blue"), "wing": ("black", "white", "grey")}, render,
        lambda a: f"a bird with a {a['crown']} crown and {a['wing']} wings",
        live_text=lambda text: render([{"crown": text}]), default={"crown": "blue"}, batch=4,
    )
    assert calls == [4, 2]
    frame = built.frame(wing="white")
    assert frame.text == "a bird with a blue crown and white wings"
    assert [panel.label for panel in frame.panels] == ["stage one", "stage two"]
    assert built.frame(crown="red").panels[1].images[0].mean() == 255
    assert built.live("red").panels[1].images[0].mean() == 255
    with pytest.raises(SDNError, match="6 combinations"):
        explore.prompt_builder(
            {"crown": ("red", "blue"), "wing": ("a", "b", "c")}, render, str, limit=5
        )
    with pytest.raises(SDNError, match="'stage one' returned 1 images for 2"):
        explore.prompt_builder({"crown": ("red", "blue")}, lambda a: render(a[:1]), str)


def test_layer_scrubber_has_all_names_in_one_scale():
    generator = torch.Generator().manual_seed(0)
    shapes = vgg.shapes(19, 0.25, 64)
    teacher = {n: torch.rand((2, *s), generator=generator) for n, s in shapes.items()}
    student = {n: 0.5 * a for n, a in teacher.items()}
    built = explore.layer_scrubber(vgg.names(), teacher, student, ["first", "second"])
    assert len(built.frames) == 44
    assert [c.name for c in built.controls] == ["example", "layer"]
    frame = built.frame(layer="conv3_2")
    assert "16 strongest of 64 channels, 16×16, mid level" in frame.text
    sides = [panel.images[0] for panel in frame.panels]
    assert sides[0].shape == sides[1].shape == (67, 67, 4)
    assert sides[0][..., 1].mean() > sides[1][..., 1].mean(), "half the values, darker"
    assert built.frame().panels[0].images[0].shape == (64, 64, 3)
    single = explore.layer_scrubber(
        vgg.names(), {n: a[0] for n, a in teacher.items()}, {n: a[0] for n, a in student.items()}
    )
    assert [c.name for c in single.controls] == ["layer"]
    with pytest.raises(SDNError, match="student has no layer 'pool5'"):
        missing = {n: a for n, a in student.items() if n != "pool5"}
        explore.layer_scrubber(vgg.names(), teacher, missing)
    with pytest.raises(SDNError, match="'conv1_1'"):
        explore.layer_scrubber(["conv1_1"], teacher, {"conv1_1": teacher["conv1_1"][:, :3]})


def test_time_lapse_and_picker():
    images = bird_like(6)
    runs = {"stage one": [images[:3], images[3:]], "stage two": [images[3:], images[:3]]}
    built = explore.time_lapse([0, 1500], runs, ["a", "b", "c"], fixed={"real": images[:3]})
    assert built.default == ("1,500",)
    assert [p.label for p in built.frame().panels] == ["real", "stage one", "stage two"]
    page = Page(built.to_html())
    assert len(page.of("img", "sdn-frame")) == 9
    assert len(json.loads(page.data)["images"]) == 6
    assert page.of("button", "sdn-play") and len(page.of("li")) == 3
    with pytest.raises(SDNError, match="'stage one' has 1 entries for 2 steps"):
        explore.time_lapse([0, 1], {"stage one": [images]})
    picker = explore.image_picker(
        {"owl": Frame.of(images[0]), "duck": Frame.of(images[1])}, title="Pick", alt="a bird"
    )
    assert len(Page(picker.to_html()).of("option")) == 2


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SCRIPT = """<pre id="log"></pre><script>
const log = document.getElementById("log");
addEventListener("error", function (event) { log.textContent += event.message; });
addEventListener("load", function () {
  const roots = Array.from(document.querySelectorAll(".sdn-explore"));
  const source = function (root) { return root.querySelector(".sdn-frame").src; };
  const before = roots.map(source);
  const range = roots[0].querySelector("input[type=range]");
  range.value = "2";
  range.dispatchEvent(new Event("input", {bubbles: true}));
  const slid = source(roots[0]);
  roots[0].querySelector("input[type=radio][value='1']").click();
  const out = {
    roots: roots.length, hidden: roots[0].querySelector("form").hidden,
    slid: slid !== before[0], clicked: source(roots[0]) !== slid,
    alone: source(roots[1]) === before[1] && source(roots[2]) === before[2],
    radios: roots[1].querySelector("input[type=radio]").checked,
    text: roots[0].querySelector(".sdn-text").textContent,
    output: roots[0].querySelector("output").textContent,
    leaked: Object.keys(window).filter(function (k) { return k.indexOf("sdn") === 0; }).length,
  };
  log.textContent += JSON.stringify(out);
});
</script>"""


@pytest.mark.skipif(not BROWSER, reason="no chromium here: the interactives were not tried in one")
def test_a_browser_changes_the_frame(tmp_path):
    twice = small().to_html()
    page = tmp_path / "page.html"
    body = twice + twice + small(title="Another").to_html() + SCRIPT
    page.write_text(f"<!doctype html><meta charset='utf-8'>{body}", encoding="utf-8")
    run = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         "--virtual-time-budget=4000", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )
    found = re.search(r'<pre id="log">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found and found.group(1), run.stderr[-2000:]
    assert json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">")) == {
        "roots": 3, "hidden": False, "slid": True, "clicked": True, "alone": True,
        "radios": True, "text": "blue <b> at 20", "output": "20", "leaked": 0,
    }
