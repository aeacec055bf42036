"""What axe-core finds on the rendered pages: rules of WCAG 2.1, levels A and AA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import skips

# What the theme and docutils write: a search button whose label leaves its key out, and lists of
# references whose entries are no list items.
NOT_OURS = [".search-button-field", ".citation-list"]
ASK = """(async (theme, rules) => {
  const root = document.documentElement;
  root.dataset.mode = root.dataset.theme = theme;
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const motion of document.getAnimations()) motion.finish();
  const found = await axe.run({ exclude: %s }, { runOnly: rules, resultTypes: ["violations"] });
  return JSON.stringify(found.violations.flatMap(({ id, help, nodes }) =>
    nodes.map((node) => `${theme}, ${id} (${help}): ${node.html.slice(0, 200)}`)));
})"""
# In the dark only colours differ.
RULES = {
    "light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "dark": {"type": "rule", "values": ["color-contrast"]},
}


def asked(theme: str, left_out: list[str]) -> str:
    """The script that asks axe about a page in a theme, and lists what it finds."""
    exclude = json.dumps([[place] for place in left_out])
    return f"{ASK % exclude}({json.dumps(theme)}, {json.dumps(RULES[theme])})"


@pytest.fixture(scope="module")
def axe() -> str:
    if not skips.AXE.exists():
        pytest.skip("no axe-core here: make linters")
    return skips.AXE.read_text(encoding="utf-8") + "; 0"


def test_axe_finds_nothing(html: Path, chromium, axe: str) -> None:
    found: dict[str, list[str]] = {}
    for page in sorted(html.glob("*.html")):
        chromium.open(page)
        chromium.run(axe)
        for theme in RULES:
            if wrong := json.loads(chromium.run(asked(theme, NOT_OURS))):
                found.setdefault(page.name, []).extend(wrong)
    assert not found, json.dumps(found, indent=1)


def test_axe_would_find_something(tmp_path: Path, chromium, axe: str) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html lang=en><title>A page</title><img src=x><p style='color:#999'>pale</p>")
    chromium.open(page)
    chromium.run(axe)
    light, dark = (json.loads(chromium.run(asked(theme, []))) for theme in ("light", "dark"))
    assert sorted(w.split()[1] for w in light) == ["color-contrast", "image-alt"]
    assert [w.split()[1] for w in dark] == ["color-contrast"]
