"""Interactives: complete, self-contained, deterministic, light, and alive in a browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import browser
import pytest
from interactives import Page, bird_like, decode, frame_of
from PIL import Image

from sdn_lib import show
from sdn_lib.errors import SDNError
from sdn_lib.show.explorer import WIDGET, Explorer
from sdn_lib.show.frames import Control, Frame, Panel


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
    assert set(small()._repr_mimebundle_()) == plain | {WIDGET}
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
        return frame_of(bird_like(1, seed=9)[0], text, "student")

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
    frames[("blue", "20")] = frame_of(bird_like(1)[0], label="other")
    with pytest.raises(SDNError, match="crown=blue, step=20"):
        Explorer(whole.controls, frames, title="t", alt="a")
    with pytest.raises(SDNError, match="crown=puce"):
        whole.frame(crown="puce")
    with pytest.raises(SDNError, match="crow'"):
        whole.frame(crow="red")
    assert whole.frame(crown="blue").text == "blue <b> at 10"


def test_300_frames_of_64_pixels_weigh_less_than_500_kb():
    values = tuple(f"{i}" for i in range(300))
    frames = {(v,): frame_of(image) for v, image in zip(values, bird_like(300), strict=True)}
    text = Explorer([Control("i", "i", values)], frames, title="t", alt="a").to_html()
    assert len(json.loads(Page(text).data)["frames"]) == 300
    assert len(text.encode()) < 500_000


SCRIPT = """(() => {
  const roots = Array.from(document.querySelectorAll(".sdn-explore"));
  const source = (root) => root.querySelector(".sdn-frame").src;
  const range = roots[0].querySelector("input[type=range]");
  range.value = "0";
  range.dispatchEvent(new Event("input", {bubbles: true}));
  const before = roots.map(source);
  range.value = "2";
  range.dispatchEvent(new Event("input", {bubbles: true}));
  const slid = source(roots[0]);
  roots[0].querySelector("input[type=radio][value='1']").click();
  return {
    roots: roots.length, hidden: roots[0].querySelector("form").hidden,
    slid: slid !== before[0], clicked: source(roots[0]) !== slid,
    alone: source(roots[1]) === before[1] && source(roots[2]) === before[2],
    radios: roots[1].querySelector("input[type=radio]").checked,
    text: roots[0].querySelector(".sdn-text").textContent,
    output: roots[0].querySelector("output").textContent,
    leaked: Object.keys(window).filter((key) => key.indexOf("sdn") === 0).length,
  };
})()"""
PLAY = """new Promise((done) => {
  const root = document.querySelector(".sdn-explore");
  const button = root.querySelector(".sdn-play");
  const shown = () => [button.textContent, root.querySelector("output").textContent];
  const slider = root.querySelector("input[type=range]");
  slider.value = slider.max;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  const seen = [shown()];
  button.click();
  seen.push(shown());
  setTimeout(() => { seen.push(shown()); done(seen); }, 1000);
})"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser in which one interactive stands twice, with another."""
    if not browser.executable():
        pytest.skip("no chromium here: the interactives were not tried in one")
    path = tmp_path_factory.mktemp("page") / "page.html"
    body = small().to_html() * 2 + small(title="Another").to_html()
    path.write_text(f"<!doctype html><meta charset='utf-8'>{body}", encoding="utf-8")
    with browser.Browser() as opened:
        opened.open(path)
        yield opened


def test_a_browser_changes_the_frame(page):
    assert page.run(SCRIPT) == {
        "roots": 3, "hidden": False, "slid": True, "clicked": True, "alone": True,
        "radios": True, "text": "blue <b> at 20", "output": "20", "leaked": 0,
    }
    assert page.complaints() == []


def test_a_slider_at_its_end_plays_from_the_start_and_stops(page):
    seen = page.run(PLAY)
    assert seen == [["▶ Play", "20"], ["⏸ Pause", "0"], ["▶ Play", "20"]]
    assert page.complaints() == []


def test_scripts_are_strict_and_parse():
    scripts = sorted(Path(show.__file__).parent.rglob("*.js"))
    assert scripts
    for script in scripts:
        assert '"use strict";' in script.read_text(encoding="utf-8")
    if not shutil.which("node"):
        pytest.skip("no node here: the scripts were not parsed by it")
    for script in scripts:
        done = subprocess.run(["node", "--check", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
