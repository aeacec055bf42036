"""What Sphinx's pages lack: weight that they need not have, names, previews, whole notebooks.

Each `str -> str` function mends one fault of a page and leaves a page without it as it is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any

from sdn_lib import files
from sdn_lib.errors import SDNError

PREVIEW = "_static/preview.png"
"""The picture that previews of links show; its address must be whole, see `preview`."""

_FETCHED = """else if (showSearchSummary)
    fetch(requestUrl)"""
_FROM_DISK = """else if (location.protocol === "file:") {
    const about = listItem.appendChild(document.createElement("p"));
    about.className = "context";
    about.textContent = DESCRIPTIONS[docName] ?? "";
  } """
_SCORE = '([page, , , , score]) => (page === "api" ? score - 100 : score),'

# What is replaced in the scripts of Sphinx and its extensions: (file, old, new).
_SCRIPTS = (
    # All buttons were called "Copy to clipboard".
    ("copybutton.js", 'data-tooltip="', 'aria-label="Copy listing ${index + 1}" data-tooltip="'),
    # The reference of the library has all words, and came before the chapters.
    ("searchtools.js", "var Scorer = {", "var Scorer = {\n    score: " + _SCORE),
    # The search fetches pages for excerpts, which a page from disk may not do.
    ("searchtools.js", _FETCHED, _FROM_DISK + _FETCHED),
)
_DESCRIPTION = re.compile(r'<meta content="([^"]*)" name="description" />')


def polish(html: Path, numbers: Mapping[str, Mapping[str, Any]], address: str = "") -> None:
    """Mend the pages, pictures, scripts and notebooks of a folder that Sphinx made.

    `numbers` are the values that each chapter glued; `address` is where the book is published,
    and empty where that is not known.
    """
    smaller, about = shrink_pictures(html / "_images"), {}
    for page in sorted(html.rglob("*.html")):
        if "_static" in page.relative_to(html).parts:
            continue
        text = page.read_text(encoding="utf-8")
        if described := _DESCRIPTION.search(text):
            about[page.relative_to(html).with_suffix("").as_posix()] = unescape(described[1])
        for mend in (lighten, end_empty_headers, keep_intervals, name_summaries, offer_downloads):
            text = mend(text)
        text = re.sub(r"_images/([\w.-]+)", lambda m: f"_images/{smaller.get(m[1], m[1])}", text)
        files.write_text(page, preview(text, address))
    shrink_icons(html)
    for script, old, new in _SCRIPTS:
        _replace(html / "_static" / script, old, new)
    strict = '"use strict";'
    table = f"{strict}\nconst DESCRIPTIONS = {json.dumps(about)};"
    _replace(html / "_static" / "searchtools.js", strict, table)
    for name, glued in numbers.items():
        notebook = html / "_sources" / f"{name}.ipynb"
        files.write_text(notebook, fill_numbers(notebook.read_text(encoding="utf-8"), glued))


def _replace(script: Path, old: str, new: str) -> None:
    text = script.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise SDNError(f"{script.name} is not as `polish` expects: it has not one {old!r}")
    files.write_text(script, text.replace(old, new))


def shrink_pictures(folder: Path) -> dict[str, str]:
    """Write the PNGs of a folder as lossless WebP, where that is smaller; return the new names."""
    from PIL import Image

    def shrink(old: Path) -> Path:
        new = old.with_suffix(".webp")
        with Image.open(old) as picture:
            picture.save(new, lossless=True, quality=50, method=2)
        smaller, larger = sorted((old, new), key=lambda path: path.stat().st_size)
        larger.unlink()
        return smaller

    pictures = sorted(folder.glob("*.png"))
    with ThreadPoolExecutor() as several:
        kept = several.map(shrink, pictures)
        return {old.name: new.name for old, new in zip(pictures, kept, strict=True) if new != old}


def shrink_icons(html: Path) -> None:
    """Leave in the theme's style sheet, and in its font of icons, the icons that the pages show."""
    from fontTools import subset

    static = html / "_static"
    pages = [*html.rglob("*.html"), *static.rglob("*.js")]
    used = {icon for page in pages for icon in _icons(page.read_text(encoding="utf-8"))}
    theme = static / "styles" / "pydata-sphinx-theme.css"
    rule = r'(?:\.fa-[\w-]+:before,?)+\{content:"[^"]*"\}'
    text = theme.read_text(encoding="utf-8")
    text = re.sub(rule, lambda m: m[0] if used & _icons(m[0]) else "", text)
    text = text.replace('fa-solid-900.woff2) format("woff2")', 'fa-solid-900.woff) format("woff")')
    files.write_text(theme, text)
    sheets = "".join(sheet.read_text(encoding="utf-8") for sheet in static.rglob("*.css"))
    codes = {int(code, 16) for code in re.findall(r'"\\([0-9a-f]{1,5})"', sheets)}
    font = static / "vendor" / "fontawesome" / "webfonts" / "fa-solid-900.ttf"
    options = subset.Options(flavor="woff")
    kept = subset.load_font(str(font), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=codes)
    subsetter.subset(kept)
    subset.save_font(kept, str(font.with_suffix(".woff")), options)


def _icons(text: str) -> set[str]:
    return set(re.findall(r"\bfa-[\w-]+", text))


def lighten(text: str) -> str:
    """Take scripts away that a page does not need, the largest of all that it loads.

    The theme's style sheet draws its icons from a font: the script with all icons of Font Awesome
    is in vain. MathJax is for pages with formulas, and the index of the search for one page.
    """
    spare = [r"scripts/fontawesome\.js"]
    if not re.search(r'class="[^"]*\bmath\b', text):
        spare.append(r"mathjax/")
        text = re.sub(r"\s*<script>window\.MathJax = .*?</script>", "", text)
    if "pagename = 'search'" not in text:
        spare.append(r"(?:searchtools|language_data|searchindex)\.js")
    return re.sub(rf'\s*<script[^>]*src="[^"]*(?:{"|".join(spare)})[^"]*"[^>]*></script>', "", text)


def end_empty_headers(text: str) -> str:
    """Make a cell of a table's head that heads nothing a plain cell."""
    return re.sub(r"<th([^>]*)>\s*(?:<p>\s*</p>)?\s*</th>", r"<td\1></td>", text)


def keep_intervals(text: str) -> str:
    """Keep intervals in cells of tables, (0.1 to 0.2) or 0.15 ± 0.05, on one line."""
    number, tags = r"[−-]?[\d.,]+ ?%?", r"(?:<[^<>]*>)*"
    end = f"{tags}{number}{tags}"
    interval = re.compile(rf"\({end} to {end}\)|{number} ± {number}")
    whole = r'<span class="sdn-whole">\g<0></span>'
    return re.sub(r"<td.*?</td>", lambda m: interval.sub(whole, m[0]), text, flags=re.S)


_PLACES = re.compile(
    r"<h[1-6][^>]*>(?P<heading>.*?)</h[1-6]>"
    r'|<p class="admonition-title">(?P<exercise>Exercise[^<]*)</p>'
    r"|<summary.*?</summary>",
    re.S,
)


def name_summaries(text: str) -> str:
    """Give each summary of something hidden a name of its own, which says where it stands.

    What is added is heard and not seen.
    """
    place, seen = "", Counter[str]()

    def named(match: re.Match) -> str:
        nonlocal place
        if found := match["heading"] or match["exercise"]:
            place = re.sub(r"<a class=\"headerlink.*?</a>|<[^>]*>", "", found).strip()
            return match[0]
        whole = match[0].replace(' aria-label="Toggle hidden content"', "")
        labels = r'(<(?:span class="sd-summary-text|p class="\w+ admonition-title)">)([^<]*)(?=<)'
        first = re.search(labels, whole)
        if not first:
            return match[0]
        name = f"{first[2]}: {place}"
        seen[name] += 1
        told = place if seen[name] == 1 else f"{place}, {seen[name]}"
        heard = f'<span class="sdn-heard">: {told}</span>'
        return re.sub(labels, lambda label: label[1] + label[2] + heard, whole)

    return _PLACES.sub(named, text)


def offer_downloads(text: str) -> str:
    """Make a link to a page's source a download and not a new tab."""
    return re.sub(r'(<a href="[^"]*_sources/[^"]*") target="_blank"', r"\1 download", text)


def preview(text: str, address: str) -> str:
    """Add what previews of links show to a page that describes itself, and name the home page once.

    A preview's picture must have a whole address, and so there is none without the book's.
    """
    text = re.sub(r"<title>(.+?) &#8212; \1</title>", r"<title>\1</title>", text)
    described = _DESCRIPTION.search(text)
    title = re.search(r"<title>(.*?)(?: &#8212; .*?)?</title>", text)
    if not (described and title):
        return text
    facts = {"title": title[1], "description": described[1], "type": "article"}
    if address:
        facts["image"] = f"{address.rstrip('/')}/{PREVIEW}"
    tags = (f'\n<meta content="{said}" property="og:{name}" />' for name, said in facts.items())
    return text.replace(described[0], described[0] + "".join(tags))


def fill_numbers(notebook: str, numbers: Mapping[str, Any]) -> str:
    """Put the values into the text of a notebook that Jupyter would show as their keys."""
    import nbformat
    from myst_nb.core.variables import format_plain_text

    def value(match: re.Match) -> str:
        key, _, form = match[1].partition(":")
        return format_plain_text(repr(numbers[key]), form) if key in numbers else match[0]

    cells = nbformat.reads(notebook, as_version=4)
    for cell in cells.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\{glue:text\}`([^`]+)`", value, cell.source)
    return nbformat.writes(cells)
