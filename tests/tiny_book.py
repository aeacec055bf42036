"""A book of two small chapters that has what the real one has: formulas, figures, interactives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from sdn_lib.book.execute import reproduce

ROOT = Path(__file__).resolve().parent.parent

PARAMETERS = 'profile = "cpu"\nseed = 0\noutput_dir = None\nsteps = None'

GLUE = """from myst_nb import glue

glue("answer", 41.5 + seed, display=False)
glue("used_profile", profile, display=False)
glue("run_teacher", "loaded", display=False)"""

FIGURE = """import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(2, 1))
axes.plot([0, 1])
glue("curve", figure, display=False)
plt.show()"""

# What `explore` emits: one output with a widget for a live kernel and a page of its own.
INTERACTIVE = '''from base64 import b64encode

from IPython.display import display

frame = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><circle r="{}"/></svg>'
coded = [b64encode(frame.format(radius).encode()).decode() for radius in (2, 4)]
frames = ["data:image/svg+xml;base64," + code for code in coded]
html = f"""<div class="sdn-explore" id="tiny">
<input type="range" min="0" max="1" value="0" aria-label="size">
<img class="sdn-frame" alt="a dot" src="{frames[0]}">
<script>
(() => {{
  const root = document.getElementById("tiny"), frames = {frames};
  root.querySelector("input").addEventListener("input", (event) => {{
    root.querySelector("img").src = frames[Number(event.target.value)];
  }});
}})();
</script></div>"""
view = {"model_id": "0", "version_major": 2, "version_minor": 0}
bundle = {"application/vnd.jupyter.widget-view+json": view, "text/html": html, "text/plain": "dot"}
display(bundle, raw=True)'''

TOC = """format: jb-book
root: index
chapters:
  - file: 00_first
  - file: 01_second
  - file: status
  - file: references
"""

INDEX = """# A tiny book

It cites {cite:t}`yuan2018sdn` and minimises

$$
\\mathcal{L} = \\sum_{\\ell} \\lVert a_\\ell - b_\\ell \\rVert_1 .
$$ (loss)

| | measured |
|---|---|
| one | 0.735 (0.731 to 0.737) |

See {doc}`00_first`, {eq}`loss` and the {doc}`status`.
"""

REFERENCES = """# References

```{bibliography}
```
"""


def chapter(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a notebook of the given cells behind a heading and the parameters cell."""
    head = [
        new_markdown_cell("# First chapter\n\nInline $a^2 + b^2$; {glue:text}`answer:.2f` dots."),
        new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=head + list(cells), metadata={"kernelspec": kernel})
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def save(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook to disk."""
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def write(root: Path) -> Path:
    """Write the tiny book, with the real configuration and styles, and return its root."""
    book = root / "book"
    book.mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", root)
    for name in ("references.bib", "smoke.txt", "status.md"):
        shutil.copy(ROOT / "book" / name, book)
    shutil.copytree(ROOT / "book" / "_static", book / "_static")
    (book / "_toc.yml").write_text(TOC)
    (book / "index.md").write_text(INDEX)
    (book / "references.md").write_text(REFERENCES)
    cells = [new_code_cell(source) for source in (GLUE, FIGURE, INTERACTIVE)]
    cells[1].metadata["mystnb"] = {"image": {"alt": "a rising line"}}
    cells[1].metadata["tags"] = ["hide-output"]
    save(chapter(*cells), book / "00_first.ipynb")
    second = chapter(new_code_cell("from sdn_lib import errors\n\nanswer = 1 + 1\nprint(answer)"))
    second.cells[0].source = "# Second chapter\n\nNothing to see."
    save(second, book / "01_second.ipynb")
    (root / "library").mkdir()
    (root / "library" / "errors.py").write_text("value = 1\n")
    (root / "library" / "unused.py").write_text("value = 1\n")
    return root


def run(root: Path, **options) -> list[str]:
    """Run the tiny book's second, quick chapter and return the lines that it reports."""
    lines: list[str] = []
    reproduce("smoke", root=root, **{"chapters": ["1"], "report": lines.append, **options})
    return lines


def record(root: Path, name: str = "01_second") -> dict:
    """Return the record of a chapter's run."""
    return json.loads((root / f"_build/smoke/results/{name}.json").read_text())


def executed(root: Path, name: str = "01_second") -> nbformat.NotebookNode:
    """Return a chapter's executed copy."""
    return nbformat.read(root / f"_build/smoke/executed/{name}.ipynb", as_version=4)


def edit(root: Path, cell: int, source: str, name: str = "01_second") -> None:
    """Give a cell of a chapter another source."""
    path = root / f"book/{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[cell].source = source
    save(notebook, path)
