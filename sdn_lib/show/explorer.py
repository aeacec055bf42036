"""One interactive, two renderings: ipywidgets while a kernel runs, plain HTML in the rendered book.

An `Explorer` is a set of controls and a frame for every combination of their values. Its HTML holds
all frames, needs no kernel, no network and no library, and shows the default frame without scripts.
Set SDN_STATIC=1 to leave the widget out, as batch runs do.
"""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from sdn_lib.errors import SDNError
from sdn_lib.show import markup
from sdn_lib.show.encoding import below, beside, data_uri, encode
from sdn_lib.show.frames import Control, Frame

WIDGET = "application/vnd.jupyter.widget-view+json"


class Explorer:
    """Controls, and a frame for each combination of their values.

    controls: in the order in which frames name their values. frames: {(value, ...): Frame}, for
    every combination, all of one layout. live: optional, free text -> Frame, offered while a
    kernel runs. alt: what the pictures are, for readers who do not see them. layout: 'columns' or
    'rows' of panels. captions: a numbered list under the frame.
    Raises SDNError naming the first combination that is missing, unknown or laid out differently.
    """

    def __init__(
        self,
        controls: Sequence[Control],
        frames: Mapping[tuple[str, ...], Frame],
        *,
        title: str,
        alt: str,
        live: Callable[[str], Frame] | None = None,
        layout: str = "columns",
        captions: Sequence[str] = (),
    ) -> None:
        self.controls = tuple(controls)
        self.frames = dict(frames)
        self.title, self.alt, self.live = title, alt, live
        self.layout, self.captions = layout, tuple(captions)
        if not self.controls:
            raise SDNError(f"explorer {title!r} has no controls")
        if layout not in ("columns", "rows"):
            raise SDNError(f"explorer {title!r}: layout {layout!r} is not 'columns' or 'rows'")
        wanted = list(itertools.product(*(control.values for control in self.controls)))
        for combination in wanted:
            if combination not in self.frames:
                raise SDNError(f"explorer {title!r}: no frame for {self._name(combination)}")
        unknown = set(self.frames) - set(wanted)
        if unknown:
            raise SDNError(
                f"explorer {title!r}: the controls cannot reach the frame {min(unknown)!r}"
            )
        self._order = wanted
        first = self.frames[wanted[0]].layout
        for combination in wanted:
            if self.frames[combination].layout != first:
                raise SDNError(
                    f"explorer {title!r}: the frame for {self._name(combination)} has panels "
                    f"{self.frames[combination].layout}, the first frame has {first}"
                )

    def _name(self, combination: Iterable[str]) -> str:
        pairs = zip(self.controls, combination, strict=True)
        return ", ".join(f"{control.name}={value}" for control, value in pairs)

    @property
    def default(self) -> tuple[str, ...]:
        """Return the combination that is shown first."""
        return tuple(control.default for control in self.controls)

    def frame(self, **values: str) -> Frame:
        """Return the frame of these control values, defaults for those not given."""
        names = [control.name for control in self.controls]
        unknown = set(values) - set(names)
        if unknown:
            raise SDNError(f"no control {min(unknown)!r}; there are {', '.join(names)}")
        key = tuple(values.get(control.name, control.default) for control in self.controls)
        if key not in self.frames:
            raise SDNError(f"explorer {self.title!r}: no frame for {self._name(key)}")
        return self.frames[key]

    def to_html(self) -> str:
        """Return HTML that needs nothing else to work: the same input gives the same bytes."""
        first = self.frames[self.default]
        uris, frames = self._encoded()
        data = json.dumps(
            {
                "controls": [control.values for control in self.controls],
                "images": uris,
                "frames": frames,
                "texts": [self.frames[combination].text for combination in self._order],
                "alts": markup.alternatives(first, self.alt),
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ).replace("<", "\\u003c")
        live = "In a running notebook there is also a box for a text of your own."
        still = "The controls need scripts; this is the picture from which they start."
        body = (
            f'<p class="sdn-title">{html.escape(self.title)}</p>{markup.form(self.controls)}'
            f"{self._frame_html(first)}{markup.note(live) if self.live else ''}"
            f"<noscript>{markup.note(still)}</noscript>"
            f'<script type="application/json" class="sdn-data">{data}</script>'
        )
        name = f"sdn-{hashlib.sha256(body.encode()).hexdigest()[:12]}"
        attributes = f' id="{name}" role="group" aria-label="{html.escape(self.title)}"'
        return markup.root(body + markup.script(name), attributes)

    def _encoded(self) -> tuple[list[str], list[list[int]]]:
        """Return the distinct pictures as data URIs, and each frame as indices into them."""
        uris: list[str] = []
        known: dict[bytes, int] = {}
        frames = []
        for combination in self._order:
            row = []
            for panel in self.frames[combination].panels:
                for image in panel.images:
                    key = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
                    if key not in known:
                        known[key] = len(uris)
                        uris.append(data_uri(image))
                    row.append(known[key])
            frames.append(row)
        return uris, frames

    def _frame_html(self, frame: Frame) -> str:
        return markup.panels(frame, self.alt, self.layout) + markup.numbered(self.captions)

    def still(self) -> bytes:
        """Return the default frame as a PNG: panels of 256 px side by side, or rows of 96 px."""
        strips = []
        for panel in self.frames[self.default].panels:
            side = 256 // len(panel.images) if self.layout == "columns" else 96
            row = []
            for image in panel.images:
                tall = max(1, round(side * image.shape[0] / image.shape[1]))
                large = Image.fromarray(image).resize((side, tall), Image.Resampling.NEAREST)
                kept = large.convert("RGBA")
                white = Image.new("RGBA", kept.size, "white")
                row.append(np.asarray(Image.alpha_composite(white, kept).convert("RGB")))
            strips.append(beside(row, 4))
        picture = beside(strips, 12) if self.layout == "columns" else below(strips, 8)
        return encode(Image.fromarray(picture), "PNG", optimize=True)

    def widget(self) -> Any:
        """Return a live ipywidgets box of the same; ImportError where there is no ipywidgets."""
        import ipywidgets

        view = ipywidgets.HTML()
        inputs: list[Any] = []

        def show(frame: Frame) -> None:
            view.value = markup.root(self._frame_html(frame))

        def chosen(_: Any = None) -> None:
            show(self.frames[tuple(item.value for item in inputs)])

        kinds = {
            "select": ipywidgets.Dropdown,
            "slider": ipywidgets.SelectionSlider,
            "buttons": ipywidgets.ToggleButtons,
        }
        rows = []
        for control in self.controls:
            item = kinds[control.kind](
                options=control.values, value=control.default, description=control.label
            )
            item.observe(chosen, names="value")
            inputs.append(item)
            rows.append(item)
            if control.play:
                play = ipywidgets.Play(
                    min=0, max=len(control.values) - 1, interval=control.play,
                    value=control.values.index(control.default),
                )
                ipywidgets.jslink((play, "value"), (item, "index"))
                rows.append(play)
        if live := self.live:
            box = ipywidgets.Text(
                placeholder="your own text, then Enter", description="text",
                continuous_update=False, layout=ipywidgets.Layout(width="90%"),
            )

            def typed(change: Mapping[str, Any]) -> None:
                try:
                    show(live(change["new"]))
                except SDNError as error:
                    view.value = markup.alert(str(error))

            box.observe(typed, names="value")
            rows.append(box)
        chosen()
        controls = ipywidgets.HBox(rows, layout=ipywidgets.Layout(flex_flow="row wrap"))
        return ipywidgets.VBox([controls, view])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return HTML, a still PNG and text; with a live kernel the widget too."""
        text = f"{self.title}: " + "; ".join(
            f"{control.label} ({', '.join(control.values)})" for control in self.controls
        )
        bundle = {
            "text/plain": text,
            "text/html": self.to_html(),
            "image/png": base64.b64encode(self.still()).decode(),
        }
        return bundle | live_view(self.widget)


def live_view(widget: Callable[[], Any]) -> dict[str, Any]:
    """Return the view of a widget for a notebook's output; nothing without a kernel or ipywidgets.

    And nothing where SDN_STATIC is 1.
    """
    if os.environ.get("SDN_STATIC") == "1":
        return {}
    try:
        from IPython import get_ipython

        shell = get_ipython()
        if shell is None or getattr(shell, "kernel", None) is None:
            return {}
        bundle = widget()._repr_mimebundle_()
    except ImportError:
        return {}
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    return {WIDGET: data[WIDGET]} if data and WIDGET in data else {}
