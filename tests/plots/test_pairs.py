"""Figures of pairs show each row of the confusion matrix in percent, and the most frequent pairs."""

import numpy as np
import pytest

import sample
from mmad.plots.pairs import MOST_PAIRS, co_occurrence_figure, confusion_figure

RESULT = sample.diagnosis()


def test_confusion_rows_add_up_to_a_hundred() -> None:
    axes = confusion_figure(RESULT).axes[1]
    matrix = np.array(RESULT["body"]["confusion"]["matrix"])
    drawn = axes.collections[0].get_array()
    assert drawn.sum(axis=1)[:7].tolist() == pytest.approx([100.0] * 7)
    # Row and column 7 are the gap, 8 background and misses; background cannot be missed.
    percent = 100 * matrix[:7] / matrix[:7].sum(axis=1, keepdims=True)
    assert np.delete(drawn.data[:7], 7, axis=1) == pytest.approx(percent)
    assert (np.triu(matrix[:7, :7], 1) > 0).any(), "a transposed matrix would not pass"
    assert drawn.mask[7].all()
    assert drawn.mask[:, 7].all()
    assert drawn.mask[8, 8]


def test_confusion_is_ordered_by_group_and_code() -> None:
    """MMA-52 has A3 at index 1 and A2 at index 3, and F10 before F9."""
    result = sample.diagnosis(classes=52)
    axes = confusion_figure(result).axes[0]
    codes = [label.get_text() for label in axes.get_yticklabels()]
    assert codes[:5] == ["A1", "A2", "A3", "A4", "A5"]
    assert codes[-6:-2] == ["F10", "G1", "G2", "G3"]
    assert codes[-1] == "background"
    matrix = np.array(result["action"]["confusion"]["matrix"])
    drawn = axes.collections[0].get_array()
    assert [drawn[1, 1], drawn[1, -1]] == pytest.approx((100 * matrix[3, [3, 52]] / matrix[3].sum()).tolist())


def test_a_class_without_counts_has_an_empty_row() -> None:
    result = sample.diagnosis()
    result["body"]["confusion"]["matrix"][0] = [0] * 8
    assert confusion_figure(result).axes[1].collections[0].get_array().mask[0].all()


def test_pairs_are_split_into_both_one_and_none() -> None:
    axes = co_occurrence_figure(RESULT).axes[0]
    pairs = RESULT["action"]["co_occurrence"]["pairs"][:MOST_PAIRS]
    widths = np.reshape([bar.get_width() for bar in axes.patches], (3, len(pairs)))
    assert widths.T.tolist() == [[p["both"], p["one"], p["none"]] for p in pairs]
    assert widths.sum(axis=1).all(), "each of the three occurs"
    assert axes.get_yticklabels()[0].get_text() == f"{pairs[0]['first']} + {pairs[0]['second']}"


def test_pairs_that_only_predictions_make_are_left_out() -> None:
    result = sample.diagnosis()
    pairs = result["action"]["co_occurrence"]["pairs"]
    predicted = [p for p in pairs if not p["pairs"]]
    assert predicted
    result["action"]["co_occurrence"]["pairs"] = [pairs[0], *predicted]
    assert len(co_occurrence_figure(result).axes[0].get_yticklabels()) == 1
