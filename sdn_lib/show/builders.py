"""The book's interactives: captions to build, layers and training steps to go through."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sdn_lib.errors import SDNError
from sdn_lib.show.arrays import as_array, as_images, mosaic, strongest
from sdn_lib.show.explorer import Explorer
from sdn_lib.show.frames import Control, Frame, Panel, typed
from sdn_lib.show.style import LEVEL_OF


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

    frames: dict[tuple[str, ...], Frame] = {}
    for start in range(0, len(combinations), batch):
        some = combinations[start : start + batch]
        birds = [dict(zip(names, values, strict=True)) for values in some]
        painted = _panels(render(birds), len(some))
        for values, bird, panels in zip(some, birds, painted, strict=True):
            frames[values] = Frame(panels, caption_of(bird))
    controls = [
        Control(name, name.replace("_", " "), tuple(values), default=(default or {}).get(name, ""))
        for name, values in choices.items()
    ]
    live = None
    if live_text:

        def live(caption: str) -> Frame:
            return typed(caption, lambda line: _panels(live_text(line), 1)[0])

    return Explorer(controls, frames, title=title, alt=alt, live=live)


def _panels(rendered: Mapping[str, Any], count: int) -> list[tuple[Panel, ...]]:
    """Return the panels of each of `count` frames from {title: images}."""
    ready = {label: as_images(images, label) for label, images in rendered.items()}
    for label, images in ready.items():
        if len(images) != count:
            raise SDNError(f"prompt_builder: {label!r} returned {len(images)} images for {count}")
    return [
        tuple(Panel(label, (images[i],)) for label, images in ready.items()) for i in range(count)
    ]


def layer_scrubber(
    names: Sequence[str],
    teacher: Mapping[str, Any],
    student: Mapping[str, Any],
    examples: Sequence[str] | None = None,
    *,
    channels: int = 16,
    default: str = "",
    titles: tuple[str, str] = ("teacher", "student"),
    title: str = "Teacher and student, layer by layer",
) -> Explorer:
    """Return a slider over the layers that shows both networks' channels side by side.

    names: the layers, usually all 22. teacher, student: {name: (N, C, H, W)}, or (C, H, W) for one
    example; 'image' (.., 3, H, W) is shown in colour. examples: N labels, such as captions.
    Channels are the teacher's strongest, in the same order and on the same scale in both panels.
    Raises SDNError naming the layer that is missing or whose shapes differ.
    """
    pairs = _pairs(names, teacher, student, examples, titles)
    count = len(pairs[names[0]][0])
    labels = list(examples) if examples is not None else [f"{i + 1}" for i in range(count)]
    frames: dict[tuple[str, ...], Frame] = {}
    for index, example in enumerate(labels):
        for name in names:
            left, right = pairs[name]
            pictures, text = _layer(name, left[index], right[index], channels)
            panels = tuple(Panel(t, (p,)) for t, p in zip(titles, pictures, strict=True))
            frames[(example, name)] = Frame(panels, text)
    if len(labels) == 1:
        frames = {key[1:]: frame for key, frame in frames.items()}
    controls = [Control("layer", "layer", tuple(names), "slider", default)]
    if len(labels) > 1:
        controls.insert(0, Control("example", "example", tuple(labels)))
    return Explorer(controls, frames, title=title, alt="activations")


def _pairs(
    names: Sequence[str],
    teacher: Mapping[str, Any],
    student: Mapping[str, Any],
    examples: Sequence[str] | None,
    titles: tuple[str, str],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return {layer: both networks' float32 (N, C, H, W)}, of one shape a layer."""
    pairs = {}
    count = len(examples) if examples is not None else None
    for name in names:
        pair = []
        for who, source in zip(titles, (teacher, student), strict=True):
            if name not in source:
                raise SDNError(f"layer_scrubber: the {who} has no layer {name!r}")
            array = as_array(source[name]).astype(np.float32)
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
        pairs[name] = (pair[0], pair[1])
    return pairs


def _layer(
    name: str, teacher: np.ndarray, student: np.ndarray, channels: int
) -> tuple[list[np.ndarray], str]:
    """Return both networks' pictures of one layer, (C, H, W) each, and what they show in words."""
    maps, height, width = teacher.shape
    if name == "image" and maps == 3:
        pictures = [as_images(one[None], name)[0] for one in (teacher, student)]
        shown = f"{height}×{width} pixels"
    else:
        chosen = strongest(teacher, channels)
        both = (teacher[chosen], student[chosen])
        scale = np.maximum(*(one.max(axis=(1, 2)) for one in both))
        pictures = [mosaic(one, scale) for one in both]
        part = f"the {len(chosen)} strongest of {maps}" if len(chosen) < maps else f"{maps}"
        level = f", {LEVEL_OF[name]} level" if name in LEVEL_OF else ""
        shown = f"{part} channels, {height}×{width}{level}"
    gap = float(np.abs(teacher - student).mean())
    return pictures, f"{name}: {shown}; mean absolute difference {gap:.3g}"


def step_scrubber(
    steps: Sequence[int],
    runs: Mapping[str, Sequence[Any]],
    captions: Sequence[str] = (),
    *,
    fixed: Mapping[str, Any] | None = None,
    notes: Sequence[str] | None = None,
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
        array = as_array(entry)
        single = array.dtype == np.uint8 and array.ndim == 3
        return tuple(as_images(array[None] if single else array, label))

    for label, entries in runs.items():
        if len(entries) != len(steps):
            raise SDNError(
                f"step_scrubber: run {label!r} has {len(entries)} entries for {len(steps)} steps"
            )
    if notes is not None and len(notes) != len(steps):
        raise SDNError(f"step_scrubber: {len(notes)} notes for {len(steps)} steps")
    still = [Panel(label, pictures(images, label)) for label, images in (fixed or {}).items()]
    frames: dict[tuple[str, ...], Frame] = {}
    for index, step in enumerate(steps):
        moving = [Panel(label, pictures(entries[index], label)) for label, entries in runs.items()]
        text = f"step {step:,}" + (f": {notes[index]}" if notes is not None else "")
        frames[(f"{step:,}",)] = Frame((*still, *moving), text)
    control = Control(
        "step", "training step", tuple(f"{step:,}" for step in steps), "slider",
        default=f"{steps[-1]:,}" if len(steps) else "", play=350,
    )
    return Explorer([control], frames, title=title, alt=alt, layout="rows", captions=captions)
