"""What is mended in pages after Sphinx, one function a fault; a page without it stays as it is."""

from __future__ import annotations

import re

import nbformat
import numpy as np
import pytest
import tiny_book
from PIL import Image

from sdn_lib.book import polish
from sdn_lib.book.render import MATHJAX
from sdn_lib.errors import SDNError

SCRIPTS = (
    '<script defer src="_static/scripts/fontawesome.js?digest=1"></script>',
    '<script>window.MathJax = {"options": {}}</script>',
    '<script defer="defer" src="_static/mathjax/startup.js"></script>',
    '<script src="searchindex.js"></script>',
    '<script src="_static/scripts/bootstrap.js"></script>',
)
FORMULA = '<span class="math notranslate">\\(a\\)</span>'


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("", {4}),
        ("<p>mathjax, and class math</p>", {4}),
        (FORMULA, {1, 2, 4}),
        ("<script>DOCUMENTATION_OPTIONS.pagename = 'search';</script>", {3, 4}),
    ],
)
def test_a_page_loads_only_the_scripts_that_it_needs(body: str, kept: set[int]) -> None:
    text = polish.lighten("\n".join(SCRIPTS) + body)
    assert {k for k, script in enumerate(SCRIPTS) if script in text} == kept


def test_the_parts_of_mathjax_are_those_that_the_configuration_loads() -> None:
    import yaml

    config = yaml.safe_load((tiny_book.ROOT / "_config.yml").read_text())["sphinx"]["config"]
    loaded = config["mathjax3_config"]["loader"]["load"]
    parts = {f"{part.replace('[tex]', 'input/tex/extensions')}.js" for part in loaded}
    parts |= {config["mathjax_path"].removeprefix("mathjax/"), "output/chtml/fonts/tex.js"}
    assert parts == set(MATHJAX)


def test_an_empty_header_is_a_plain_cell() -> None:
    row = '<tr><th class="head"><p></p></th>\n<th></th><th class="head"><p>Time</p></th></tr>'
    mended = '<tr><td class="head"></td>\n<td></td><th class="head"><p>Time</p></th></tr>'
    assert polish.end_empty_headers(row) == mended


@pytest.mark.parametrize(
    ("cell", "whole"),
    [
        ("0.735 (0.731 to 0.737)", "(0.731 to 0.737)"),
        ('1 % (<span class="pasted-text">−0.2 %</span> to 3,000 %)', None),
        ("pixels (from the caption to the picture)", ""),
        ("(0.1) to (0.2)", ""),
    ],
)
def test_an_interval_in_a_table_stays_whole(cell: str, whole: str | None) -> None:
    whole = cell[cell.index("(") :] if whole is None else whole
    said = cell.replace(whole, f'<span class="sdn-whole">{whole}</span>') if whole else cell
    for text in (f"<td><p>{cell}</p></td>", f"<p>{cell}</p>"):
        assert polish.keep_intervals(text) == (text.replace(cell, said) if "td" in text else text)

def test_a_spread_in_a_table_stays_whole() -> None:
    spread = "<td><p>0.417 ± 0.019</p></td><td>308 ± 21</td><td>one ± two</td>"
    kept = spread
    for whole in ("0.417 ± 0.019", "308 ± 21"):
        kept = kept.replace(whole, f'<span class="sdn-whole">{whole}</span>')
    assert polish.keep_intervals(spread) == kept


def test_what_hides_something_says_what() -> None:
    code = """<summary aria-label="Toggle hidden content">
<p class="collapsed admonition-title">Show code cell source</p>
<p class="expanded admonition-title">Hide code cell source</p>
</summary>"""
    answer = '<summary class="sd-x"><span class="sd-summary-text">Solution</span><svg/></summary>'
    head = '<h2>Look at <em>it</em><a class="headerlink" href="#x">#</a></h2>'
    exercise = '<p class="admonition-title">Exercise 5.1</p>'
    text = polish.name_summaries(f"{head}{code}{code}{exercise}{answer}<summary>Plain</summary>")
    heard = re.findall(r'>([^<]+)<span class="sdn-heard">([^<]*)</span>', text)
    assert heard == [
        ("Show code cell source", ": Look at it"),
        ("Hide code cell source", ": Look at it"),
        ("Show code cell source", ": Look at it, 2"),
        ("Hide code cell source", ": Look at it, 2"),
        ("Solution", ": Exercise 5.1"),
    ]
    assert "Toggle hidden" not in text and "<summary>Plain</summary>" in text
    text = polish.name_summaries(rf"<h2>Size of \(\ell_1\)</h2>{code}")
    assert r'<span class="sdn-heard">: Size of \(\ell_1\)</span>' in text


def test_a_source_is_downloaded() -> None:
    link = '<a href="_sources/05.ipynb" target="_blank" title="Download source file">'
    assert polish.offer_downloads(link) == link.replace('target="_blank"', "download")


def test_a_link_to_a_page_has_a_preview() -> None:
    name, about = "Tiny", '<meta content="Birds &amp; words." name="description" />'
    home = f"{about}<title>{name} &#8212; {name}</title>"
    page = polish.preview(home, "https://somebody.github.io/book/")
    assert f"<title>{name}</title>" in page
    for property, said in {
        "title": name,
        "description": "Birds &amp; words.",
        "image": "https://somebody.github.io/book/_static/preview.png",
    }.items():
        assert f'<meta content="{said}" property="og:{property}" />' in page
    inner = polish.preview(f"{about}<title>1. One &#8212; {name}</title>", "")
    assert 'content="1. One"' in inner and "og:image" not in inner
    assert polish.preview("<title>Index</title>", "https://x.org") == "<title>Index</title>"
    with Image.open(tiny_book.ROOT / "book" / polish.PREVIEW) as picture:
        assert picture.format == "PNG" and picture.size == (1200, 630)


def test_a_downloaded_notebook_has_numbers_and_not_their_keys() -> None:
    cells = [
        nbformat.v4.new_markdown_cell("{glue:text}`c:.1f` of {glue:text}`n`, {glue:text}`other`"),
        nbformat.v4.new_code_cell('print("{glue:text}`n`")'),
    ]
    notebook = nbformat.writes(nbformat.v4.new_notebook(cells=cells))
    filled = nbformat.reads(polish.fill_numbers(notebook, {"c": 1.25, "n": "five"}), as_version=4)
    assert filled.cells[0].source == "1.2 of five, {glue:text}`other`"
    endless = nbformat.reads(polish.fill_numbers(notebook, {"c": "nan"}), as_version=4)
    assert endless.cells[0].source.startswith("nan of "), "as on the page"
    assert filled.cells[1].source == cells[1].source


def test_pictures_get_smaller_and_stay_what_they_are(tmp_path) -> None:
    picture = np.random.default_rng(0).integers(0, 4, (64, 64, 3), np.uint8) * 60
    Image.fromarray(picture).save(tmp_path / "large.png")
    Image.new("1", (1, 1)).save(tmp_path / "small.png")
    names = polish.shrink_pictures(tmp_path)
    assert names["large.png"] == "large.webp"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {names.get(name, name) for name in ("large.png", "small.png")}
    with Image.open(tmp_path / "large.webp") as new:
        assert (np.asarray(new.convert("RGB")) == picture).all()


def test_a_script_that_changed_is_an_error(tmp_path) -> None:
    script = tmp_path / "copybutton.js"
    script.write_text("nothing to replace")
    with pytest.raises(SDNError, match="copybutton.js is not as `polish` expects"):
        polish._replace(script, "old", "new")
