"""One interactive, two renderings: ipywidgets while a kernel runs, plain HTML in the rendered book.

An `Explorer` is a set of controls and a frame for every combination of their values. Its HTML holds
all frames, needs no kernel, no network and no library, and shows the default frame without scripts.
Set SDN_STATIC=1 to leave the widget out, as batch runs do.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import itertools
import json
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from sdn_lib import figures
from sdn_lib.errors import SDNError
from sdn_lib.text import LENGTH, CaptionWarning, remarks

KINDS = ("select", "slider", "buttons")
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Control:
    """One thing that the reader can set: a name, a visible label and the values it takes.

    kind: 'select' (a list), 'slider' or 'buttons'. default: one of the values, None for the first.
    play: milliseconds a step when a slider has a play button, else 0. Raises SDNError otherwise.
    """

    name: str
    label: str
    values: tuple[str, ...]
    kind: str = "select"
    default: str | None = None
    play: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if self.kind not in KINDS:
            raise SDNError(
                f"control {self.name!r}: kind {self.kind!r} is none of {', '.join(KINDS)}"
            )
        if not self.values or len(set(self.values)) != len(self.values):
            raise SDNError(f"control {self.name!r}: values must be distinct, got {self.values}")
        if self.default is None:
            object.__setattr__(self, "default", self.values[0])
        if self.default not in self.values:
            raise SDNError(
                f"control {self.name!r}: default {self.default!r} is none of its values, "
                f"{', '.join(self.values)}"
            )
        if self.play and self.kind != "slider":
            raise SDNError(f"control {self.name!r}: only a slider can play")


@dataclass(frozen=True)
class Panel:
    """A labelled row of pictures: uint8 arrays (H, W, 3), or (H, W, 4) where parts are clear."""

    label: str
    images: tuple[np.ndarray, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tuple(self.images))
        if not self.images:
            raise SDNError(f"panel {self.label!r} has no images")
        for image in self.images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
                raise SDNError(
                    f"panel {self.label!r}: an image must be uint8 (H, W, 3) or (H, W, 4), "
                    f"got {image.dtype} {image.shape}"
                )


@dataclass(frozen=True)
class Frame:
    """What one combination shows: panels, a line of text, and a warning about a typed text."""

    panels: tuple[Panel, ...]
    text: str = ""
    warning: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", tuple(self.panels))
        if not self.panels:
            raise SDNError("a frame needs at least one panel")

    @classmethod
    def of(cls, image: np.ndarray, text: str = "", label: str = "") -> Frame:
        """Return the frame of a single picture, uint8 (H, W, 3)."""
        return cls((Panel(label, (image,)),), text)

    @property
    def layout(self) -> tuple[tuple[str, int], ...]:
        """Return ((panel label, number of images), ...), which all frames of an Explorer share."""
        return tuple((panel.label, len(panel.images)) for panel in self.panels)


# ---------------------------------------------------------------- pictures as text


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def data_uri(image: np.ndarray, least_psnr: float = 27.0) -> str:
    """Return a picture as a WebP data URI, in the smallest form that is good enough.

    image: uint8 (H, W, 3 or 4). Lossy wins over lossless only if its peak signal-to-noise ratio is
    `least_psnr` decibels or more. (At 64 pixels quality 80 looks the same as the original; the
    ratio is low because halved colour resolution blunts edges.)
    """
    picture = Image.fromarray(image)
    best = _saved(picture, "WEBP", lossless=True, quality=80, method=4)
    for quality in (80, 92):
        lossy = _saved(picture, "WEBP", quality=quality, method=6, use_sharp_yuv=True)
        if len(lossy) >= len(best):
            break
        back = np.asarray(Image.open(io.BytesIO(lossy)).convert(picture.mode), dtype=float)
        seen = (image[..., 3:] > 0) if image.shape[2] == 4 else np.ones_like(image[..., :1])
        error = ((back - image)[..., :3] ** 2 * seen).sum() / max(3 * seen.sum(), 1)
        if 10 * math.log10(255**2 / max(error, 1e-9)) >= least_psnr:
            best = lossy
            break
    return f"data:image/webp;base64,{base64.b64encode(best).decode()}"


# ---------------------------------------------------------------- the page

_CSS = """
.sdn-explore{--sdn-line:rgba(127,127,127,.38);--sdn-soft:rgba(127,127,127,.09);
--sdn-ground:var(--pst-color-background,var(--jp-layout-color1,Canvas));
--sdn-ink:var(--pst-color-text-base,var(--jp-ui-font-color1,CanvasText));
--sdn-accent:var(--pst-color-primary,#0072b2);
box-sizing:border-box;max-width:760px;margin:1rem auto;padding:.9rem 1rem;color:var(--sdn-ink);
border:1px solid var(--sdn-line);border-radius:10px;background:var(--sdn-ground);
font:400 .95rem/1.4 var(--pst-font-family-base,system-ui,sans-serif)}
.sdn-explore *{box-sizing:border-box}
.sdn-explore .sdn-title{margin:0 0 .6rem;font-weight:600}
.sdn-explore .sdn-controls{display:flex;flex-wrap:wrap;gap:.6rem .8rem;align-items:end;
margin:0 0 .9rem}
.sdn-explore .sdn-controls[hidden]{display:none}
.sdn-explore .sdn-control{display:flex;flex-direction:column;gap:.15rem;margin:0;padding:0;
border:0;min-width:0;flex:1 1 6.5rem;max-width:100%}
.sdn-explore .sdn-slider{flex:1 1 100%}
.sdn-explore .sdn-buttons{flex:1 1 auto}
.sdn-explore .sdn-name{padding:0;font-size:.85rem;opacity:.8}
.sdn-explore select,.sdn-explore button{font:inherit;color:var(--sdn-ink);width:100%;
background:var(--sdn-ground);border:1px solid var(--sdn-line);border-radius:6px;
padding:.3rem .4rem;min-height:2.2rem}
.sdn-explore button{width:5.2rem;cursor:pointer;flex:none}
.sdn-explore .sdn-run{display:flex;gap:.7rem;align-items:center}
.sdn-explore input[type=range]{flex:1;min-width:0;width:100%;min-height:2rem;margin:0;
accent-color:var(--sdn-accent)}
.sdn-explore output{flex:none;min-width:4.6em;font-weight:600;font-variant-numeric:tabular-nums}
.sdn-explore .sdn-choices{display:flex;flex-wrap:wrap;gap:.3rem}
.sdn-explore .sdn-choices label{display:flex;align-items:center;gap:.35rem;margin:0;
padding:.25rem .6rem;border:1px solid var(--sdn-line);border-radius:6px;cursor:pointer}
.sdn-explore .sdn-choices input{margin:0;accent-color:var(--sdn-accent)}
.sdn-explore .sdn-choices label:has(:checked){border-color:var(--sdn-accent);
background:var(--sdn-soft)}
.sdn-explore select:focus-visible,.sdn-explore button:focus-visible,
.sdn-explore input:focus-visible{outline:2px solid var(--sdn-accent);outline-offset:2px}
.sdn-explore .sdn-panels{display:flex;gap:.8rem;justify-content:center;align-items:end}
.sdn-explore .sdn-panel{margin:0;min-width:0;flex:1 1 0;max-width:330px}
.sdn-explore .sdn-panel figcaption{margin:0 0 .3rem;padding:0;font-size:.9rem;font-weight:600;
text-align:center;color:inherit;overflow-wrap:anywhere}
.sdn-explore .sdn-strip{display:grid;gap:3px;grid-template-columns:repeat(var(--sdn-n),1fr)}
.sdn-explore .sdn-frame{display:block;width:100%;height:auto;max-width:none;margin:0;
border-radius:3px;image-rendering:pixelated;background:none;filter:none}
.sdn-explore .sdn-rows{flex-direction:column;align-items:stretch;gap:.45rem}
.sdn-explore .sdn-rows .sdn-panel{display:grid;grid-template-columns:5.6rem minmax(0,1fr);
gap:.7rem;align-items:center;max-width:none;flex:none}
.sdn-explore .sdn-rows figcaption{margin:0;text-align:right}
.sdn-explore .sdn-text{margin:.8rem 0 0;min-height:1.4em;text-align:center;
overflow-wrap:anywhere}
.sdn-explore .sdn-list{margin:.7rem 0 0;padding-left:1.6rem;font-size:.85rem;columns:2 15rem}
.sdn-explore .sdn-note{margin:.6rem 0 0;font-size:.85rem;opacity:.75;text-align:center}
@media (max-width:520px){.sdn-explore{padding:.7rem}
.sdn-explore .sdn-panels{gap:.5rem}
.sdn-explore .sdn-control:not(.sdn-slider):not(.sdn-buttons){flex:1 1 40%}
.sdn-explore .sdn-rows .sdn-panel{grid-template-columns:1fr;gap:.15rem}
.sdn-explore .sdn-rows figcaption{text-align:left}
.sdn-explore .sdn-rows .sdn-strip{grid-template-columns:repeat(var(--sdn-narrow),1fr)}}
"""

# Everything lives in one function: pages hold several explorers, which must not meet.
_JS = """
(function () {
  "use strict";
  const script = document.currentScript;
  const root = (script && script.closest(".sdn-explore")) || document.getElementById("@ID@");
  if (!root || root.dataset.ready) return;
  root.dataset.ready = "yes";
  const data = JSON.parse(root.querySelector("script.sdn-data").textContent);
  const form = root.querySelector(".sdn-controls");
  const groups = data.controls.map(function (values, index) {
    return Array.from(form.querySelectorAll('[data-control="' + index + '"]'));
  });
  const pictures = Array.from(root.querySelectorAll("img.sdn-frame"));
  const text = root.querySelector(".sdn-text");
  function chosen(group) {
    const one = group.length > 1 ? group.find(function (item) { return item.checked; }) : group[0];
    return Number(one.value);
  }
  function show() {
    let frame = 0;
    groups.forEach(function (group, index) {
      const value = chosen(group), name = data.controls[index][value];
      frame = frame * data.controls[index].length + value;
      if (group[0].type === "range") {
        group[0].setAttribute("aria-valuetext", name);
        group[0].parentNode.querySelector("output").textContent = name;
      }
    });
    data.frames[frame].forEach(function (image, index) {
      const source = data.images[image];
      if (pictures[index].getAttribute("src") !== source) pictures[index].src = source;
      pictures[index].alt = data.alts[index] + data.texts[frame];
    });
    text.textContent = data.texts[frame];
    root.dataset.frame = String(frame);
  }
  form.addEventListener("input", show);
  form.addEventListener("change", show);
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.querySelectorAll(".sdn-play").forEach(function (button) {
    const range = button.parentNode.querySelector("input");
    let timer = 0;
    function stop() {
      clearInterval(timer);
      timer = 0;
      button.textContent = "\\u25b6 Play";
      text.setAttribute("aria-live", "polite");
    }
    button.addEventListener("click", function () {
      if (timer) return stop();
      if (range.value === range.max) { range.value = 0; show(); }
      button.textContent = "\\u23f8 Pause";
      text.setAttribute("aria-live", "off");
      timer = setInterval(function () {
        if (!root.isConnected) return stop();
        range.value = Number(range.value) + 1;
        show();
        if (range.value === range.max) stop();
      }, Number(button.dataset.play));
    });
    range.addEventListener("pointerdown", stop);
    range.addEventListener("keydown", stop);
  });
  form.hidden = false;
  show();
})();
"""


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
                raise SDNError(f"explorer {title!r}: no frame for {self._say(combination)}")
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
                    f"explorer {title!r}: the frame for {self._say(combination)} has panels "
                    f"{self.frames[combination].layout}, the first frame has {first}"
                )

    def _say(self, combination: Iterable[str]) -> str:
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
            raise SDNError(f"explorer {self.title!r}: no frame for {self._say(key)}")
        return self.frames[key]

    # ------------------------------------------------------------ plain HTML

    @cached_property
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

    def _alts(self, frame: Frame) -> list[str]:
        alts = []
        for label, count in frame.layout:
            who = f"{self.alt}, {label}" if label else self.alt
            alts += [f"{who}, {i + 1} of {count}: " if count > 1 else f"{who}: "
                     for i in range(count)]
        return alts

    def _panels_html(self, frame: Frame) -> str:
        alts = iter(self._alts(frame))
        parts = []
        # Rows share one grid, so that a lone picture is as large as those under it.
        least = max(3, *(n for _, n in frame.layout)) if self.layout == "rows" else 1
        for panel in frame.panels:
            pictures = "".join(
                f'<img class="sdn-frame dark-light" src="{data_uri(image)}" '
                f'width="{image.shape[1]}" height="{image.shape[0]}" '
                f'alt="{html.escape(next(alts) + frame.text)}">'
                for image in panel.images
            )
            count = max(len(panel.images), least)
            caption = f"<figcaption>{html.escape(panel.label)}</figcaption>" if panel.label else ""
            narrow = count if count <= 5 else math.ceil(count / 2)
            columns = f"--sdn-n:{count};--sdn-narrow:{narrow}"
            parts.append(
                f'<figure class="sdn-panel">{caption}'
                f'<div class="sdn-strip" style="{columns}">{pictures}</div></figure>'
            )
        kind = "sdn-panels sdn-rows" if self.layout == "rows" else "sdn-panels"
        warning = _alert(frame.warning) if frame.warning else ""
        return (
            f'<div class="{kind}">{"".join(parts)}</div>'
            f'<p class="sdn-text" aria-live="polite">{html.escape(frame.text)}</p>{warning}'
        )

    def _list_html(self) -> str:
        items = "".join(f"<li>{html.escape(caption)}</li>" for caption in self.captions)
        return f'<ol class="sdn-list">{items}</ol>' if items else ""

    def _control_html(self, index: int, control: Control) -> str:
        name = f'<span class="sdn-name">{html.escape(control.label)}</span>'
        start = control.values.index(control.default)
        if control.kind == "select":
            options = "".join(
                f'<option value="{i}"{" selected" if i == start else ""}>'
                f"{html.escape(value)}</option>"
                for i, value in enumerate(control.values)
            )
            return (
                f'<label class="sdn-control">{name}'
                f'<select data-control="{index}">{options}</select></label>'
            )
        if control.kind == "slider":
            play = (
                f'<button type="button" class="sdn-play" data-play="{control.play}">'
                "\u25b6 Play</button>"
                if control.play
                else ""
            )
            shown = html.escape(control.default)
            return (
                f'<div class="sdn-control sdn-slider">{name}<span class="sdn-run">{play}'
                f'<input type="range" min="0" max="{len(control.values) - 1}" step="1" '
                f'value="{start}" data-control="{index}" aria-label="{html.escape(control.label)}" '
                f'aria-valuetext="{shown}"><output>{shown}</output></span></div>'
            )
        buttons = "".join(
            f'<label><input type="radio" name="control-{index}" value="{i}" '
            f'data-control="{index}"{" checked" if i == start else ""}>{html.escape(value)}</label>'
            for i, value in enumerate(control.values)
        )
        return (
            f'<fieldset class="sdn-control sdn-buttons"><legend class="sdn-name">'
            f'{html.escape(control.label)}</legend><span class="sdn-choices">{buttons}</span>'
            "</fieldset>"
        )

    def to_html(self) -> str:
        """Return HTML that needs nothing else to work: the same input gives the same bytes."""
        uris, frames = self._encoded
        data = json.dumps(
            {
                "controls": [control.values for control in self.controls],
                "images": uris,
                "frames": frames,
                "texts": [self.frames[combination].text for combination in self._order],
                "alts": self._alts(self.frames[self.default]),
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ).replace("<", "\\u003c")
        controls = "".join(self._control_html(i, c) for i, c in enumerate(self.controls))
        live = (
            '<p class="sdn-note">In a running notebook there is also a box for a text of your own.'
            "</p>"
            if self.live
            else ""
        )
        # Forms keep equal radio names apart, should one interactive stand on a page twice.
        body = (
            f'<p class="sdn-title">{html.escape(self.title)}</p>'
            f'<form class="sdn-controls" autocomplete="off" hidden>{controls}</form>'
            f"{self._panels_html(self.frames[self.default])}{self._list_html()}{live}"
            '<noscript><p class="sdn-note">The controls need scripts; '
            "this is the picture from which they start.</p></noscript>"
            f'<script type="application/json" class="sdn-data">{data}</script>'
        )
        digest = hashlib.sha256(body.encode()).hexdigest()[:12]
        return (
            f'<div class="sdn-explore" id="sdn-{digest}" role="group" '
            f'aria-label="{html.escape(self.title)}"><style>{_CSS}</style>{body}'
            f"<script>{_JS.replace('@ID@', f'sdn-{digest}')}</script></div>"
        )

    def still(self, width: int = 256) -> bytes:
        """Return the default frame as a PNG, panels side by side or in rows, `width` px a panel."""
        strips = []
        for panel in self.frames[self.default].panels:
            side = width // len(panel.images) if self.layout == "columns" else 96
            row = []
            for image in panel.images:
                tall = max(1, round(side * image.shape[0] / image.shape[1]))
                kept = Image.fromarray(image).convert("RGBA").resize((side, tall), Image.NEAREST)
                white = Image.new("RGBA", kept.size, "white")
                row.append(np.asarray(Image.alpha_composite(white, kept).convert("RGB")))
            strips.append(_beside(row, 4))
        picture = _beside(strips, 12) if self.layout == "columns" else _beside(strips, 8, down=True)
        return _saved(Image.fromarray(picture), "PNG", optimize=True)

    # ------------------------------------------------------------ live widget

    def widget(self) -> Any:
        """Return a live ipywidgets box of the same; ImportError where there is no ipywidgets."""
        import ipywidgets

        view = ipywidgets.HTML()
        inputs = []

        def show(frame: Frame) -> None:
            view.value = (
                f'<div class="sdn-explore"><style>{_CSS}</style>{self._panels_html(frame)}'
                f"{self._list_html()}</div>"
            )

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
        if self.live:
            box = ipywidgets.Text(
                placeholder="your own text, then Enter", description="text",
                continuous_update=False, layout=ipywidgets.Layout(width="90%"),
            )

            def typed(change: Mapping[str, Any]) -> None:
                try:
                    show(self.live(change["new"]))
                except SDNError as error:
                    view.value = _alert(str(error))

            box.observe(typed, names="value")
            rows.append(box)
        chosen()
        controls = ipywidgets.HBox(rows, layout=ipywidgets.Layout(flex_flow="row wrap"))
        return ipywidgets.VBox([controls, view])

    def _live_view(self) -> dict[str, Any]:
        if os.environ.get("SDN_STATIC") == "1":
            return {}
        try:
            from IPython import get_ipython

            shell = get_ipython()
            if shell is None or getattr(shell, "kernel", None) is None:
                return {}
            bundle = self.widget()._repr_mimebundle_()
        except ImportError:
            return {}
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        return {WIDGET: data[WIDGET]} if data and WIDGET in data else {}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Return HTML, a still PNG and text; with a live kernel the widget too."""
        text = f"{self.title}: " + "; ".join(
            f"{control.label} ({', '.join(control.values)})" for control in self.controls
        )
        bundle = {
            "text/plain": text,
            "text/html": self.to_html(),
            "image/png": base64.b64encode(self.still()).decode(),
        }
        return bundle | self._live_view()


def _alert(said: str) -> str:
    """Return a line that screen readers announce when it appears."""
    return f'<p role="alert"><b>{html.escape(said)}</b></p>'


def _beside(pictures: Sequence[np.ndarray], gap: int, down: bool = False) -> np.ndarray:
    """Join uint8 (H, W, 3) pictures with white gaps, side by side or one under the other."""
    if down:
        return _beside([p.transpose(1, 0, 2) for p in pictures], gap).transpose(1, 0, 2).copy()
    tall = max(picture.shape[0] for picture in pictures)
    wide = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    canvas = np.full((tall, wide, 3), 255, dtype=np.uint8)
    x = 0
    for picture in pictures:
        canvas[: picture.shape[0], x : x + picture.shape[1]] = picture
        x += picture.shape[1] + gap
    return canvas


# ---------------------------------------------------------------- the book's interactives


def prompt_builder(
    choices: Mapping[str, Sequence[str]],
    render: Callable[[list[dict[str, str]]], Mapping[str, Any]],
    caption_of: Callable[[dict[str, str]], str],
    *,
    live_text: Callable[[str], Mapping[str, Any]] | None = None,
    default: Mapping[str, str] | None = None,
    batch: int = 64,
    limit: int = 1200,
    title: str = "Build a caption, see what the student paints",
    alt: str = "a painted bird",
) -> Explorer:
    """Return an interactive that paints every combination of the attribute values offered.

    choices: {attribute: values}. render: list of n {attribute: value} -> {panel title: images},
    each float (n, 3, H, W) in 0..1 or uint8 (n, H, W, 3); called with up to `batch` at a time.
    live_text: the same for one caption typed by the reader, n = 1; what of it cannot be read is
    said under the pictures. default: starting values.
    Raises SDNError when there are more than `limit` combinations, or too few images come back.
    """
    names = list(choices)
    unknown = set(default or {}) - set(names)
    if unknown:
        raise SDNError(f"prompt_builder: default names {min(unknown)!r}, which is not offered")
    combinations = list(itertools.product(*(tuple(values) for values in choices.values())))
    if len(combinations) > limit:
        raise SDNError(
            f"prompt_builder: {len(combinations)} combinations are too many for one page "
            f"(limit {limit}): offer fewer values"
        )

    def panels(rendered: Mapping[str, Any], count: int) -> list[tuple[Panel, ...]]:
        ready = {label: figures.as_images(images, label) for label, images in rendered.items()}
        for label, images in ready.items():
            if len(images) != count:
                raise SDNError(
                    f"prompt_builder: {label!r} returned {len(images)} images for {count}"
                )
        return [
            tuple(Panel(label, (images[i],)) for label, images in ready.items())
            for i in range(count)
        ]

    frames = {}
    for start in range(0, len(combinations), batch):
        some = combinations[start : start + batch]
        asked = [dict(zip(names, values, strict=True)) for values in some]
        painted = panels(render(asked), len(some))
        for values, attributes, parts in zip(some, asked, painted, strict=True):
            frames[values] = Frame(parts, caption_of(attributes))
    controls = [
        Control(name, name.replace("_", " "), tuple(values), default=(default or {}).get(name))
        for name, values in choices.items()
    ]

    def live(caption: str) -> Frame:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CaptionWarning)  # said in the frame
            parts = panels(live_text(caption), 1)[0]
        shown = caption if len(caption) <= LENGTH else f"{caption[:LENGTH]}..."
        return Frame(parts, shown, " ".join(f"Note: {said}." for said in remarks(caption)))

    return Explorer(controls, frames, title=title, alt=alt, live=live if live_text else None)


def layer_scrubber(
    names: Sequence[str],
    teacher: Mapping[str, Any],
    student: Mapping[str, Any],
    examples: Sequence[str] | None = None,
    *,
    channels: int = 16,
    levels: Mapping[str, str] | None = None,
    default: str | None = None,
    titles: tuple[str, str] = ("teacher", "student"),
    title: str = "Teacher and student, layer by layer",
) -> Explorer:
    """Return a slider over the layers that shows both networks' channels side by side.

    names: the layers, usually all 22. teacher, student: {name: (N, C, H, W)}, or (C, H, W) for one
    example; 'image' (.., 3, H, W) is shown in colour. examples: N labels, such as captions.
    Channels are the teacher's strongest, in the same order and on the same scale in both panels.
    Raises SDNError naming the layer that is missing or whose shapes differ.
    """
    known = figures.levels_of(levels)
    acts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    count = len(examples) if examples is not None else None
    for name in names:
        pair = []
        for who, source in zip(titles, (teacher, student), strict=True):
            if name not in source:
                raise SDNError(f"layer_scrubber: the {who} has no layer {name!r}")
            array = figures.as_array(source[name]).astype(np.float32)
            array = array[None] if array.ndim == 3 else array
            count = len(array) if count is None else count
            if array.ndim != 4 or len(array) != count:
                raise SDNError(
                    f"layer_scrubber: {who} {name!r} is {array.shape}; "
                    f"expected {count} examples of (C, H, W)"
                )
            pair.append(array)
        if pair[0].shape != pair[1].shape:
            raise SDNError(
                f"layer_scrubber: layer {name!r} is {pair[0].shape} in one network "
                f"and {pair[1].shape} in the other"
            )
        acts[name] = (pair[0], pair[1])
    labels = list(examples) if examples is not None else [f"{i + 1}" for i in range(count or 0)]

    frames = {}
    for index, example in enumerate(labels):
        for name in names:
            both = [array[index] for array in acts[name]]
            gap = float(np.abs(both[0] - both[1]).mean())
            maps, height, width = both[0].shape
            if name == "image" and maps == 3:
                pictures = [figures.as_images(one[None], name)[0] for one in both]
                what = f"{height}×{width} pixels"
            else:
                chosen = figures.strongest(both[0], channels)
                left, right = both[0][chosen], both[1][chosen]
                scale = np.maximum(left.max(axis=(1, 2)), right.max(axis=(1, 2)))
                pictures = [figures.mosaic(one, scale) for one in (left, right)]
                level = known.get(name)
                of = f"the {len(chosen)} strongest of {maps}" if len(chosen) < maps else f"{maps}"
                what = f"{of} channels, {height}×{width}" + (f", {level} level" if level else "")
            panels = tuple(Panel(t, (p,)) for t, p in zip(titles, pictures, strict=True))
            frames[(example, name)] = Frame(
                panels, f"{name}: {what}; mean absolute difference {gap:.3g}"
            )
    if len(labels) == 1:
        frames = {key[1:]: frame for key, frame in frames.items()}
    controls = [Control("layer", "layer", tuple(names), "slider", default or names[0])]
    if len(labels) > 1:
        controls.insert(0, Control("example", "example", tuple(labels)))
    return Explorer(controls, frames, title=title, alt="activations")


def time_lapse(
    steps: Sequence[int],
    runs: Mapping[str, Sequence[Any]],
    captions: Sequence[str] = (),
    *,
    fixed: Mapping[str, Any] | None = None,
    notes: Sequence[str] | None = None,
    play: int = 350,
    title: str = "Training, step by step",
    alt: str = "pictures painted from the same captions",
) -> Explorer:
    """Return a slider over training steps, with a play button and a row of pictures for each run.

    steps: in order. runs: {label: one entry a step}, an entry float (N, 3, H, W) in 0..1 or uint8
    (N, H, W, 3), or one uint8 (H, W, 3). fixed: {label: images} that stay, such as the real ones.
    captions: N, listed below. notes: a text a step. Starts at the last step.
    Raises SDNError naming the run that has too few or too many entries.
    """

    def pictures(entry: Any, label: str) -> tuple[np.ndarray, ...]:
        array = figures.as_array(entry)
        single = array.dtype == np.uint8 and array.ndim == 3
        return tuple(figures.as_images(array[None] if single else array, label))

    for label, entries in runs.items():
        if len(entries) != len(steps):
            raise SDNError(
                f"time_lapse: run {label!r} has {len(entries)} entries for {len(steps)} steps"
            )
    if notes is not None and len(notes) != len(steps):
        raise SDNError(f"time_lapse: {len(notes)} notes for {len(steps)} steps")
    still = [Panel(label, pictures(images, label)) for label, images in (fixed or {}).items()]
    frames = {}
    for index, step in enumerate(steps):
        moving = [Panel(label, pictures(entries[index], label)) for label, entries in runs.items()]
        text = f"step {step:,}" + (f": {notes[index]}" if notes is not None else "")
        frames[(f"{step:,}",)] = Frame((*still, *moving), text)
    control = Control(
        "step", "training step", tuple(f"{step:,}" for step in steps), "slider",
        default=f"{steps[-1]:,}" if len(steps) else None, play=play,
    )
    return Explorer([control], frames, title=title, alt=alt, layout="rows", captions=captions)


def image_picker(
    items: Mapping[str, Frame],
    *,
    label: str = "show",
    kind: str = "select",
    layout: str = "columns",
    title: str,
    alt: str,
) -> Explorer:
    """Return a single control that picks one of several frames, such as a query's neighbours.

    items: {what the control says: Frame}, all of one layout; kind: 'select', 'slider', 'buttons'.
    """
    control = Control("item", label, tuple(items), kind)
    return Explorer(
        [control], {(name,): frame for name, frame in items.items()},
        title=title, alt=alt, layout=layout,
    )
