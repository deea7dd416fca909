"""Figures of a data set show every share, duration and count of its statistics, for any taxonomy and any splits."""

import re
from pathlib import Path

import numpy as np
import pytest

import sample
from mmad.annotations import Instance, Truth
from mmad.dataset import describe
from mmad.dataset.records import Statistics
from mmad.plots.dataset import (
    concurrency_figure,
    draw_figures,
    duration_figure,
    in_order,
    per_clip_figure,
    share_figure,
    together_figure,
    write_figures,
)
from mmad.taxonomy import MMA52, Taxonomy

FACES = Taxonomy.from_rows((("1", "smile", "all"), ("2", "frown", "all")))
LONG = Taxonomy.from_rows(
    tuple((f"X{n}", f"a name of $many$ words and more {n}", "a group of $many$ words " + "AB"[n % 2]) for n in range(9))
)


def statistics() -> Statistics:
    clips = sample.clips()
    unannotated = Truth("z", (), 10.0)
    return describe({"train": clips[:16], "val": clips[16:], "test": [unannotated]}, taxonomy=MMA52)


def small(taxonomy: Taxonomy, *splits: str) -> Statistics:
    """Three instances in each split, the first of which overlaps both others."""
    last = len(taxonomy.actions) - 1
    clip = Truth("a", (Instance(0, 9, 0), Instance(1, 3, last), Instance(4, 5, last)), 10.0)
    return describe({name: [clip] for name in splits}, taxonomy=taxonomy)


def names(ticks) -> list[str]:
    return [label.get_text() for label in ticks]


def test_codes_are_ordered_by_group_and_number() -> None:
    codes = [row["code"] for row in in_order(statistics()["action"])]
    assert [code for code in codes if code[0] == "C"] == [f"C{n}" for n in range(1, 14)]
    assert [code[0] for code in codes] == sorted(code[0] for code in codes)


def test_bars_are_the_shares_of_each_annotated_split() -> None:
    result = statistics()
    figure = share_figure(result)
    for axes, level in zip(figure.axes, ("action", "body"), strict=True):
        rows = in_order(result[level])
        widths = [bar.get_width() for bar in axes.patches]
        assert widths == [row["shares"][split] for split in ("train", "val") for row in rows]
        assert names(axes.get_yticklabels()) == [
            f"{row['code']} {row['name']}".strip() + f"  ({row['instances']})" for row in rows
        ]
    assert names(figure.legends[0].get_texts()) == ["train", "val"]


def test_shares_are_logarithmic_only_where_a_line_could_not_show_them() -> None:
    def scale(rare: int) -> str:
        instances = (*(Instance(0, 1, 0) for _ in range(100)), *(Instance(0, 1, 1) for _ in range(rare)))
        axes = share_figure(describe({"train": [Truth("a", instances, 1.0)]}, taxonomy=FACES)).axes[0]
        assert axes.get_xlim()[0] < min(bar.get_width() for bar in axes.patches)
        assert ("logarithmic" in axes.get_xlabel()) == (axes.get_xscale() == "log")
        return axes.get_xscale()

    assert [scale(rare) for rare in (50, 1)] == ["linear", "log"]


def test_durations_are_quartiles_and_mean_with_its_deviation() -> None:
    result = statistics()
    axes = duration_figure(result).axes[0]
    known = [row["seconds"] for row in in_order(result["action"]) if row["instances"]]
    assert len(known) < len(result["action"]["classes"])
    boxes = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert np.array(boxes) == pytest.approx(np.array([(s["lower"], s["upper"]) for s in known]))
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert dots == [s["mean"] for s in known]
    lines = [collection.get_segments()[0][:, 0] for collection in axes.collections]
    expected = [
        each
        for s in known
        for each in (
            [s["low"], s["high"]],
            [s["median"], s["median"]],
            [s["mean"] - (s["std"] or 0), s["mean"] + (s["std"] or 0)],
        )
    ]
    assert np.array(lines) == pytest.approx(np.array(expected))


def test_counts_of_clips_and_of_instances_at_once_add_up() -> None:
    result = statistics()
    for figure in (per_clip_figure(result), concurrency_figure(result)):
        heights = [bar.get_height() for bar in figure.axes[0].patches]
        assert sum(heights) == pytest.approx(200), "two splits are annotated"
    bars = per_clip_figure(result).axes[0].patches[: len(result["splits"]["train"]["per_clip"])]
    assert [bar.get_height() * 16 / 100 for bar in bars] == pytest.approx(result["splits"]["train"]["per_clip"])
    assert [round(bar.get_x() + bar.get_width()) for bar in bars] == list(range(len(bars)))


def test_a_cell_is_how_many_of_the_column_meet_one_of_the_row() -> None:
    """Two frowns run during one smile; then two smiles overlap."""
    figure = together_figure(small(FACES, "train"))
    written = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in figure.axes[0].texts}
    assert written == {(0.5, 1.5): "200", (1.5, 0.5): "100"}
    twice = describe({"a": [Truth("a", (Instance(0, 2, 0), Instance(1, 3, 0)), 9.0)]}, taxonomy=FACES)
    assert [text.get_text() for text in together_figure(twice).axes[0].texts] == ["100"], "each meets the other"


@pytest.mark.parametrize(
    "result",
    [
        statistics(),
        small(FACES, "a single split"),
        small(LONG, *(f"fold {n}" for n in range(1, 7))),
        describe({"test": [Truth("a", (Instance(0, 1, 0),), 9.0)]}, taxonomy=FACES),
    ],
    ids=["52 classes", "2 classes", "long names and six splits", "one instance"],
)
def test_nothing_is_cut_off(result: Statistics, tmp_path: Path) -> None:
    figures = draw_figures(result)
    write_figures(tmp_path, figures, formats=["svg"])
    for name, figure in figures.items():
        texts = [figure._suptitle, *figure.texts]
        boxes = [part.get_window_extent() for part in (*texts, *figure.legends)]
        for box in (*boxes, *(axes.get_tightbbox() for axes in figure.axes)):
            assert -1 <= box.x0 <= box.x1 <= figure.bbox.width + 1, name
            assert -1 <= box.y0 <= box.y1 <= figure.bbox.height + 1, name


def test_a_flat_taxonomy_has_no_panel_of_groups() -> None:
    assert [len(figure.axes) for figure in draw_figures(small(FACES, "train")).values()] == [1] * 5


@pytest.mark.slow
def test_the_same_numbers_give_the_same_files(tmp_path: Path) -> None:
    written = [write_figures(tmp_path / name, draw_figures(statistics())) for name in ("first", "second")]
    assert list(written[0]) == ["shares", "durations", "per_clip", "concurrency", "together"]
    for name, paths in written[0].items():
        assert [path.suffix for path in paths] == [".png", ".svg", ".pdf"]
        for path, again in zip(paths, written[1][name], strict=True):
            assert path.read_bytes() == again.read_bytes(), path.name


def test_there_are_no_figures_of_nothing() -> None:
    assert draw_figures(describe({"test": [Truth("a", (), 9.0)]}, taxonomy=FACES)) == {}


def test_dollar_signs_of_names_are_no_formula(tmp_path: Path) -> None:
    write_figures(tmp_path, {"shares": share_figure(small(LONG, "train"))}, formats=["svg"])
    assert re.search(r"a name of \$many\$", (tmp_path / "shares.svg").read_text())
