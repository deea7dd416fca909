"""Rows of segments: what they take and refuse, and that matching in pieces is matching."""

import numpy as np
import pytest
from hypothesis import given, settings

from arrays import cases
from mmad import matching
from mmad.errors import MmadError
from mmad.matching import Rows, match, rank


def test_rows_take_lists_and_other_numbers() -> None:
    rows = Rows([0, 1], np.array([2.0, 3.0]), np.array([[0, 7], [1, 2]], dtype=np.float32), [0.5, 1])
    assert (rows.clip.dtype, rows.label.dtype) == (np.int64, np.int64)
    assert rows.segment.dtype == rows.score.dtype == np.float64
    assert rows.label.tolist() == [2, 3]
    assert len(Rows([], [], [])) == 0


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([0], [1], [[0, 1], [2, 3]]), r"clip \(1,\), label \(1,\), segment \(2, 2\)"),
        (([0], [1], [[0, 1, 2]]), r"segment \(1, 3\)"),
        (([0], [1], [[0, 1]], [0.5, 0.6]), r"score \(2,\)"),
        (([0], [1.5], [[0, 1]]), "label holds numbers that are not whole"),
    ],
)
def test_rows_refuse_what_does_not_fit(parts: tuple, message: str) -> None:
    with pytest.raises(MmadError, match=message):
        Rows(*parts)


def test_times_of_a_model_meet_exact_thresholds() -> None:
    truth = Rows([0], [0], np.array([[0, 10]], dtype=np.float32))
    found = Rows([0], [0], np.array([[0, 7]], dtype=np.float32), [1.0])
    assert match(found, truth, [0.7]).item() == 0


@settings(deadline=None, max_examples=60)
@given(cases(clips=4, classes=3))
def test_matching_in_pieces_is_matching(case: tuple[Rows, Rows]) -> None:
    predictions, truth = case
    ranked = predictions.take(rank(predictions))
    whole = match(ranked, truth, [0.1, 0.5])
    before = matching.LARGEST_PIECE
    try:
        for largest in (1, 4, 9):
            matching.LARGEST_PIECE = largest
            np.testing.assert_array_equal(match(ranked, truth, [0.1, 0.5]), whole)
    finally:
        matching.LARGEST_PIECE = before
