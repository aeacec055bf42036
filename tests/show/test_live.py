"""The students that paint in a browser paint what PyTorch paints."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import browser
import firefox
import numpy as np
import pytest
import torch
from matplotlib import colormaps

from sdn_lib import profiles, runs
from sdn_lib.book import try_it
from sdn_lib.errors import SDNError
from sdn_lib.runs import LABELS
from sdn_lib.show import live
from sdn_lib.show.live import weights
from sdn_lib.student import Student
from sdn_lib.text import CharCNNRNN

ODD = [
    "x" * 500,
    "красная птица",
    "a red 🐦 bird, cafe\u0301 and café",
    "A RED FINCH\nwith two lines\tand a tab",
    "  ... ",
    "a \ud83d bird",  # half a sign
]


@pytest.fixture(scope="module")
def networks():
    """The shipped networks, which the book's pages paint with."""
    p = profiles.load("cpu")
    students = {name: runs.student(name, p).model for name in runs.STUDENTS}
    return runs.get("text", p).model, students


@pytest.fixture(scope="module")
def captions():
    draw = np.random.default_rng(0)
    colours, kinds = ("red", "blue", "white", "black"), ("finch", "owl", "heron", "duck")
    return [
        f"a {draw.choice(('small', 'large'))} {draw.choice(kinds)} with a {draw.choice(colours)} "
        f"crown and {draw.choice(colours)} wings, facing {draw.choice(('left', 'right'))}."
        for _ in range(50)
    ]


@pytest.fixture(scope="module")
def page(networks, captions, tmp_path_factory):
    """A page from disk with the form, and all that it loads."""
    encoder, students = networks
    folder = tmp_path_factory.mktemp("live")
    some = captions[:20]
    live.export(folder / live.FOLDER, encoder, students, some)
    box = live.PaintBox(
        lambda line: {n: runs.to_uint8(runs.paint(s, encoder, [line]))[0] for n, s in
                      students.items()},
        "a red bird", ("a blue owl",),
    )  # fmt: skip
    html = f"<!doctype html><meta charset=utf-8><body>{box.to_html()}</body>"
    (folder / "index.html").write_text(html, encoding="utf-8")
    return folder / "index.html"


@pytest.fixture
def window(page):
    if browser.executable() is None:
        pytest.skip("no Chromium here: install the package 'chromium'")
    with browser.Browser() as opened:
        opened.open(page)
        yield opened


def in_browser(window, lines, student):
    """What the browser reads and paints: embeddings (n, d) and pictures (n, 3, h, w)."""
    found = window.run(
        f"""(async () => {{
          const found = [];
          for (const name of ["text", "{student}"]) await sdnLive.load(name);
          for (const caption of {json.dumps(lines)}) {{
            const {{ text }} = await sdnLive.ask({{ ask: "read", caption }});
            const {{ layers }} = await sdnLive.ask({{ ask: "paint", student: "{student}", text }});
            const {{ shape, values }} = layers[layers.length - 1];
            found.push({{ text: [...text], shape, values: [...values] }});
          }}
          return found;
        }})()"""
    )
    pictures = [torch.tensor(f["values"]).view(*f["shape"]).permute(2, 0, 1) for f in found]
    return torch.tensor([f["text"] for f in found]), torch.stack(pictures)


@pytest.mark.parametrize("student", runs.STUDENTS)
def test_the_browser_paints_what_pytorch_paints(window, networks, captions, student):
    encoder, students = networks
    lines = [*captions, *ODD[:-1]]
    text, pictures = in_browser(window, lines, student)
    rounded, painter = weights.quantised(encoder), weights.quantised(students[student])
    wanted = rounded.encode(lines, plain=True)
    torch.testing.assert_close(text, wanted, rtol=1e-4, atol=1e-4)
    same = painter(wanted)["image"]
    assert float((pictures - same).abs().max()) * 255 < 0.05
    exact = runs.paint(students[student], encoder, captions)
    apart = (pictures[: len(captions)].clamp(0, 1) - exact).abs() * 255
    assert float(apart.mean()) < 1 and float(apart.max()) < 6
    assert float(apart.max()) > 0.01  # the weights are rounded, so it is not the same network
    assert not window.complaints()


def test_firefox_paints_the_same(page, networks, captions):
    if firefox.executable() is None:
        pytest.skip("no Firefox here: install the package 'firefox-esr'")
    encoder, students = networks
    lines = [*captions[:5], *ODD[:-1]]
    with firefox.Firefox() as window:
        window.open(page)
        text, pictures = in_browser(window, lines, "stage_two")
        assert paint(window, "a red bird")["status"].startswith("Painted")
    wanted = weights.quantised(encoder).encode(lines, plain=True)
    torch.testing.assert_close(text, wanted, rtol=1e-4, atol=1e-4)
    same = weights.quantised(students["stage_two"])(wanted)["image"]
    assert float((pictures - same).abs().max()) * 255 < 0.05


def test_every_layer_is_there_by_its_name(window, networks):
    encoder, students = networks
    student = weights.quantised(students["stage_two"])
    found = window.run(
        """(async () => {
          for (const name of ["text", "stage_two"]) await sdnLive.load(name);
          const { text } = await sdnLive.ask({ ask: "read", caption: "a red bird" });
          const { layers } = await sdnLive.ask({ ask: "paint", student: "stage_two", text });
          return layers.map(({ name, shape, values }) => ({ name, shape, values: [...values] }));
        })()"""
    )
    wanted = dict(student.walk(weights.quantised(encoder).encode(["a red bird"], plain=True)))
    assert [layer["name"] for layer in found] == ["fc7", "fc6", *wanted]
    for layer in found[2:]:
        values = torch.tensor(layer["values"]).view(*layer["shape"]).permute(2, 0, 1)
        torch.testing.assert_close(values, wanted[layer["name"]][0], rtol=1e-3, atol=1e-3)


def paint(window, caption, wait="sdn.dataset.painted === caption"):
    """Type a caption, wait, and return what the page then says."""
    return window.run(
        f"""(async () => {{
          const sdn = document.querySelector(".sdn-live"), caption = {json.dumps(caption)};
          sdn.querySelector(".sdn-live-caption").value = caption;
          delete sdn.dataset.painted;
          sdn.querySelector("form").requestSubmit();
          const begun = performance.now();
          while (!({wait}) && performance.now() - begun < 30000) {{
            await new Promise((done) => setTimeout(done, 20));
          }}
          await new Promise((done) => setTimeout(done, 300));
          const all = (name) => Array.from(sdn.querySelectorAll(`.sdn-live-${{name}}`),
                                           (part) => part.textContent);
          const [status] = all("status"), [notes] = all("notes"), [name] = all("name");
          return {{ status, notes, name, nearest: all("nearest")[0], hash: location.hash,
                    marked: all("unknown"), lost: all("lost") }};
        }})()"""
    )


def test_a_reader_types_a_caption(window, networks):
    assert not window.run("document.querySelector('.sdn-live-form').hidden")
    asked = [e for e in window.events if e.get("method") == "Network.requestWillBeSent"]
    urls = [e["params"]["request"]["url"] for e in asked]
    names = {url.rpartition("/")[2] for url in urls if url.startswith("file:")}
    assert names == {"index.html", "live.css", "page.js", "engine.js", "manifest.js"}
    size = window.run("document.querySelector('.sdn-live-size').textContent")
    assert re.fullmatch(r"\d+ MB", size)
    found = paint(window, "a red ♥ bird")
    assert found["status"].startswith("Painted “a red ♥ bird” in ")
    assert found["marked"] == ["♥"] and "does not know" in found["notes"]
    assert found["hash"] == "#caption=a%20red%20%E2%99%A5%20bird"
    assert found["nearest"].count("crown") == 3 and found["name"].startswith("fc7, ")
    encoder, students = networks
    for name, student in students.items():
        shown = window.run(
            f"""(() => {{
              const canvas = document.querySelector('[data-student="{name}"] canvas');
              const {{ data }} = canvas.getContext("2d").getImageData(0, 0, 64, 64);
              return [canvas.hidden, canvas.getAttribute("aria-label"), ...data];
            }})()"""
        )
        assert shown[:2] == [False, f"{LABELS[name]}: a red ♥ bird"]
        pixels = np.array(shown[2:]).reshape(64, 64, 4)[..., :3]
        wanted = runs.to_uint8(runs.paint(student, encoder, ["a red ♥ bird"]))[0]
        assert np.abs(pixels - wanted.astype(int)).max() <= 6
    found = paint(window, "y" * 230)
    assert found["lost"] == ["y" * 29] and "29 are cut off" in found["notes"]
    assert not window.complaints()


def test_odd_captions_leave_the_page_alive(window):
    empty = paint(window, "   ", wait="true")
    assert empty["status"] == "Write at least one word."
    for caption in ODD:
        found = paint(window, caption.replace("\n", " "), wait="sdn.dataset.painted")
        assert found["status"].startswith("Painted")
    assert paint(window, "a blue bird")["notes"] == ""
    assert not window.complaints()


def test_the_address_holds_a_caption(window, page):
    window.call("Page.navigate", url=f"{page.as_uri()}#caption=a%20green%20owl")
    window.run("new Promise((done) => setTimeout(done, 300))")
    assert window.run("document.querySelector('.sdn-live-caption').value") == "a green owl"
    said = window.run("document.querySelector('.sdn-live-status').textContent")
    assert said.startswith("Press Paint to see this caption")
    window.call("Page.navigate", url=page.as_uri())


def test_what_is_saved_is_named_by_what_is_painted(window):
    paint(window, "a red bird, on snow!")
    name = """(() => {{
      let name = "";
      HTMLAnchorElement.prototype.click = function () {{ name = this.download; }};
      document.querySelector(".sdn-live-caption").value = "typed since";
      document.querySelector(".sdn-live").dataset.painted = {};
      document.querySelector(".sdn-live-save").click();
      return name;
    }})()"""
    assert window.run(name.format(json.dumps("a red bird, on snow!"))) == "a-red-bird-on-snow.png"
    assert window.run(name.format(json.dumps("красная"))) == "bird.png"


def test_a_caption_that_is_cleared_stops_the_bar(window):
    hidden = window.run(
        """(async () => {
          const sdn = document.querySelector(".sdn-live"), form = sdn.querySelector("form");
          form.requestSubmit();
          const bar = sdn.querySelector("progress"), begun = performance.now();
          while (bar.hidden && performance.now() - begun < 30000) {
            await new Promise((done) => setTimeout(done, 5));
          }
          sdn.querySelector(".sdn-live-caption").value = "";
          form.requestSubmit();
          await new Promise((done) => setTimeout(done, 500));
          return bar.hidden;
        })()"""
    )
    assert hidden


def test_a_worker_that_dies_is_told_and_begun_again(window):
    window.run(
        """window.Fine = Worker;
        window.Worker = function () {
          return new Fine(URL.createObjectURL(new Blob(["throw new Error()"])));
        }"""
    )
    said = paint(window, "a bird", wait="sdn.querySelector('.sdn-live-trouble')")["status"]
    assert said == "the painter could not work in this browser: try another one"
    window.run("window.Worker = window.Fine")
    assert paint(window, "a bird")["status"].startswith("Painted")


def test_a_second_box_of_a_page_works_too(window):
    """A box that the browser meets after the first one's files have come."""
    ready = window.run(
        """(async () => {
          const first = document.querySelector(".sdn-live"), second = first.cloneNode(true);
          delete second.dataset.ready;
          document.body.append(second);
          const tag = document.createElement("script");
          tag.src = first.querySelector("script").src;
          document.body.append(tag);
          await new Promise((done) => setTimeout(done, 500));
          return second.dataset.ready;
        })()"""
    )
    assert ready == "yes"


def test_maps_of_layers_have_the_books_colours():
    text = (Path(live.__file__).parent / "page.js").read_text(encoding="utf-8")
    ramp = json.loads(re.search(r"const RAMP = (\[\[.*\]\]);", text)[1])
    wanted = colormaps["viridis"](np.linspace(0, 1, len(ramp)))[:, :3] * 255
    assert np.abs(np.array(ramp) - wanted).max() <= 1


def test_damaged_weights_are_noticed(page, tmp_path):
    if browser.executable() is None:
        pytest.skip("no Chromium here: install the package 'chromium'")
    shutil.copytree(page.parent, tmp_path / "live")
    path = tmp_path / "live" / live.FOLDER / "text.js"
    text = path.read_text()
    path.write_text(re.sub(r'"crc32": \d+', '"crc32": 1', text))
    with browser.Browser() as window:
        window.open(tmp_path / "live" / "index.html")
        said = paint(window, "a bird", wait="sdn.querySelector('.sdn-live-trouble')")["status"]
        assert said == "the file of weights is damaged: load the page again"
        path.write_text("<p>not found</p>")
        said = paint(window, "a bird", wait="sdn.textContent.includes('text.js')")["status"]
        assert said == "text.js is damaged: load the page again"
        path.unlink()
        said = paint(window, "a bird", wait="sdn.textContent.includes('missing')")["status"]
        assert "text.js is missing" in said


def test_rounded_weights_are_the_nearest_of_their_bits():
    matrix = np.random.default_rng(0).normal(size=(4, 300)).astype(np.float32)
    matrix[2] = 0
    for bits in (8, 11, 16):
        whole, scales = weights.quantise(matrix, bits)
        assert np.abs(whole[[0, 1, 3]]).max(1).tolist() == [2 ** (bits - 1) - 1] * 3
        error = np.abs(whole * scales[:, None] - matrix)
        assert (error <= 0.5001 * scales[:, None]).all() and not error[2].any()


def test_networks_that_the_page_cannot_run_are_refused(tmp_path):
    with pytest.raises(SDNError, match="'icml', not with 'cvpr'"):
        weights.write_text(CharCNNRNN("cvpr", 8), tmp_path / "text.js")
    student = {"depth": 11, "width": 1 / 16, "size": 32, "text_dim": 8, "fc_width": 8}
    for options in ({"output": "authors"}, {"norm": True}):
        with pytest.raises(SDNError, match="output 'unit' whose norm is folded"):
            weights.write_student(Student(**student, **options), "x", tmp_path / "x.js")
    assert not list(tmp_path.iterdir())


def test_the_box_shows_stills_in_a_notebook_and_a_form_on_a_page():
    still = np.zeros((8, 8, 3), np.uint8)
    box = live.PaintBox(lambda line: dict.fromkeys(runs.STUDENTS, still), 'a "red" <bird>')
    bundle = box._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    html = bundle["text/html"]
    assert "&quot;red&quot; &lt;bird&gt;" in html and "<bird>" not in html
    shown = []

    def broken(line):
        shown.append(line)
        if line == "bad":
            raise SDNError("caption 0 is empty")
        return dict.fromkeys(runs.STUDENTS, still)

    view = live.PaintBox(broken, "a bird").widget()
    view.children[0].value = "another"
    assert shown == ["a bird", "another"] and "another" in view.children[1].value
    view.children[0].value = "bad"
    assert "caption 0 is empty" in view.children[1].value
    view.children[0].value = "a ♥ bird"
    assert "Note: " in view.children[1].value and "♥" in view.children[1].value
    view.children[0].value = "a bird" * 1000
    assert "a bird" * 40 not in view.children[1].value, "shown as far as it is read"


def test_what_rounding_does_is_measured(networks, monkeypatch, p):
    mean, worst = try_it.rounding(p)
    assert 0 < mean < worst
    monkeypatch.setattr(weights, "quantised", lambda network: network)
    assert try_it.rounding(p) == (0, 0)
