"""The rendered book opens from disk with the network off.

No missing asset, no console error, formulas set, pictures loaded, interactives that answer.
A tiny book is rendered here in every run; the real one is tested where it has been rendered.
"""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from sdn_lib import vgg

ROOT = Path(__file__).resolve().parents[2]
# Attributes that make a browser fetch something to show a page. Links to follow are not among them.
FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "embed": ("src",),
    "object": ("data",),
    "link": ("href",),
}


class Assets(HTMLParser):
    """Collects what a page fetches, what it links to, and the ids it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.ids.add(values.get("id", ""))
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel", "") in ("canonical", "author", "next", "prev"):
            return
        for name in FETCHED.get(tag, ()):
            if name == "srcset" and name in values:
                self.fetched += [part.split()[0] for part in values[name].split(",")]
            elif values.get(name):
                self.fetched.append(values[name])


def pages(folder: Path) -> list[Path]:
    found = [p for p in sorted(folder.rglob("*.html")) if "_static" not in p.parts]
    assert found, f"no page in {folder}"
    return found


def test_every_asset_is_local_and_there(html: Path) -> None:
    parsed = {page: Assets(page.read_text(encoding="utf-8")) for page in pages(html)}
    problems = []
    for page, assets in parsed.items():
        for url in assets.fetched + assets.links:
            parts = urlsplit(url)
            if parts.scheme in ("data", "mailto"):
                continue
            if parts.scheme or parts.netloc:
                if url in assets.fetched:
                    problems.append(f"{page.name} fetches {url}")
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists():
                problems.append(f"{page.name} wants {url}, which is not there")
            elif parts.fragment and url in assets.links and target in parsed:
                if unquote(parts.fragment) not in parsed[target].ids:
                    problems.append(f"{page.name} links to {url}, which has no such place")
    assert not problems, "\n".join(problems)


MOST = 3.0e6
"""Bytes that a page may have, with all scripts, styles, fonts and pictures that it loads."""


def test_no_page_is_heavy(html: Path, chromium) -> None:
    heavy = {}
    for page in pages(html):
        chromium.open(page)
        chromium.run(LOAD_ALL)
        sent = [e["params"] for e in chromium.events if e.get("method") == SENT]
        loaded = {urlsplit(one["request"]["url"]) for one in sent}
        files = {Path(unquote(url.path)) for url in loaded if url.scheme == "file"}
        weight = sum(file.stat().st_size for file in files if file.exists())
        if weight > MOST:
            heavy[page.name] = weight
    assert not heavy


FOUND = """(async () => {
  Search.performSearch("chapter");
  const found = () => [...document.querySelectorAll("#search-results li")];
  for (let tries = 0; tries < 100 && found().length < 3; tries++)
    await new Promise(later => setTimeout(later, 50));
  return found().map(li => [li.querySelector("a").getAttribute("href"), li.innerText]);
})()"""


def test_the_search_says_what_pages_are_about_from_disk_too(html: Path, chromium) -> None:
    chromium.open(html / "search.html")
    found = chromium.run(FOUND)
    assert len(found) > 2
    about = {}
    for link, shown in found:
        text = (html / urlsplit(link).path).read_text()
        if said := re.search(r'<meta content="([^"]*)" name="description"', text):
            about[link] = unescape(said[1]) in " ".join(shown.split())
    assert about and all(about.values()), about


SENT = "Network.requestWillBeSent"
LOAD_ALL = """(async () => {
  for (const image of document.images) {
    image.loading = "eager";
    try { await image.decode(); } catch (error) { /* another test tells */ }
  }
  await document.fonts.ready;
})()"""


def test_no_page_has_a_fault_that_was_mended(html: Path) -> None:
    for page in pages(html):
        text = page.read_text(encoding="utf-8")
        faults = {
            "a folder of a machine": r"PosixPath\(",
            "a source in a new tab": r'_sources/[^"]*" target=',
            "an empty header": r"<th[^>]*>\s*(<p>\s*</p>)?\s*</th>",
            "its own name twice": r"<title>(.+) &#8212; \1</title>",
            "icons that it has in a font": r"<script[^>]*scripts/fontawesome",
        }
        if not re.search(r'class="[^"]*\bmath\b', text):
            faults["MathJax without a formula"] = r"<script[^>]*_static/mathjax/"
        found = [fault for fault, sign in faults.items() if re.search(sign, text)]
        assert not found, page.name
        if re.search(r'<meta [^>]*name="description"', text):
            assert 'property="og:title"' in text, page.name


def test_downloaded_notebooks_have_numbers(html: Path) -> None:
    notebooks = sorted((html / "_sources").glob("*.ipynb"))
    assert notebooks
    assert [n.name for n in notebooks if "{glue:text}" in n.read_text(encoding="utf-8")] == []


def test_no_style_sheet_fetches_from_a_network(html: Path) -> None:
    pattern = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)")
    found = {
        f"{sheet.name}: {url}"
        for sheet in html.rglob("*.css")
        for url in pattern.findall(sheet.read_text(encoding="utf-8"))
    }
    assert not found, "\n".join(sorted(found))


def test_every_page_opens_from_disk_without_a_complaint(html: Path, chromium) -> None:
    problems = []
    for page in pages(html):
        chromium.open(page)
        problems += [f"{page.name}: {said}" for said in chromium.complaints()]
        problems += [f"{page.name}: {said}" for said in chromium.run(CHECK_PAGE)]
    assert not problems, "\n".join(problems)


CHECK_PAGE = """(async () => {
  const problems = [];
  for (const image of document.images) {
    image.loading = "eager";
    try { await image.decode(); } catch (error) { /* naturalWidth tells */ }
    if (!image.naturalWidth) problems.push("picture not shown: " + image.src.slice(0, 120));
    if (!image.alt && !image.closest("header, .navbar-brand, .sidebar-primary-item"))
      problems.push("picture without alt text: " + image.src.slice(0, 120));
  }
  const formulas = document.querySelectorAll(".math").length;
  const set = document.querySelectorAll(".math mjx-container").length;
  if (formulas > set) problems.push(`${formulas} formulas, ${set} set by MathJax`);
  for (const bad of document.querySelectorAll("mjx-merror, [data-mml-node=merror]"))
    problems.push("MathJax does not understand: " + bad.textContent);
  return problems;
})()"""


PALE = """[...document.querySelectorAll('.cell_output .text_html')].filter(output => {
  const [r, g, b, a = 1] = getComputedStyle(output).backgroundColor.match(/[\\d.]+/g).map(Number);
  return a > 0 && r + g + b > 384;
}).length"""


def test_no_listing_or_interactive_lies_on_a_pale_slab_in_the_dark(html: Path, chromium) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    chromium.call("Emulation.setEmulatedMedia", features=dark)
    try:
        for page in sorted(html.glob("[0-9]*.html")):
            chromium.open(page)
            assert chromium.run("document.documentElement.dataset.theme") == "dark"
            assert chromium.run(PALE) == 0, page.name
    finally:
        chromium.call("Emulation.setEmulatedMedia", features=[])


def test_no_page_scrolls_sideways_on_a_phone(html: Path, chromium) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    chromium.call("Emulation.setDeviceMetricsOverride", **phone)
    try:
        for page in pages(html):
            chromium.open(page)
            assert chromium.run("document.documentElement.scrollWidth") <= 390, page.name
            assert chromium.run(UNCUED) == [0, 0], page.name
    finally:
        chromium.call("Emulation.clearDeviceMetricsOverride")


def test_an_interval_in_a_table_is_one_piece(tiny_html: Path) -> None:
    text = (tiny_html / "index.html").read_text(encoding="utf-8")
    assert '<span class="sdn-whole">(0.731 to 0.737)</span>' in text


# Intervals in tables that break, and listings and formulas that scroll without a cue.
UNCUED = """[
  [...document.querySelectorAll('.sdn-whole')].filter(e => e.getClientRects().length > 1).length,
  [...document.querySelectorAll('.bd-content pre, div.math mjx-container')].filter(e =>
    e.scrollWidth > e.clientWidth + 1 &&
    !getComputedStyle(e).backgroundAttachment.includes('local')).length]"""


LOOK = """(() => {
  const style = e => getComputedStyle(e);
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).map(v => v / 255).map(
      v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const clear = color => /, 0\\)$/.test(color) || color === 'transparent';
  const ground = e => !e ? 'rgb(255, 255, 255)' :
    clear(style(e).backgroundColor) ? ground(e.parentElement) : style(e).backgroundColor;
  const contrast = e => {
    const edge = style(e).borderTopColor, seen = [light(edge), light(ground(e.parentElement))];
    return edge.startsWith('rgba') ? 0 : (Math.max(...seen) + .05) / (Math.min(...seen) + .05);
  };
  const problems = [];
  for (const image of document.querySelectorAll('.bd-content img')) {
    const { filter, backgroundColor: behind, padding } = style(image);
    if (filter !== 'none') problems.push('dimmed: ' + image.src.slice(0, 90));
    if (!clear(behind) && behind !== 'rgb(255, 255, 255)') problems.push('on a slab: ' + behind);
    if (image.matches('.sdn-frame') && padding !== '0px') problems.push('framed: ' + padding);
  }
  for (const control of document.querySelectorAll(`.sdn-explore :is(select, button, label),
      .sdn-live :is(input[type=text], select, button)`))
    if (style(control).borderTopStyle !== 'none' && contrast(control) < 3)
      problems.push(`edge of ${control.tagName}: ${contrast(control).toFixed(2)}`);
  for (const text of document.querySelectorAll('.bd-content pre, .cell_output table'))
    if (parseFloat(style(text).fontSize) < 13) problems.push('small: ' + style(text).fontSize);
  const names = {}, heard = e => (e.ariaLabel || e.innerText).replace(/\\s+/g, ' ').trim();
  for (const control of document.querySelectorAll('.copybtn, .bd-content summary'))
    (names[heard(control)] ??= []).push(control);
  for (const [name, all] of Object.entries(names))
    if (all.length > 1) problems.push(`${all.length} are called ${name}`);
  return [...new Set(problems)];
})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_look_right_in_either_theme(html: Path, chromium, theme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": theme}]
    chromium.call("Emulation.setEmulatedMedia", features=features)
    problems = []
    try:
        for page in pages(html):
            chromium.open(page)
            problems += [f"{page.name}: {said}" for said in chromium.run(LOOK)]
    finally:
        chromium.call("Emulation.setEmulatedMedia", features=[])
    assert not problems, "\n".join(problems)


UNPRINTED = """(all => [all.length, all.filter(hidden => !hidden.checkVisibility()).length])(
  [...document.querySelectorAll('details.sd-dropdown > .sd-card-body, ' +
    '.tag_hide-output > details > .cell_output')])"""


def test_a_hidden_output_is_called_the_outcome(tiny_html: Path) -> None:
    text = (tiny_html / "00_first.html").read_text(encoding="utf-8")
    assert "Show the outcome<" in text and "Hide the outcome<" in text


def test_answers_are_printed(html: Path, chromium) -> None:
    chromium.call("Emulation.setEmulatedMedia", media="print")
    looked = 0
    try:
        for page in sorted(html.glob("[0-9]*.html")):
            chromium.open(page)
            folded, hidden = chromium.run(UNPRINTED)
            assert hidden == 0, page.name
            looked += folded
    finally:
        chromium.call("Emulation.setEmulatedMedia", media="")
    assert looked, "nothing that is folded was found"


def test_interactives_answer(html: Path, chromium) -> None:
    problems, seen = [], 0
    for page in pages(html):
        if "sdn-explore" not in page.read_text(encoding="utf-8"):
            continue
        chromium.open(page)
        counted = chromium.run(CHECK_INTERACTIVES)
        seen += counted["seen"]
        problems += [f"{page.name}: {said}" for said in counted["problems"]]
        problems += [f"{page.name}: {said}" for said in chromium.complaints()]
    assert not problems, "\n".join(problems)
    assert seen, "no page has an interactive (an element of class sdn-explore)"


# Every control of every interactive must change what is shown, at some setting of its own.
CHECK_INTERACTIVES = """(async () => {
  const problems = [], pause = () => new Promise((done) => setTimeout(done, 30));
  const roots = [...document.querySelectorAll("div.sdn-explore")];
  for (const [number, root] of roots.entries()) {
    const name = root.id || `interactive ${number}`;
    const look = () => [...root.querySelectorAll(".sdn-frame, canvas")].map((e) =>
      e.tagName === "CANVAS" ? e.toDataURL() : (e.src || "") + e.getAttribute("style") +
      e.className + getComputedStyle(e).display + getComputedStyle(e).backgroundPosition).join();
    if (!root.querySelector(".sdn-frame, canvas")) problems.push(`${name} shows no frame`);
    const controls = [...root.querySelectorAll("select, input[type=range]")];
    const buttons = [...root.querySelectorAll("input[type=radio]")];
    for (const group of new Set(buttons.map((button) => button.name))) {
      const looks = new Set(), choices = buttons.filter((button) => button.name === group);
      const before = choices.find((button) => button.checked);
      for (const button of [...choices, before]) {
        button.click();
        await pause();
        looks.add(look());
      }
      if (choices.length > 1 && looks.size < 2) problems.push(`${name}: buttons ${group} are dead`);
    }
    if (!controls.length && !buttons.length) problems.push(`${name} has no control`);
    for (const control of controls) {
      const choices = control.tagName === "SELECT"
        ? [...control.options].filter((o) => !o.disabled).map((o) => o.value)
        : [control.min || "0", control.max || "100"];
      const original = control.value, looks = new Set([look()]);
      for (const value of choices) {
        control.value = value;
        for (const kind of ["input", "change"])
          control.dispatchEvent(new Event(kind, { bubbles: true }));
        await pause();
        looks.add(look());
      }
      control.value = original;
      for (const kind of ["input", "change"])
        control.dispatchEvent(new Event(kind, { bubbles: true }));
      await pause();
      if (choices.length > 1 && looks.size < 2)
        problems.push(`${name}: ${control.name || control.ariaLabel || control.tagName} is dead`);
    }
    for (const image of root.querySelectorAll("img"))
      if (!image.complete || !image.naturalWidth) problems.push(`${name}: a frame is not shown`);
  }
  return { seen: roots.length, problems };
})()"""


def test_the_page_paints_what_is_typed(chromium) -> None:
    page = ROOT / "_build" / "html" / "try_it.html"
    if not page.exists():
        pytest.skip("the book is not rendered here: `make book` first")
    students = dict.fromkeys(("try_it", "00_introduction", "06_stage_two"), 3)
    students["08_real_photographs"] = 2  # of twice the width, where there is no pixel-only one
    for name, count in students.items():
        chromium.open(page.with_name(f"{name}.html"))
        sent = [e["params"] for e in chromium.events if "request" in e["params"]]
        assert not [e for e in sent if e["request"]["url"].endswith("/text.js")], name
        assert chromium.run(TYPE_A_CAPTION) == [True, count], name
        assert not chromium.complaints()


# Whether it was painted, and how many of the pictures are not of one colour.
TYPE_A_CAPTION = """(async () => {
  const root = document.querySelector(".sdn-live");
  root.querySelector(".sdn-live-caption").value = "a blue duck on the water";
  root.querySelector("form").requestSubmit();
  for (let turn = 0; turn < 600 && !root.dataset.painted; turn++)
    await new Promise((done) => setTimeout(done, 50));
  const shown = [...root.querySelectorAll("figure canvas:not([hidden])")].filter((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value, k) => k % 4 < 3 && value !== data[k % 4]);
  });
  return [root.dataset.painted === "a blue duck on the water", shown.length];
})()"""


def test_interactives_show_a_picture_without_scripts(html: Path) -> None:
    for page in pages(html):
        text = page.read_text(encoding="utf-8")
        for part in re.split(r'<div[^>]*class="sdn-explore', text)[1:]:
            still = part.split("<script", 1)[0]
            assert re.search(r'<img[^>]*class="sdn-frame[^>]*src="data:', still), page.name


def test_a_scrubber_has_every_name_of_the_papers_networks() -> None:
    page = ROOT / "_build" / "html" / "04_student.html"
    if not page.exists():
        pytest.skip("the book is not rendered here: `make book` first")
    data = re.findall(r'class="sdn-data">(.*?)</script>', page.read_text(encoding="utf-8"), re.S)
    sliders = [values for one in data for values in json.loads(one)["controls"]]
    assert list(vgg.names(19)) in sliders
    assert len(vgg.names(19)) == 22


def test_smoke_pages_say_so(tiny_html: Path) -> None:
    for page in pages(tiny_html):
        assert "Smoke run" in page.read_text(encoding="utf-8"), page.name


def test_numbers_in_prose_come_from_the_run(tiny_html: Path) -> None:
    text = (tiny_html / "00_first.html").read_text(encoding="utf-8")
    assert "41.50" in text
    assert '<script type="application/vnd.jupyter.widget' not in text
    assert "data-jupyter-widgets-cdn" not in text
