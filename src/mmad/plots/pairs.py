"""Figures of pairs of classes: what is taken for what, and what occurs at the same time."""

import re

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from mmad.diagnosis.records import Confusion, CoOccurrence, Diagnosis
from mmad.plots import style

MOST_PAIRS = 20
"""Rows of the co-occurrence figure."""


@matplotlib.rc_context(style.RC)
def confusion_figure(diagnosis: Diagnosis) -> Figure:
    """What each true class was taken for, in percent of its row; background and misses stand apart.

    Classes are ordered by body group and code.

    Args:
        diagnosis: both levels.
    """
    classes = len(diagnosis["action"]["confusion"]["names"])
    size = float(np.clip(2.2 + 0.13 * classes, 4.2, 7.4))
    figure = style.new_figure(size + 3.6, size, f"Confusion of kept predictions ({style.conditions(diagnosis)})")
    grid = figure.add_gridspec(2, 2, width_ratios=[size, 3.2], height_ratios=[3.2, max(size - 4.0, 0.3)])
    left, right = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])
    colours = style.group_colours(diagnosis)
    mesh = _draw_matrix(left, diagnosis["action"]["confusion"], colours)
    mesh = _draw_matrix(right, diagnosis["body"]["confusion"], colours) or mesh
    left.set_title("action level")
    right.set_title("body level")
    left.set_ylabel("true")
    _list_confusions(
        figure.add_subplot(grid[1, 1]), diagnosis["action"]["confusion"], rows=int(min((size - 4.4) / 0.15, 12))
    )
    if mesh is not None:
        bar = figure.colorbar(mesh, ax=right, location="bottom", label="percent of the row", aspect=30, pad=0.02)
        bar.set_ticks([0, 5, 20, 50, 100])
    return figure


def _draw_matrix(axes: Axes, confusion: Confusion, colours: dict[str, str]) -> QuadMesh | None:
    count = len(confusion["names"])
    matrix = np.array(confusion["matrix"], dtype=float)
    if count == 0 or not matrix.any():
        style.say_empty(axes, "no instances and no predictions")
        return None
    order = _by_group(confusion)
    whole = [*order, count]
    rows = matrix[whole][:, whole]
    sums = rows.sum(axis=1, keepdims=True)
    percent = np.divide(100 * rows, sums, out=np.full_like(rows, np.nan), where=sums > 0)
    percent[-1, -1] = np.nan
    # A row and a column of nothing set background and misses apart.
    gap = max(0.3, count / 60)
    percent = np.insert(np.insert(percent, count, np.nan, axis=0), count, np.nan, axis=1)
    edges = [*range(count + 1), count + gap, count + gap + 1]
    mesh = axes.pcolormesh(edges, edges, np.ma.masked_invalid(percent), cmap="Blues", norm=PowerNorm(0.5, 0, 100))
    groups = [confusion["groups"][i] for i in order]
    for border in (i for i in range(1, count) if groups[i] != groups[i - 1]):
        axes.axhline(border, color=style.GREY, lw=0.6)
        axes.axvline(border, color=style.GREY, lw=0.6)
    places = [*(i + 0.5 for i in range(count)), count + gap + 0.5]
    codes = [style.shortened(confusion["codes"][i] or confusion["names"][i], 12) for i in order]
    font = 7 if count <= 30 else 5.5
    axes.set_xticks(places, [*codes, "missed"], rotation=90, fontsize=font)
    axes.set_yticks(places, [*codes, "background"], fontsize=font)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for label, group in zip(labels, groups, strict=False):
            label.set_color(colours.get(group, style.DARK))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(edges[-1], 0)
    axes.set_aspect("equal")
    axes.set_xlabel("predicted")
    if count <= 10:
        _write_cells(axes, percent, places, count)
    return mesh


def _write_cells(axes: Axes, percent: np.ndarray, places: list[float], count: int) -> None:
    indices = [*range(count), count + 1]
    for i, y in zip(indices, places, strict=True):
        for j, x in zip(indices, places, strict=True):
            value = percent[i, j]
            if value >= 0.5:
                axes.text(
                    x,
                    y,
                    f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color="white" if value > 35 else "black",
                )


def _list_confusions(axes: Axes, confusion: Confusion, *, rows: int) -> None:
    """Writes the most frequent confusions into the room below the small matrix, as many as it holds."""
    axes.axis("off")
    names = [style.shortened(name, 32) for name in confusion["names"]]
    counts = np.array(confusion["matrix"], dtype=int)[:-1, :-1]
    pairs = [(int(counts[i, j]), names[i], names[j]) for i, j in np.argwhere(counts) if i != j]
    largest = sorted(pairs, key=lambda pair: -pair[0])[: max(rows, 0)]
    if largest:
        lines = [f"{count}  {true} \N{RIGHTWARDS ARROW} {predicted}" for count, true, predicted in largest]
        text = "\n".join(["most frequent, true \N{RIGHTWARDS ARROW} predicted:", *lines])
        axes.text(0, 1, text, transform=axes.transAxes, va="top", fontsize=6.5, linespacing=1.5)


def _by_group(confusion: Confusion) -> list[int]:
    """Indices by body group in order of appearance, then by code with its number as a number (F9 before F10)."""
    groups = list(dict.fromkeys(confusion["groups"]))

    def key(index: int) -> tuple[int, list[tuple[str, int]]]:
        parts = re.findall(r"(\D*)(\d*)", confusion["codes"][index])
        return groups.index(confusion["groups"][index]), [(text, int(digits or 0)) for text, digits in parts]

    return sorted(range(len(confusion["names"])), key=key)


@matplotlib.rc_context(style.RC)
def co_occurrence_figure(diagnosis: Diagnosis) -> Figure:
    """How many of the overlapping instances of the most frequent pairs of classes are found.

    Args:
        diagnosis: both levels.
    """
    shown = [
        sum(pair["pairs"] > 0 for pair in level["co_occurrence"]["pairs"][:MOST_PAIRS])
        for _, level in style.levels(diagnosis)
    ]
    title = f"Instances of two classes at the same time ({style.conditions(diagnosis)})"
    figure = style.new_figure(9.6, 1.6 + 0.18 * max(*shown, 4), title)
    for axes, (name, level) in zip(figure.subplots(1, 2), style.levels(diagnosis), strict=True):
        _draw_pairs(axes, level["co_occurrence"])
        axes.set_title(f"{name} level", loc="left")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if not handles:
        handles, labels = figure.axes[1].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _draw_pairs(axes: Axes, numbers: CoOccurrence) -> None:
    pairs = [pair for pair in numbers["pairs"][:MOST_PAIRS] if pair["pairs"]]
    if not pairs:
        style.say_empty(axes, "no instances of two classes overlap")
        return
    left = np.zeros(len(pairs))
    looks = (("both", style.GREEN, ""), ("one", style.ORANGE, "////"), ("none", style.GREY, ""))
    for part, colour, hatch in looks:
        width = np.array([{"both": p["both"], "one": p["one"], "none": p["none"]}[part] for p in pairs], dtype=float)
        label = f"{part} found" if part != "one" else "one of them found"
        axes.barh(
            range(len(pairs)), width, 0.78, left, color=colour, hatch=hatch, edgecolor="white", lw=0.4, label=label
        )
        left += width
    names = [f"{style.shortened(p['first'], 32)} + {style.shortened(p['second'], 32)}" for p in pairs]
    axes.set_yticks(range(len(pairs)), names, fontsize=6.5)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    for row, pair in enumerate(pairs):
        axes.annotate(
            f"{pair['pairs']}", (pair["pairs"], row), (3, 0), textcoords="offset points", va="center", fontsize=6.5
        )
    axes.set_xlim(0, 1.1 * left.max())
    label = "overlapping pairs of instances"
    if numbers["both"] is not None and numbers["expected_both"] is not None:
        label += f"\nboth found: {numbers['both']:.1f} %, if independent: {numbers['expected_both']:.1f} %"
    axes.set_xlabel(label)
    axes.grid(axis="x")
