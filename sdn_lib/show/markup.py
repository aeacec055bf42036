"""The HTML of an interactive's parts, which the page and the widget share."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from importlib import resources

from sdn_lib.show.encoding import data_uri
from sdn_lib.show.frames import Control, Frame

_FILES = resources.files(__package__)
_CSS = _FILES.joinpath("explorer.css").read_text(encoding="utf-8")
_JS = _FILES.joinpath("explorer.js").read_text(encoding="utf-8")


def root(body: str, attributes: str = "") -> str:
    """Return the element that holds an interactive, with its style sheet."""
    return f'<div class="sdn-explore"{attributes}><style>{_CSS}</style>{body}</div>'


def script(name: str) -> str:
    """Return the script that moves the interactive whose id is `name`."""
    return f"<script>{_JS.replace('@ID@', name)}</script>"


def alert(message: str) -> str:
    """Return a line that screen readers announce when it appears."""
    return f'<p role="alert"><b>{html.escape(message)}</b></p>'


def note(message: str) -> str:
    """Return a line of small print."""
    return f'<p class="sdn-note">{message}</p>'


def numbered(captions: Iterable[str]) -> str:
    """Return captions as a numbered list, none as nothing."""
    items = "".join(f"<li>{html.escape(caption)}</li>" for caption in captions)
    return f'<ol class="sdn-list">{items}</ol>' if items else ""


def alternatives(frame: Frame, alt: str) -> list[str]:
    """Return, for each picture of a frame, how its alternative text begins; the frame's follows."""
    found = []
    for label, count in frame.layout:
        who = f"{alt}, {label}" if label else alt
        found += [f"{who}, {i + 1} of {count}: " if count > 1 else f"{who}: " for i in range(count)]
    return found


def panels(frame: Frame, alt: str, layout: str) -> str:
    """Return a frame: its panels in 'columns' or 'rows', its text, its warning."""
    alts = iter(alternatives(frame, alt))
    parts = []
    # Rows share one grid, so that a lone picture is as large as those under it.
    least = max(3, *(n for _, n in frame.layout)) if layout == "rows" else 1
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
    kind = "sdn-panels sdn-rows" if layout == "rows" else "sdn-panels"
    warning = alert(frame.warning) if frame.warning else ""
    return (
        f'<div class="{kind}">{"".join(parts)}</div>'
        f'<p class="sdn-text" aria-live="polite">{html.escape(frame.text)}</p>{warning}'
    )


def form(controls: Sequence[Control]) -> str:
    """Return the form of all controls, hidden until a script makes it work.

    Forms keep equal radio names apart, should one interactive stand on a page twice.
    """
    kinds = {"select": _select, "slider": _slider, "buttons": _buttons}
    parts = "".join(kinds[control.kind](i, control) for i, control in enumerate(controls))
    return f'<form class="sdn-controls" autocomplete="off" hidden>{parts}</form>'


def _select(index: int, control: Control) -> str:
    options = "".join(
        f'<option value="{i}"{" selected" if value == control.default else ""}>'
        f"{html.escape(value)}</option>"
        for i, value in enumerate(control.values)
    )
    return (
        f'<label class="sdn-control"><span class="sdn-name">{html.escape(control.label)}</span>'
        f'<select data-control="{index}">{options}</select></label>'
    )


def _slider(index: int, control: Control) -> str:
    label, shown = html.escape(control.label), html.escape(control.default)
    play = (
        f'<button type="button" class="sdn-play" data-play="{control.play}">\u25b6 Play</button>'
        if control.play
        else ""
    )
    return (
        f'<div class="sdn-control sdn-slider"><span class="sdn-name">{label}</span>'
        f'<span class="sdn-run">{play}'
        f'<input type="range" min="0" max="{len(control.values) - 1}" step="1" '
        f'value="{control.values.index(control.default)}" data-control="{index}" '
        f'aria-label="{label}" aria-valuetext="{shown}"><output aria-live="off">{shown}</output>'
        "</span></div>"
    )


def _buttons(index: int, control: Control) -> str:
    choices = "".join(
        f'<label><input type="radio" name="control-{index}" value="{i}" data-control="{index}"'
        f"{' checked' if value == control.default else ''}>{html.escape(value)}</label>"
        for i, value in enumerate(control.values)
    )
    return (
        '<fieldset class="sdn-control sdn-buttons"><legend class="sdn-name">'
        f'{html.escape(control.label)}</legend><span class="sdn-choices">{choices}</span>'
        "</fieldset>"
    )
