"""Figure of annotator agreement: the reliable share over tIoU, and agreement beyond chance of each class."""

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mmad.dataset.agreement import Agreement, ClassAgreement, LevelAgreement
from mmad.dataset.agreement_tables import levels_of
from mmad.plots import style

_LEVELS = {
    "action": (style.LEVEL_COLOURS["action"], "-", "o"),
    "body": (style.LEVEL_COLOURS["body"], "--", "s"),
    "any action": (style.DARK, ":", "^"),
}
CURVE_ROWS = 16
"""Height of the curve, in bars."""
CUSTOMARY = (2 / 3, 0.8)
"""Alphas above which conclusions are tentative, and customary (Krippendorff 2019, chapter 12)."""


@matplotlib.rc_context(style.RC)
def agreement_figure(found: Agreement) -> Figure:
    """The reliable share at each tIoU threshold, and alpha and positive agreement of each class, highest alpha first.

    Args:
        found: the numbers.
    """
    marked = _marked(found["action"])
    bodies = [] if found["body"] is None else _marked(found["body"])
    below = len(bodies) + 7 if bodies else 0
    rows = max(len(marked), CURVE_ROWS + below)
    title = f"Agreement of {len(found['annotators'])} annotators in {found['clips']} clips"
    figure = style.new_figure(8.6, 1.6 + 0.15 * rows, title)
    # The curve keeps its height, and bars of both panels theirs, however many classes there are.
    heights = [CURVE_ROWS, max(len(bodies), 0.01), max(rows - CURVE_ROWS - len(bodies), 0.01)]
    grid = figure.add_gridspec(3, 2, width_ratios=[1, 1.1], height_ratios=heights)
    _draw_curve(figure.add_subplot(grid[0, 0]), found)
    colours = style.colours_of(row["group"] for row in [*marked, *bodies])
    if bodies:
        _draw_classes(figure.add_subplot(grid[1, 0]), "body group", found["body"], bodies, colours)
    _draw_classes(figure.add_subplot(grid[:, 1]), "class", found["action"], marked, colours)
    handles: list[Artist] = [Patch(facecolor=colour, label=group) for group, colour in colours.items()]
    diamond = Line2D([], [], ls="", marker="D", ms=3, mfc="white", mec="black", mew=0.6, label="positive agreement")
    handles = [*(handles if len(colours) > 1 else []), diamond]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8))
    return figure


def _marked(level: LevelAgreement) -> list[ClassAgreement]:
    return [row for row in level["classes"] if row["segments"]]


def _draw_curve(axes: Axes, found: Agreement) -> None:
    axes.set_title("Segments that all marked alike")
    for name, level in levels_of(found):
        colour, line, marker = _LEVELS[name]
        shares = [float("nan") if share is None else share for share in level["curve"]]
        axes.plot(found["tious"], shares, line, marker=marker, ms=3, color=colour, label=name)
    axes.axvline(found["threshold"], color=style.DARK, ls="--", lw=0.8, zorder=0.9)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 103)
    axes.set_xlabel(f"tIoU that each pair must exceed; dashed: {found['threshold']:g}")
    axes.set_ylabel("reliable share (%)")
    axes.grid()
    axes.legend(loc="lower left")


def _draw_classes(
    axes: Axes, what: str, level: LevelAgreement | None, marked: list[ClassAgreement], colours: dict[str, str]
) -> None:
    mean = None if level is None else level["alpha"]
    axes.set_title(f"Krippendorff's alpha of each {what}" + ("" if mean is None else f", mean {mean:.2f}"))
    if not marked:
        style.say_empty(axes, "nothing is marked")
        return
    ranked = sorted(marked, key=lambda row: -2.0 if row["alpha"] is None else row["alpha"], reverse=True)
    labels = []
    for place, row in enumerate(ranked):
        if row["alpha"] is None:
            axes.text(0.01, place, "no value", va="center", fontsize=6, color=style.DARK)
        else:
            axes.barh(place, row["alpha"], 0.78, color=colours[row["group"]])
        if row["positive"] is not None:
            axes.plot(row["positive"], place, "D", ms=3, mfc="white", mec="black", mew=0.6, zorder=3)
        code = f"{row['code']} " if row["code"] and not row["code"].isdigit() else ""
        labels.append(f"{code}{style.shortened(row['name'], 32)}  ({row['segments']})")
    for alpha in CUSTOMARY:
        axes.axvline(alpha, color=style.DARK, ls=":", lw=0.8, zorder=0.9)
    axes.set_yticks(range(len(ranked)), labels)
    axes.set_ylim(max(len(ranked), 6) - 0.4, -0.6)
    axes.set_xlim(min(0.0, *(row["alpha"] or 0.0 for row in ranked)) * 1.1, 1.02)
    axes.set_xlabel("alpha; segments in brackets; dotted: 0.667 and 0.8")
    axes.grid(axis="x")
