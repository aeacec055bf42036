"""Curves, bars, matrices and maps of what was measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.patches import Patch

from sdn_lib import vgg
from sdn_lib.errors import SDNError
from sdn_lib.show.arrays import as_array, as_images
from sdn_lib.show.layout import new_plot
from sdn_lib.show.style import (
    DPI,
    INK,
    LEVEL_COLOURS,
    LEVEL_OF,
    PALETTE,
    RUN_COLOURS,
    SMALL,
    WIDTH,
    HouseFigure,
    in_house_style,
    level_colour,
    run_colours,
    tint,
)

THUMBNAIL = 44
"""Side of a thumbnail, in pixels of the figure."""


@in_house_style
def loss_curves(
    logs: Mapping[str, Sequence[Mapping[str, Any]]],
    recorded: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    smooth: int = 15,
    log_scale: bool = True,
    ylabel: str = "loss (sum over layers)",
) -> Figure:
    """Plot losses against steps: what was logged faint, its moving average strong.

    logs, recorded: {label: log}, a log a list of dicts with 'step' and 'total' (other entries
    are passed over). Recorded runs are dashed, in the colour of the live run of the same label.
    smooth: entries in the moving average. Raises SDNError for a log without such entries or with
    a value that is not finite.
    """
    recorded = recorded or {}
    if not logs and not recorded:
        raise SDNError("loss_curves: no logs to plot")
    colours = run_colours(dict.fromkeys([*logs, *recorded]))
    figure, axes = new_plot(3.4)
    for kind, group, dashes in (("recorded", recorded, (0, (5, 2))), ("live", logs, "-")):
        for label, log in group.items():
            steps, values = _curve(log, label)
            note = f"{label} ({kind})" if recorded and logs else label
            axes.plot(steps, values, color=colours[label], alpha=0.22, linewidth=0.8)
            axes.plot(steps, moving_average(values, smooth), color=colours[label], linestyle=dashes,
                      linewidth=2.2 if kind == "live" else 1.6, label=note)
    axes.set(xlabel="step", ylabel=ylabel)
    if log_scale:
        _use_log_scale(axes, (1, 1.5, 2, 3, 5, 7), below=30)
    axes.legend(loc="upper right")
    return figure


@in_house_style
def layer_bars(
    values: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, Mapping[str, float]] | None = None,
    ylabel: str = "loss",
    log_scale: bool = False,
) -> Figure:
    """Draw a bar a layer, coloured by its level, the labels side by side.

    values: {label: {layer: value}}, every label over the same layers; later labels are darker.
    errors: the same, for labels with error bars. Raises SDNError naming the layers in which labels
    differ.
    """
    if not values:
        raise SDNError("layer_bars: nothing to plot")
    for label in errors or {}:
        if label not in values:
            raise SDNError(f"layer_bars: errors for {label!r}, which has no values")
    errors_of = {f"errors of {label}": row for label, row in (errors or {}).items()}
    _check_names("layer_bars", {**values, **errors_of})
    names = list(next(iter(values.values())))
    figure, axes = new_plot(3.5)
    width = 0.82 / len(values)
    strengths = np.linspace(0.4, 1.0, len(values)) if len(values) > 1 else [1.0]
    for index, (label, row) in enumerate(values.items()):
        x = np.arange(len(names)) + (index - (len(values) - 1) / 2) * width
        colours = [tint(level_colour(name), strengths[index]) for name in names]
        known = errors.get(label) if errors else None
        axes.bar(x, [float(row[name]) for name in names], width * 0.94, color=colours,
                 yerr=[float(known[name]) for name in names] if known else None,
                 error_kw={"ecolor": INK, "elinewidth": 0.9, "capsize": 1.5})
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", visible=False)
    axes.set_ylabel(ylabel)
    if log_scale:
        _use_log_scale(axes, (1, 2, 5), below=2000)
    shown = {LEVEL_OF[name] for name in names}
    keys = [Patch(color=LEVEL_COLOURS[level], label=f"{level} level")
            for level in vgg.LEVELS if level in shown]
    if len(values) > 1:
        keys += [Patch(color=tint("#444444", strength), label=label)
                 for strength, label in zip(strengths, values, strict=True)]
    axes.legend(handles=keys, ncols=len(keys), loc="lower center", bbox_to_anchor=(0.5, 1.0),
                columnspacing=1.2, handlelength=1.2)
    return figure


@in_house_style
def attribute_bars(
    runs: Mapping[str, Mapping[str, float]],
    ceiling: Mapping[str, float] | float | None = None,
    chance: Mapping[str, float] | float | None = None,
) -> Figure:
    """Draw the accuracy of each attribute for each run, between chance and the ceiling.

    runs: {run: {attribute: accuracy in 0..1}}. ceiling (real images) and chance: one number, or
    {attribute: number}. Raises SDNError naming the attributes in which they differ.
    """
    if not runs:
        raise SDNError("attribute_bars: no runs to plot")
    names = list(next(iter(runs.values())))
    marks = {
        label: mark if isinstance(mark, Mapping) else dict.fromkeys(names, float(mark))
        for label, mark in (("real images", ceiling), ("chance", chance))
        if mark is not None
    }
    _check_names("attribute_bars", {**runs, **marks})
    colours = run_colours(runs)
    rows = np.arange(len(names))
    height = 0.8 / len(runs)
    tall = 0.8 + len(names) * max(0.3, 0.13 * len(runs) + 0.1)
    figure, axes = new_plot(tall)
    for index, (label, row) in enumerate(runs.items()):
        y = rows + (index - (len(runs) - 1) / 2) * height
        axes.barh(y, [row[name] for name in names], height * 0.9, color=colours[label],
                  label=label)
    for label, dashes in (("chance", (0, (1.5, 1.5))), ("real images", "-")):
        if label in marks:
            axes.vlines([marks[label][name] for name in names], rows - 0.44, rows + 0.44,
                        color=INK, linewidth=1.6, linestyle=dashes, label=label)
    axes.set_yticks(rows, [name.replace("_", " ") for name in names])
    axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, 1), xlabel="accuracy")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    handles, texts = axes.get_legend_handles_labels()
    order = sorted(range(len(texts)), key=lambda index: texts[index] in marks)
    axes.legend([handles[i] for i in order], [texts[i] for i in order],
                ncols=len(runs) + len(marks), loc="lower center", bbox_to_anchor=(0.45, 1.0),
                columnspacing=1.2, handlelength=1.3)
    return figure


@in_house_style
def row_scores(
    scores: Mapping[str, Mapping[str, Sequence[float]]],
    marks: Mapping[str, float] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw every run's score as a dot, a line a row and a panel a measure, with the rows' means.

    scores: {measure: {row: values by seed}}; marks: {measure: the score of real pictures}; groups:
    {title: rows}, which are drawn together (default: one group of all rows, without a title).
    Raises SDNError for no scores, or measures whose rows differ.
    """
    if not scores or not all(scores.values()):
        raise SDNError("row_scores: no scores to plot")
    _check_names("row_scores", scores)
    rows = next(iter(scores.values()))
    figure, panels, places = _row_panels(groups or {"": list(rows)}, list(scores))
    for axes, (measure, rows) in zip(panels, scores.items(), strict=True):
        for (_, name), at in places.items():
            values = as_array(rows[name]).astype(float)
            axes.plot(values, np.full(len(values), at), "o", color=PALETTE[0], alpha=0.45,
                      markersize=5, markeredgewidth=0)
            axes.plot(values.mean(), at, "|", color=INK, markersize=11, markeredgewidth=1.6)
        if marks and measure in marks:
            axes.axvline(marks[measure], color=INK, linewidth=1, linestyle=(0, (1.5, 1.5)))
    return figure


def _row_panels(
    groups: Mapping[str, Collection[str]], measures: Sequence[str]
) -> tuple[Figure, Sequence[Any], dict[tuple[str, str], float]]:
    """Return a figure, a panel a measure, and {(group, row): y} of the rows that they share."""
    places, heads, y = {}, {}, 0.0
    for title, rows in groups.items():
        if title:
            heads[title] = y
            y += 0.9
        for name in rows:
            places[title, name] = y
            y += 1
        y += 0.3
    close = ConstrainedLayoutEngine(wspace=0.04)
    figure = HouseFigure(figsize=(WIDTH / DPI, 0.7 + 0.235 * y), layout=close)
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)
    for axes, measure in zip(panels[0], measures, strict=True):
        axes.set(xlabel=measure, ylim=(y - 0.4, -0.8))
        axes.tick_params(axis="y", length=0)
    axes = panels[0][0]
    axes.set_yticks(
        [*heads.values(), *places.values()], [*heads, *(name for _, name in places)]
    )
    for text in axes.get_yticklabels()[: len(heads)]:
        text.set_fontweight("bold")
    return figure, panels[0], places


@in_house_style
def cost_bars(
    costs: Mapping[str, Mapping[str, Mapping[str, float]]],
    floors: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Draw what variants cost as bars with their values, a panel a measure, rows in groups.

    costs: {measure: {group: {variant: value}}}; floors: {measure: {group: value}}, what the least
    should be, drawn as a line across the group. Raises SDNError for no costs, or measures whose
    groups or variants differ.
    """
    if not costs or not all(costs.values()):
        raise SDNError("cost_bars: no costs to plot")
    groups = {group: list(rows) for group, rows in next(iter(costs.values())).items()}
    for measure, found in costs.items():
        if {group: list(rows) for group, rows in found.items()} != groups:
            raise SDNError(f"cost_bars: {measure!r} has not the rows {groups}")
    figure, panels, places = _row_panels(groups, list(costs))
    names = dict.fromkeys(name for _, name in places)
    colours = dict(zip(names, (RUN_COLOURS["baseline"], *PALETTE), strict=False))
    for axes, (measure, found) in zip(panels, costs.items(), strict=True):
        for (group, name), at in places.items():
            value = found[group][name]
            axes.barh(at, value, 0.72, color=colours[name])
            axes.annotate(
                f"{value:.3g}", (value, at), (5, 0), textcoords="offset points", va="center",
                fontsize=SMALL, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.14)
        for group, floor in (floors or {}).get(measure, {}).items():
            rows = [at for (title, _), at in places.items() if title == group]
            axes.plot([floor] * 2, [min(rows) - 0.5, max(rows) + 0.5], color=INK, linewidth=1.2,
                      linestyle=(0, (1.5, 1.5)), zorder=2.5)
    return figure


@in_house_style
def heatmap(
    matrix: Any,
    xlabels: Sequence[str],
    ylabels: Sequence[str],
    label: str,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Figure:
    """Draw a matrix as colours, with its numbers when there is room for them.

    matrix: (rows, columns) of finite numbers, written out up to 12 columns; ylabels name rows,
    xlabels columns; label names the colour. Raises SDNError if labels do not fit.
    """
    values = as_array(matrix).astype(float)
    if values.ndim != 2 or values.shape != (len(ylabels), len(xlabels)):
        raise SDNError(
            f"heatmap: matrix is {values.shape}, but there are {len(ylabels)} row labels "
            f"and {len(xlabels)} column labels"
        )
    tall = min(max(1.3 + 0.27 * values.shape[0], 2.4), 7.2)
    figure, axes = new_plot(tall)
    image = axes.imshow(values, aspect="auto", vmin=vmin, vmax=vmax, interpolation="nearest")
    axes.set_xticks(range(len(xlabels)), xlabels, rotation=45 if len(xlabels) > 6 else 0,
                    ha="right" if len(xlabels) > 6 else "center", rotation_mode="anchor",
                    parse_math=False)
    if len(xlabels) <= 6:
        axes.tick_params(axis="x", pad=12)
    axes.set_yticks(range(len(ylabels)), ylabels, parse_math=False)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05, aspect=8 * tall)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if values.shape[1] <= 12:
        bright = np.asarray(image.norm(values)) > 0.6
        for (row, column), value in np.ndenumerate(values):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=9,
                      color=INK if bright[row, column] else "white")
    return figure


@in_house_style
def thumbnails_scatter(
    points: Any,
    images: Any,
    colours: Sequence[str] | None = None,
    legend: Mapping[str, str] | None = None,
) -> Figure:
    """Draw every picture at its point, a map of what lies near what.

    points: (N, 2). images: float (N, 3, H, W) in 0..1 or uint8 (N, H, W, 3). colours: N frame
    colours, which `legend` {label: colour} explains. Raises SDNError if the lengths differ.
    """
    places, pictures = as_array(points).astype(float), as_images(images)
    if places.ndim != 2 or places.shape[1] != 2 or len(places) != len(pictures):
        raise SDNError(
            f"thumbnails_scatter: points are {places.shape} for {len(pictures)} images; "
            f"expected ({len(pictures)}, 2)"
        )
    if colours is not None and len(colours) != len(places):
        raise SDNError(f"thumbnails_scatter: {len(places)} points but {len(colours)} colours")
    figure, axes = new_plot(5.6)
    axes.scatter(places[:, 0], places[:, 1], s=0)
    axes.margins(0.06)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    for index, (place, picture) in enumerate(zip(places, pictures, strict=True)):
        inset = OffsetImage(picture, zoom=THUMBNAIL * 72 / DPI / picture.shape[1],
                            interpolation="bilinear")
        edge = colours[index] if colours is not None else "#b4bac1"
        axes.add_artist(AnnotationBbox(
            inset, tuple(place), pad=0.08,
            bboxprops={"edgecolor": edge, "linewidth": 1.6 if colours is not None else 0.6},
        ))
    if legend:
        axes.legend(handles=[Patch(color=colour, label=label) for label, colour in legend.items()],
                    ncols=min(len(legend), 6), loc="upper center", bbox_to_anchor=(0.5, 0.0))
    return figure


def _curve(log: Sequence[Mapping[str, Any]], label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a log's steps and losses."""
    entries = [entry for entry in log if "step" in entry and "total" in entry]
    if not entries:
        raise SDNError(f"loss_curves: {label!r} has no entry with both 'step' and 'total'")
    steps = np.array([entry["step"] for entry in entries], dtype=float)
    losses = np.array([float(entry["total"]) for entry in entries])
    broken = np.flatnonzero(~np.isfinite(losses))
    if len(broken):
        raise SDNError(f"loss_curves: {label!r} is not finite at step {steps[broken[0]]:.0f}")
    return steps, losses


def moving_average(values: Sequence[float] | np.ndarray, window: int) -> np.ndarray:
    """Return the moving average of (N,) values, of the same length: the curve of `loss_curves`."""
    values = np.asarray(values, dtype=float)
    window = max(1, min(window, len(values)))
    kernel = np.ones(window)
    # Dividing by what the window holds keeps the ends level instead of drooping to zero.
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def _use_log_scale(axes: Axes, subs: Sequence[float], below: float) -> None:
    """Make y logarithmic, ticked at `subs` times powers of ten if its ends' ratio is `below`."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < below:  # too few decades for powers of ten to say anything
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))


def _check_names(what: str, rows: Mapping[str, Collection[str]]) -> None:
    """Raise SDNError for the first row whose names are not those of the first."""
    first = next(iter(rows))
    for label, names in rows.items():
        if odd := sorted(set(names) ^ set(rows[first])):
            raise SDNError(f"{what}: {label!r} and {first!r} differ in {odd}")
