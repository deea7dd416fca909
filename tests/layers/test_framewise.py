"""Labels of single steps, and segments from scores of single steps, against plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmad.layers.framewise import frame_labels, moving_average, segments_of
from mmad.segments import Segments, empty_segments


def truth(*instances: tuple[float, float, int]) -> Segments:
    return {
        "segments": torch.tensor([[start, end] for start, end, _ in instances]),
        "labels": torch.tensor([label for *_, label in instances]),
    }


def test_labels_are_those_of_the_middles_of_steps() -> None:
    mask = torch.arange(6) < torch.tensor([6, 3, 6])[:, None]
    targets = [truth((1.0, 3.0, 0), (2.4, 4.6, 1)), truth((1.5, 6.0, 1)), empty_segments()]
    labels = frame_labels(targets, mask, classes=2)
    assert labels[0].T.tolist() == [[0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0]]
    assert labels[1].T.tolist() == [[0] * 6, [0, 1, 1, 0, 0, 0]]
    assert not labels[2].any()


def test_an_instance_between_two_middles_has_a_step() -> None:
    mask = torch.ones(1, 5, dtype=torch.bool)
    assert frame_labels([truth((2.6, 2.9, 0))], mask, classes=1)[0, :, 0].tolist() == [0, 0, 1, 0, 0]
    assert frame_labels([truth((3.1, 3.4, 0))], mask, classes=1)[0, :, 0].tolist() == [0, 0, 0, 1, 0]
    # As near to two middles: one of them.
    assert frame_labels([truth((1.75, 2.25, 0))], mask, classes=1)[0, :, 0].tolist() == [0, 0, 1, 0, 0]


@given(
    instances=st.lists(
        st.tuples(st.floats(-2, 9, width=16), st.floats(0.25, 9, width=16), st.integers(0, 2)), min_size=1, max_size=4
    )
)
@settings(deadline=None, max_examples=40)
def test_labels_equal_plain_loops(instances: list[tuple[float, float, int]]) -> None:
    spans = [(start, start + length, label) for start, length, label in instances]
    labels = frame_labels([truth(*spans)], torch.ones(1, 8, dtype=torch.bool), classes=3)[0]
    for step in range(8):
        for label in range(3):
            expected = False
            for start, end, own in spans:
                hit = [i for i in range(8) if start <= i + 0.5 < end]
                near = hit or [i for i in range(8) if -0.5 < i + 0.5 - (start + end) / 2 <= 0.5]
                expected |= own == label and step in near
            assert bool(labels[step, label]) == expected


def naive(
    scores: Tensor, thresholds: list[float], *, smoothing: int, least: float
) -> list[tuple[float, int, int, int]]:
    """(score, class, start, end) of every run, step by step in float64."""
    steps, classes = scores.shape
    found = set()
    for label in range(classes):
        at = [float(s) for s in scores[:, label].double()]
        half = smoothing // 2
        smooth = [
            sum(at[min(max(j, 0), steps - 1)] for j in range(i - half, i + half + 1)) / smoothing for i in range(steps)
        ]
        for threshold in thresholds:
            start = 0
            while start < steps:
                if smooth[start] < threshold:
                    start += 1
                    continue
                end = start
                while end < steps and smooth[end] >= threshold:
                    end += 1
                width = max((end - start) // 4, 1)
                flank = [i for i in range(start - half - width, start - half) if i >= 0]
                flank += [i for i in range(end + half, end + half + width) if i < steps]
                outer = sum(smooth[i] for i in flank) / len(flank) if flank else 0.0
                score = sum(smooth[start:end]) / (end - start) - outer
                if score > least:
                    found.add((round(score, 5), label, start, end))
                start = end
    return sorted(found)


@pytest.mark.parametrize(("steps", "smoothing"), [(1, 5), (2, 1), (7, 3), (24, 1), (24, 5)])
def test_segments_equal_plain_loops(steps: int, smoothing: int) -> None:
    generator = torch.Generator().manual_seed(steps + smoothing)
    scores = torch.rand(steps, 3, generator=generator)
    thresholds = [0.15, 0.35, 0.55, 0.85]
    found = segments_of(scores, thresholds=thresholds, smoothing=smoothing, score_threshold=0.01)
    told = sorted(
        (round(score, 5), label, *map(int, segment))
        for score, label, segment in zip(
            found["scores"].tolist(), found["labels"].tolist(), found["segments"].tolist(), strict=True
        )
    )
    expected = naive(scores, thresholds, smoothing=smoothing, least=0.01)
    assert [row[1:] for row in sorted(told, key=lambda r: r[1:])] == [
        row[1:] for row in sorted(expected, key=lambda r: r[1:])
    ]
    assert [row[0] for row in told] == pytest.approx([row[0] for row in expected], abs=1e-4)
    assert (found["scores"].diff() <= 0).all()


def test_what_reaches_no_threshold_gives_nothing() -> None:
    found = segments_of(torch.full((6, 2), 0.3), thresholds=[0.5, 0.9])
    assert found["segments"].shape == (0, 2)
    assert found["scores"].shape == found["labels"].shape == (0,)


@pytest.mark.parametrize("smoothing", [1, 3, 5])
def test_sure_scores_give_their_segments_first(smoothing: int) -> None:
    """With flanks right beside the run, the best ones would be too wide by the reach of the smoothing."""
    instances = [(3.0, 6.0, 0), (12.0, 25.0, 0), (8.0, 13.0, 1)]
    scores = frame_labels([truth(*instances)], torch.ones(1, 30, dtype=torch.bool), classes=2)[0]
    found = segments_of(scores, thresholds=[i / 10 for i in range(1, 10)], smoothing=smoothing)
    for start, end, label in instances:
        own = found["labels"] == label
        meets = own & (found["segments"][:, 0] < end) & (found["segments"][:, 1] > start)
        assert found["segments"][meets][0].tolist() == [start, end]


def test_moving_average_goes_on_beyond_the_ends() -> None:
    assert moving_average(torch.tensor([[3.0, 0.0, 0.0, 6.0]]), taps=3).tolist() == [[2.0, 1.0, 2.0, 4.0]]
