"""Profiles show the shares, gains and rates of the records, for ordinary and odd results."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.text import Text

import sample
from mmad.diagnosis.records import Bucket, FalseNegatives
from mmad.plots.profiles import false_negative_profile, false_positive_profile, sensitivity_profile

RESULT = sample.diagnosis()


def heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches]


def labels(ticks: list[Text]) -> list[str]:
    return [label.get_text() for label in ticks]


def buckets(misses: FalseNegatives) -> list[Bucket]:
    return [bucket for characteristic in misses["characteristics"] for bucket in characteristic["buckets"]]


@pytest.fixture(scope="module")
def axes() -> Axes:
    """Misses at action level."""
    return false_negative_profile(RESULT).axes[0]


@pytest.mark.parametrize(("mode", "green"), [("class_first", "#009e73"), ("detad", "#33a02c")])
def test_bars_are_the_shares_of_each_slice(mode: str, green: str) -> None:
    result = sample.diagnosis(mode)
    figure = false_positive_profile(result)
    for axes, level in zip(figure.axes[:2], (result["action"], result["body"]), strict=True):
        slices = np.array(level["false_positives"]["slices"])
        sizes = slices.sum(axis=1)
        assert sizes[0] > sizes[-1] == 0, "empty slices are among them"
        # matplotlib holds a kind's ten bars one after the other.
        drawn = np.reshape(heights(axes), (-1, 10)).T
        assert drawn == pytest.approx(100 * slices / np.maximum(sizes, 1)[:, None])
        assert labels(axes.get_xticklabels()) == [f"{k + 1}G\n{n}" for k, n in enumerate(sizes)]
    assert to_hex(figure.axes[0].patches[0].get_facecolor()) == green


def test_gains_stand_for_deleting_and_correcting() -> None:
    action = RESULT["action"]["false_positives"]
    axes = false_positive_profile(RESULT).axes[2]
    widths = sorted(bar.get_width() for bar in axes.patches)
    assert widths == pytest.approx(sorted([*action["removed"].values(), *action["repaired"].values()]))
    assert labels(axes.get_yticklabels()) == [*action["kinds"][1:], "missed"]
    assert f"now {action['base']:.2f} %" in axes.get_xlabel()


def test_detad_mode_has_no_corrections() -> None:
    result = sample.diagnosis("detad")
    figure = false_positive_profile(result)
    assert len(figure.axes[2].patches) == len(result["action"]["false_positives"]["kinds"]) - 1
    written = "\n".join(text.get_text() for text in figure.findobj(Text))
    assert "missed" not in written
    assert "DETAD mode" in written


def test_bars_of_misses_are_the_rates_of_kept_and_of_all_predictions(axes: Axes) -> None:
    kept, every = (buckets(RESULT["action"][name]) for name in ("kept_misses", "false_negatives"))
    light, dark = [b["rate"] for b in kept if b["rate"] is not None], [b["rate"] for b in every if b["rate"]]
    assert heights(axes) == pytest.approx([*light, *dark])
    # A bar stands over the label of its own bucket.
    at = axes.get_xticks()
    places = [at[i] for i, b in enumerate(kept) if b["rate"] is not None] + [
        at[i] for i, b in enumerate(every) if b["rate"]
    ]
    assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == pytest.approx(places)


def test_an_empty_bucket_has_a_label_but_no_bar(axes: Axes) -> None:
    every = buckets(RESULT["action"]["kept_misses"])
    empty = [i for i, b in enumerate(every) if not b["instances"]]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert empty
    for place in empty:
        assert np.abs(np.subtract(centres, axes.get_xticks()[place])).min() > 0.5
    assert labels(axes.get_xticklabels())[9] == "XL\n>9\n0"
    assert labels(axes.get_xticklabels())[3] == f"L\n≤0.8\n{every[3]['instances']}"


def test_whiskers_are_the_intervals(axes: Axes) -> None:
    drawn = [tuple(lines.get_segments()[0][:, 1]) for lines in axes.collections]
    known = [b["interval"] for b in buckets(RESULT["action"]["kept_misses"]) if b["interval"] is not None]
    assert drawn == [pytest.approx(interval) for interval in known]


def test_sensitivity_shows_each_bucket_against_all() -> None:
    axes = sensitivity_profile(RESULT).axes[1]
    level = RESULT["body"]["false_negatives"]
    assert heights(axes) == pytest.approx([b["map_n"] for b in buckets(level) if b["map_n"] is not None])
    assert level["map_n"] in [line.get_ydata()[0] for line in axes.lines]
    assert f"length (s)\nspread {level['characteristics'][1]['sensitivity']:.1f}" in labels(axes.texts)


def test_many_characteristics_go_on_in_further_rows() -> None:
    result = sample.diagnosis()
    few = len(buckets(result["action"]["false_negatives"]))
    for level in (result["action"], result["body"]):
        for misses in (level["false_negatives"], level["kept_misses"]):
            misses["characteristics"] = misses["characteristics"] * 3
    figure = false_negative_profile(result)
    assert len(figure.axes) == 4
    assert sum(len(axes.get_xticks()) for axes in figure.axes) == 2 * 3 * few
