"""Figures of a data set: how frequent and how long classes are, what occurs together, and how much at once."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mmad.dataset.records import Category, LevelStatistics, Statistics
from mmad.plots import style

LINEAR_UP_TO = 50
"""Largest share over smallest one that bars of one length scale can show."""
ENOUGH = 10
"""Instances of a class from which its row counts for the range of colours."""

WRITTEN_UP_TO = 10
"""Classes of a matrix whose cells have room for their number."""

_SPLITS = (
    (style.BLUE, ""),
    (style.ORANGE, "////"),
    (style.GREEN, "...."),
    (style.PURPLE, "\\\\\\\\"),
    (style.SKY, "xxxx"),
    (style.VERMILION, "----"),
    (style.GREY, ""),
)


def draw_figures(statistics: Statistics) -> dict[str, Figure]:
    """Every figure by its name; none where nothing is annotated.

    Args:
        statistics: as `mmad.dataset.describe` gives them.
    """
    if not statistics["all"]["instances"]:
        return {}
    return {
        "shares": share_figure(statistics),
        "durations": duration_figure(statistics),
        "per_clip": per_clip_figure(statistics),
        "concurrency": concurrency_figure(statistics),
        "together": together_figure(statistics),
    }


def write_figures(
    folder: Path, figures: Mapping[str, Figure], *, formats: Sequence[str] = style.FORMATS
) -> dict[str, list[Path]]:
    """Writes figures; the same numbers give the same bytes.

    Args:
        folder: where; it is made if needed.
        figures: by name.
        formats: "png", "svg", "pdf".

    Returns:
        The files of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {name: style.save(figure, folder / name, formats=formats) for name, figure in figures.items()}


@matplotlib.rc_context(style.RC)
def share_figure(statistics: Statistics) -> Figure:
    """Share of the instances of each split that each class and each body group has.

    Args:
        statistics: of the data set.

    Source: Fig. 3 of the MMAD paper; logarithmic where the smallest share could not be seen.
    """
    splits = _annotated(statistics)
    figure, panels = _panels(
        [in_order(level) for level in _levels(statistics)],
        "Share of the instances",
        row=max(0.15, 0.055 * len(splits) + 0.03),
    )
    for axes, rows in panels:
        shown = [row["shares"][split] or 0.0 for row in rows for split in splits]
        seen = [share for share in shown if share > 0]
        if not seen:
            style.say_empty(axes, "no instances")
            continue
        height = 0.84 / len(splits)
        for number, split in enumerate(splits):
            colour, hatch = _SPLITS[number % len(_SPLITS)]
            places = np.arange(len(rows)) - 0.42 + (number + 0.5) * height
            widths = [row["shares"][split] or 0.0 for row in rows]
            axes.barh(places, widths, height, color=colour, hatch=hatch, edgecolor="white", lw=0.2, label=split)
        _name_rows(axes, rows)
        axes.grid(axis="x")
        logarithmic = max(seen) > LINEAR_UP_TO * min(seen)
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(10 ** np.floor(np.log10(0.7 * min(seen))), 1.3 * max(seen))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("instances (%), logarithmic" if logarithmic else "instances (%)")
    _legend(figure, splits)
    return figure


@matplotlib.rc_context(style.RC)
def duration_figure(statistics: Statistics) -> Figure:
    """How long instances of each class and each body group last, over all splits.

    Args:
        statistics: of the data set.

    Source: Fig. 4 of the MMAD paper (mean and standard deviation); boxes show that durations are skewed.
    """
    figure, panels = _panels(
        [_occurring(level) for level in _levels(statistics)], "Duration of instances, all splits", row=0.19
    )
    colours = _group_colours(statistics)
    for axes, rows in panels:
        if not rows:
            style.say_empty(axes, "no instances")
            continue
        for place, row in enumerate(rows):
            _draw_spread(axes, place, row, colours[row["group"]])
        _name_rows(axes, rows)
        axes.set_xlim(left=0)
        axes.grid(axis="x")
        axes.set_xlabel("seconds; instances in brackets")
    text = "box: quartiles and median; thin line: 5 to 95 %; dot and dark line: mean, plus and minus standard deviation"
    figure.supxlabel(text, fontsize=7.5)
    return figure


def _draw_spread(axes: Axes, place: float, row: Category, colour: str) -> None:
    seconds = row["seconds"]
    if seconds["mean"] is None:
        return
    values = [seconds[key] or 0.0 for key in ("low", "lower", "median", "upper", "high")]
    low, lower, median, upper, high = values
    box = place - 0.12
    axes.hlines(box, low, high, color=colour, lw=0.8)
    axes.barh(box, upper - lower, 0.46, lower, color=colour, alpha=0.45)
    axes.vlines(median, box - 0.23, box + 0.23, color=colour, lw=1.6)
    mean, std = seconds["mean"], seconds["std"] or 0.0
    axes.hlines(place + 0.27, mean - std, mean + std, color=style.DARK, lw=0.9)
    axes.plot(mean, place + 0.27, "o", ms=2.4, color=style.DARK)


@matplotlib.rc_context(style.RC)
def per_clip_figure(statistics: Statistics) -> Figure:
    """How many instances clips have, in percent of each split's clips.

    Args:
        statistics: of the data set.
    """
    shares = {
        split: [100 * count / sum(part["per_clip"]) for count in part["per_clip"]]
        for split, part in statistics["splits"].items()
        if part["per_clip"]
    }
    return _counted(shares, title="Instances per clip", across="instances in the clip", up="clips (%)")


@matplotlib.rc_context(style.RC)
def concurrency_figure(statistics: Statistics) -> Figure:
    """How many instances run at the same time, in percent of each split's time.

    Args:
        statistics: of the data set.
    """
    shares = {
        split: part["overlap"]["concurrency"]
        for split, part in statistics["splits"].items()
        if part["overlap"]["concurrency"]
    }
    return _counted(shares, title="Instances at the same time", across="instances at once", up="time (%)")


def _counted(shares: Mapping[str, list[float]], *, title: str, across: str, up: str) -> Figure:
    """Bars over 0, 1, 2, ..., one for each split."""
    figure = style.new_figure(4.2, 2.9, title)
    axes = figure.add_subplot()
    if not shares:
        style.say_empty(axes, "no instances")
        return figure
    width = 0.84 / len(shares)
    for number, (split, values) in enumerate(shares.items()):
        colour, hatch = _SPLITS[number % len(_SPLITS)]
        places = np.arange(len(values)) - 0.42 + (number + 0.5) * width
        axes.bar(places, values, width, color=colour, hatch=hatch, edgecolor="white", lw=0.2, label=split)
    most = max(map(len, shares.values()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(-0.6, most - 0.4)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(axis="y")
    _legend(figure, list(shares))
    return figure


@matplotlib.rc_context(style.RC)
def together_figure(statistics: Statistics) -> Figure:
    """How many instances of each class run at the same time as 100 instances of another class, or of its own.

    Args:
        statistics: of the data set.
    """
    levels = list(zip(("action level", "body level"), _levels(statistics), strict=False))
    classes = len(_occurring(statistics["action"])) if statistics["all"]["overlap"]["highest"] > 1 else 0
    size = float(np.clip(2.2 + 0.13 * classes, 4.2, 8.4))
    small = min(size, 4.2)
    figure = style.new_figure(size + small * (len(levels) - 1), size, "Which instances overlap")
    grid = figure.add_gridspec(
        2, len(levels), width_ratios=[size, small][: len(levels)], height_ratios=[small, 1e-3 + size - small]
    )
    places = [grid[:, 0], grid[0, 1]] if len(levels) > 1 else [grid[:, 0]]
    for place, (name, level) in zip(places, levels, strict=True):
        axes = figure.add_subplot(place)
        mesh = _draw_matrix(axes, level, _group_colours(statistics))
        axes.set_title(name)
        if mesh is not None and mesh.get_rasterized():
            figure.colorbar(mesh, ax=axes, location="bottom", extend="max", aspect=40, pad=0.02, shrink=0.6)
    return figure


def _draw_matrix(axes: Axes, level: LevelStatistics, colours: Mapping[str, str]) -> QuadMesh | None:
    rows = _occurring(level)
    order = [level["classes"].index(row) for row in rows]
    pairs = np.array(level["overlapping_pairs"], dtype=float)[np.ix_(order, order)]
    # Of a pair within a class each instance meets the other.
    pairs += np.diag(np.diag(pairs))
    if not pairs.any():
        style.say_empty(axes, "no instances overlap")
        return None
    per_hundred = 100 * pairs / np.array([[row["instances"]] for row in rows])
    count = len(rows)
    # Two or three instances that meet others by chance shall not make all else pale.
    settled = per_hundred[[row["instances"] >= ENOUGH for row in rows]]
    darkest = settled.max() if settled.any() else per_hundred.max()
    mesh = axes.pcolormesh(
        np.arange(count + 1),
        np.arange(count + 1),
        per_hundred,
        cmap="Blues",
        norm=PowerNorm(0.5, 0, darkest),
        # Thousands of cells as shapes would make the drawing ten times as large.
        rasterized=count > WRITTEN_UP_TO,
    )
    for border in (i for i in range(1, count) if rows[i]["group"] != rows[i - 1]["group"]):
        axes.axhline(border, color=style.GREY, lw=0.6)
        axes.axvline(border, color=style.GREY, lw=0.6)
    font = 7 if count <= 30 else 5.5
    codes = [row["code"] if row["code"] and count > WRITTEN_UP_TO else style.shortened(row["name"], 22) for row in rows]
    # Codes alone say little where they are numbers, as with classes that have none.
    names = [f"{row['code']} {style.shortened(row['name'], 22)}".strip() for row in rows] if count <= 30 else codes
    axes.set_xticks(np.arange(count) + 0.5, codes, rotation=90, fontsize=font)
    axes.set_yticks(np.arange(count) + 0.5, names, fontsize=font)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for label, row in zip(labels, rows, strict=True):
            label.set_color(colours[row["group"]])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylim(count, 0)
    axes.set_aspect("equal")
    axes.set_xlabel("instances of this class or group ...")
    axes.set_ylabel("... per 100 of this one")
    if count <= WRITTEN_UP_TO:
        for i, j in np.argwhere(per_hundred >= 0.05):
            dark = per_hundred[i, j] > 0.35 * darkest
            text = f"{per_hundred[i, j]:.0f}" if per_hundred[i, j] >= 9.95 else f"{per_hundred[i, j]:.1f}"
            axes.text(
                j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "black"
            )
    return mesh


def _occurring(level: LevelStatistics) -> list[Category]:
    return [row for row in in_order(level) if row["instances"]]


def in_order(level: LevelStatistics) -> list[Category]:
    """Classes by body group in order of appearance, then by code with its number as a number (F9 before F10).

    Args:
        level: of the data set.
    """
    groups = list(dict.fromkeys(row["group"] for row in level["classes"]))

    def key(row: Category) -> tuple[int, list[tuple[str, int]]]:
        parts = re.findall(r"(\D*)(\d*)", row["code"])
        return groups.index(row["group"]), [(text, int(digits or 0)) for text, digits in parts]

    return sorted(level["classes"], key=key)


def _panels(
    levels: Sequence[Sequence[Category]], title: str, *, row: float
) -> tuple[Figure, list[tuple[Axes, Sequence[Category]]]]:
    """A figure with a panel for classes, and one for body groups where these say something.

    Args:
        levels: rows of the one or two panels.
        title: above everything.
        row: inches that a row takes.
    """
    count = max(len(levels[0]), 4)
    if len(levels) == 1:
        figure = style.new_figure(6.0, 1.5 + row * count, title)
        return figure, [(figure.add_subplot(), levels[0])]
    groups = len(levels[1])
    rows = max(count, groups)
    figure = style.new_figure(8.6, 1.5 + row * rows, title)
    # Bars of both panels are equally high, however few groups there are.
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1], height_ratios=[max(groups, 3), max(rows - groups, 0.01)])
    left, right = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1])
    left.set_title("action level")
    right.set_title("body level")
    return figure, list(zip((left, right), levels, strict=True))


def _levels(statistics: Statistics) -> list[LevelStatistics]:
    """Both levels, or the action level alone where the body level tells no classes apart."""
    return [statistics["action"]] if statistics["flat"] else [statistics["action"], statistics["body"]]


def _name_rows(axes: Axes, rows: Sequence[Category]) -> None:
    """Writes the names of classes beside their rows, and lines between body groups."""
    names = [f"{row['code']} {style.shortened(row['name'], 32)}".strip() + f"  ({row['instances']})" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    borders = [i for i in range(1, len(rows)) if rows[i]["group"] != rows[i - 1]["group"]]
    # Where every row is a group, lines would part nothing.
    for border in borders if len(borders) < len(rows) - 1 else []:
        axes.axhline(border - 0.5, color=style.GREY, lw=0.5, zorder=0)


def _annotated(statistics: Statistics) -> list[str]:
    """Splits that have instances; all of them if none has."""
    there = [name for name, part in statistics["splits"].items() if part["instances"]]
    return there or list(statistics["splits"])


def _group_colours(statistics: Statistics) -> dict[str, str]:
    """Colour of each body group."""
    return style.colours_of(row["name"] for row in statistics["body"]["classes"])


def _legend(figure: Figure, splits: Sequence[str]) -> None:
    if len(splits) < 2:
        return
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=style.shortened(split, 24))
        for split, (colour, hatch) in zip(splits, (_SPLITS[i % len(_SPLITS)] for i in range(len(splits))), strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))
