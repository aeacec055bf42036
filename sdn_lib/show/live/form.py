"""The form on a page of the book, into which the reader types a caption."""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from sdn_lib.errors import SDNError
from sdn_lib.runs import LABELS
from sdn_lib.show import markup
from sdn_lib.show.encoding import beside, data_uri, encode
from sdn_lib.show.explorer import live_view
from sdn_lib.show.frames import Panel, typed

FOLDER = "_static/live"
"""Where the pages of the book find the networks."""

_NUMBERS = itertools.count(1)


class PaintBox:
    """A box for a caption, and what students paint of it.

    `paint` maps a caption to {student: uint8 (h, w, 3)}. On a page of the book the browser paints,
    with the networks that `export` wrote into `folder`; in a notebook with a kernel `paint` does.
    A page holds boxes of one folder.
    """

    def __init__(
        self,
        paint: Callable[[str], Mapping[str, np.ndarray]],
        caption: str,
        examples: Sequence[str] = (),
        folder: str = FOLDER,
    ) -> None:
        self.paint, self.caption, self.examples = paint, caption, tuple(examples)
        self.folder = folder
        self.stills = dict(paint(caption))

    def to_html(self) -> str:
        """Return the form for a page."""
        return form(self.stills, self.caption, self.examples, self.folder)

    def widget(self) -> Any:
        """Return a live ipywidgets box of the same; ImportError where there is no ipywidgets."""
        import ipywidgets

        view = ipywidgets.HTML()
        box = ipywidgets.Text(
            self.caption, description="caption", continuous_update=False,
            layout=ipywidgets.Layout(width="90%"),
        )  # fmt: skip

        def show(caption: str, paint: Callable[[str], Mapping[str, np.ndarray]]) -> None:
            def panels_of(line: str) -> tuple[Panel, ...]:
                return tuple(Panel(LABELS[name], (still,)) for name, still in paint(line).items())

            frame = typed(caption, panels_of)
            view.value = markup.root(markup.panels(frame, "a bird", "columns"))

        def changed(change: Mapping[str, Any]) -> None:
            try:
                show(change["new"], self.paint)
            except SDNError as error:
                view.value = markup.alert(str(error))

        box.observe(changed, names="value")
        show(self.caption, lambda _: self.stills)
        return ipywidgets.VBox([box, view])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the form, a still PNG and text; with a live kernel the widget too."""
        still = encode(Image.fromarray(beside(list(self.stills.values()), 4)), "PNG")
        bundle = {
            "text/plain": f"{', '.join(LABELS[name] for name in self.stills)}: {self.caption}",
            "text/html": self.to_html(),
            "image/png": base64.b64encode(still).decode(),
        }
        return bundle | live_view(self.widget)


def form(
    stills: Mapping[str, np.ndarray], caption: str, examples: Sequence[str], folder: str
) -> str:
    """Return the form as HTML that loads `folder`/page.js, and the networks when it is asked to.

    `stills` {student: uint8 (h, w, 3)} are its pictures of `caption`, shown until one is painted,
    and without scripts.
    """
    number = next(_NUMBERS)
    figures = "".join(
        f'<figure data-student="{name}"><img src="{data_uri(still)}" alt="{_text(LABELS[name])}: '
        f'{_text(caption)}"><canvas role="img" hidden></canvas>'
        f"<figcaption>{_text(LABELS[name])}</figcaption></figure>"
        for name, still in stills.items()
    )
    chosen = list(stills)[-1]
    options = "".join(
        f'<option value="{name}"{" selected" * (name == chosen)}>{_text(LABELS[name])}</option>'
        for name in stills
    )
    buttons = "".join(
        f'<li><button type="button" class="sdn-live-example">{_text(line)}</button></li>'
        for line in examples
    )
    box, status = f"sdn-live-box-{number}", f"sdn-live-status-{number}"
    return (
        f'<link rel="stylesheet" href="{folder}/live.css">'
        f'<div class="sdn-live" role="group" aria-label="The students paint your caption" '
        f'data-students="{" ".join(stills)}">'
        '<form class="sdn-live-form sdn-live-needs-scripts" hidden>'
        f'<label for="{box}">Describe a bird</label>'
        f'<div class="sdn-live-row"><input class="sdn-live-caption" id="{box}" type="text" '
        f'autocomplete="off" spellcheck="false" aria-describedby="{status}" '
        f'value="{_text(caption)}"><button type="submit">Paint</button></div></form>'
        '<p class="sdn-live-first sdn-live-needs-scripts" hidden>The first time, the networks are '
        'loaded from beside this page: <span class="sdn-live-size"></span>.</p>'
        f'<p class="sdn-live-status" id="{status}" role="status"></p>'
        '<progress class="sdn-live-progress" aria-label="painted so far" hidden></progress>'
        f'<div class="sdn-live-pictures">{figures}</div>'
        '<div class="sdn-live-reading" hidden><p class="sdn-live-read"></p></div>'
        '<p class="sdn-live-notes" role="status"></p>'
        '<div class="sdn-live-inside" hidden><div class="sdn-live-row">'
        f'<label>Look inside <select class="sdn-live-student">{options}</select></label>'
        '<div class="sdn-live-wide">at <output class="sdn-live-name" aria-live="off"></output>'
        '<input class="sdn-live-layer" type="range" min="0" value="0" aria-label="layer"></div>'
        '</div><canvas class="sdn-live-map" role="img"></canvas></div>'
        '<div class="sdn-live-near" hidden><p>The training captions that the encoder takes to be '
        'most like it:</p><ul class="sdn-live-nearest"></ul></div>'
        + (f'<p class="sdn-live-needs-scripts" hidden>Or try one of these:</p>'
           f'<ul class="sdn-live-examples sdn-live-needs-scripts" hidden>{buttons}</ul>'
           if buttons else "")
        + '<p class="sdn-live-keep" hidden><button type="button" class="sdn-live-save">'
        "Save the pictures</button></p>"
        f"<noscript><p>These are pictures of “{_text(caption)}”. To paint a caption of your own, "
        "the page needs scripts.</p></noscript>"
        f'<script src="{folder}/page.js"></script></div>'
    )  # fmt: skip


def _text(value: str) -> str:
    return html.escape(value, quote=True)
