"""Figures of classes show every AP, difference and interval, sorted."""

import sample
from mmad.plots.classes import class_figure, comparison_figure

RESULT, NUMBERS, COMPARISON = sample.diagnosis(), sample.numbers(), sample.comparison()


def names(ticks) -> list[str]:
    return [label.get_text() for label in ticks]


def test_classes_are_sorted_by_ap() -> None:
    figure = class_figure(NUMBERS, RESULT)
    known = [row for row in RESULT["action"]["classes"] if row["ap"] is not None]
    assert len(known) < len(RESULT["action"]["classes"])
    ranked = sorted(known, key=lambda row: -row["ap"])
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [row["ap"] for row in ranked]
    assert names(axes.get_yticklabels()) == [f"{row['code']} {row['name']}  ({row['instances']})" for row in ranked]
    drawn = [tuple(lines.get_segments()[0][:, 0]) for lines in axes.collections]
    assert drawn == [NUMBERS["action"]["per_class_intervals"][row["name"]] for row in ranked]


def test_an_action_has_the_colour_of_its_body_group() -> None:
    figure = class_figure(NUMBERS, RESULT)
    group_of = {f"{row['code']} {row['name']}": row["group"] for row in RESULT["action"]["classes"]}
    colours = [
        {name.split("  ")[0]: bar.get_facecolor() for name, bar in zip(labels, axes.patches, strict=True)}
        for axes, labels in ((axes, names(axes.get_yticklabels())) for axes in figure.axes)
    ]
    assert len(set(colours[1].values())) == len(sample.TAXONOMY.bodies)
    assert colours[0] == {name: colours[1][group_of[name]] for name in colours[0]}


def test_a_class_in_no_draw_has_no_whisker() -> None:
    numbers = sample.numbers()
    intervals = numbers["action"]["per_class_intervals"]
    intervals[next(iter(intervals))] = None
    assert len(class_figure(numbers, RESULT).axes[0].collections) == len(intervals) - 1


def test_a_filled_mark_excludes_zero() -> None:
    figure = comparison_figure(COMPARISON)
    rows = sorted(COMPARISON["per_class"].items(), key=lambda item: -item[1]["difference"])
    axes = figure.axes[2]
    assert names(axes.get_yticklabels()) == [name for name, _ in rows]
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    hollow = []
    for mark, (_, row) in zip(marks, rows, strict=True):
        low, high = row["interval"]
        assert mark.get_xdata()[0] == row["difference"]
        hollow.append(mark.get_markerfacecolor() == "white")
        assert hollow[-1] == (low <= 0 <= high)
    assert len(set(hollow)) == 2
    assert f"{COMPARISON['second']} minus {COMPARISON['first']}" in figure.get_suptitle()
