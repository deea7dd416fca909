"""Figures of classes: the AP of each, and what a second set of predictions changed."""

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmad.diagnosis.records import ClassRow, Comparison, Diagnosis, Difference, LevelNumbers, Numbers
from mmad.plots import style


@matplotlib.rc_context(style.RC)
def class_figure(numbers: Numbers, diagnosis: Diagnosis) -> Figure:
    """AP of each class, highest first, with 95 % intervals and the number of instances.

    Args:
        numbers: APs, mean over tIoU thresholds, and their intervals.
        diagnosis: codes, body groups and numbers of instances of the classes.
    """
    rows = max(len(numbers["action"]["per_class"]), len(numbers["body"]["per_class"]), 6)
    figure = style.new_figure(8.6, 1.5 + 0.15 * rows, "AP of each class, mean over tIoU thresholds")
    colours = style.group_colours(diagnosis)
    bodies = max(len(numbers["body"]["per_class"]), 3)
    # Bars of both panels are equally high, however few groups there are.
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1], height_ratios=[bodies, max(rows - bodies, 0.01)])
    for name, level, analyses, place in (
        ("action", numbers["action"], diagnosis["action"], grid[:, 0]),
        ("body", numbers["body"], diagnosis["body"], grid[0, 1]),
    ):
        axes = figure.add_subplot(place)
        _draw_classes(axes, level, {row["name"]: row for row in analyses["classes"]}, colours)
        axes.set_title(f"{name} level, mean {level['avg']:.2f} %")
    handles = [Patch(facecolor=colour, label=group) for group, colour in colours.items()]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 7))
    return figure


def _draw_classes(axes: Axes, level: LevelNumbers, known: dict[str, ClassRow], colours: dict[str, str]) -> None:
    ranked = sorted(level["per_class"].items(), key=lambda item: -item[1])
    if not ranked:
        style.say_empty(axes, "no class has ground truth")
        return
    labels = []
    for place, (name, ap) in enumerate(ranked):
        row = known.get(name)
        axes.barh(place, ap, 0.78, color=colours[row["group"]] if row else style.GREY)
        interval = level["per_class_intervals"].get(name)
        if interval is not None:
            axes.hlines(place, *interval, color="black", lw=0.8)
        code = f"{row['code']} " if row and row["code"] else ""
        labels.append(f"{code}{style.shortened(name, 32)}" + (f"  ({row['instances']})" if row else ""))
    axes.axvline(level["avg"], color=style.DARK, ls="--", lw=0.8, zorder=0)
    axes.set_yticks(range(len(ranked)), labels)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("AP (%); instances in brackets")
    axes.grid(axis="x")


@matplotlib.rc_context(style.RC)
def comparison_figure(comparison: Comparison) -> Figure:
    """Differences between two sets of predictions, with paired 95 % intervals; a filled mark excludes zero.

    Args:
        comparison: second minus first.
    """
    overall = {"mean of both levels": comparison["avg"]}
    for name, level in (("action", comparison["action"]), ("body", comparison["body"])):
        overall |= {f"{name}, {_threshold(key)}": value for key, value in level.items()}
    per_class = dict(sorted(comparison["per_class"].items(), key=lambda item: -item[1]["difference"]))
    per_body = dict(sorted(comparison["per_body"].items(), key=lambda item: -item[1]["difference"]))
    left = len(overall) + len(per_body) + 4
    first, second = (style.shortened(comparison[key], 40) for key in ("first", "second"))
    figure = style.new_figure(8.6, 1.4 + 0.15 * max(left, len(per_class), 8), f"Difference: {second} minus {first}")
    grid = figure.add_gridspec(2, 2, height_ratios=[len(overall), max(len(per_body), 1)])
    _draw_differences(figure.add_subplot(grid[0, 0]), overall, "Detection-mAP")
    _draw_differences(figure.add_subplot(grid[1, 0]), per_body, "AP of body groups")
    _draw_differences(figure.add_subplot(grid[:, 1]), per_class, "AP of actions")
    figure.supxlabel(
        f"points; 95 % intervals over {comparison['units']} {comparison['unit']}s ({comparison['draws']} draws); "
        "filled: the interval excludes 0",
        fontsize=7.5,
    )
    return figure


def _threshold(key: str) -> str:
    return "mean over tIoU" if key == "avg" else f"tIoU {key}"


def _draw_differences(axes: Axes, rows: dict[str, Difference], title: str) -> None:
    axes.set_title(title)
    if not rows:
        style.say_empty(axes, "nothing to compare")
        return
    for place, row in enumerate(rows.values()):
        interval, difference = row["interval"], row["difference"]
        decided = interval is not None and (interval[0] > 0 or interval[1] < 0)
        colour = style.GREY if not decided else style.BLUE if difference > 0 else style.VERMILION
        if interval is not None:
            axes.hlines(place, *interval, color=colour, lw=1.4)
        axes.plot(difference, place, "o", ms=4, color=colour, mfc=colour if decided else "white")
    axes.axvline(0, color=style.DARK, lw=0.8, zorder=0.9)
    axes.set_yticks(range(len(rows)), [style.shortened(name, 32) for name in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x")
    reach = max(abs(end) for row in rows.values() for end in (row["difference"], *(row["interval"] or ())))
    axes.set_xlim(-1.08 * reach or -1, 1.08 * reach or 1)
