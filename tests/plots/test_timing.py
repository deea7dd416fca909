"""Figures of boundaries and scores show the histograms, medians, quartiles and bins of the records."""

import numpy as np
import pytest
from matplotlib.axes import Axes

import sample
from mmad.plots.timing import boundary_figure, calibration_figure

RESULT = sample.diagnosis()


def heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches]


def test_histograms_and_medians_of_boundaries() -> None:
    figure = boundary_figure(RESULT)
    axes, boundaries = figure.axes[0], RESULT["action"]["boundaries"]
    assert heights(axes) == boundaries["onset_histogram"] + boundaries["offset_histogram"]
    # Both bars of bin i lie between the places of edges i - 1 and i.
    places = np.reshape([bar.get_x() + bar.get_width() / 2 for bar in axes.patches], (2, -1))
    assert (np.ceil(places) == np.arange(len(boundaries["edges"]) + 1)).all()
    ticks = {label.get_text(): place for label, place in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)}
    # Edges are a fifth of a second apart: the line stands five places per second right of the tick of 0.
    assert [line.get_xdata()[0] for line in axes.lines] == pytest.approx(
        [ticks["0"] + 5 * boundaries[end]["median"] for end in ("onset", "offset")]
    )
    quartiles = [lines.get_segments()[0][:, 0].tolist() for lines in figure.axes[2].collections]
    filled = [ends for _, *both in boundaries["by_length"] for ends in both if ends["pairs"]]
    assert len(filled) < 2 * len(boundaries["by_length"])
    assert quartiles == [[ends["lower"], ends["upper"]] for ends in filled]


def test_reliability_is_precision_over_score() -> None:
    figure = calibration_figure(RESULT)
    calibration = RESULT["action"]["calibration"]
    line = figure.axes[0].lines[1]
    assert line.get_xydata().tolist() == [[b["score"], b["precision"]] for b in calibration["bins"]]
    assert heights(figure.axes[2]) == [b["count"] for b in calibration["bins"]]
    assert f"{calibration['error']:.3f}" in figure.axes[0].get_title()
