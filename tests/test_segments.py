import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmad.segments import pairwise_tiou

SEGMENT = st.tuples(st.floats(0, 20), st.floats(0.01, 10)).map(lambda pair: (pair[0], pair[0] + pair[1]))
SEGMENTS = st.lists(SEGMENT, max_size=6)


@given(SEGMENTS, SEGMENTS)
def test_tiou_is_intersection_over_union(first: list[tuple[float, float]], second: list[tuple[float, float]]) -> None:
    """Against the definition, pair by pair."""
    table = pairwise_tiou(
        torch.tensor(first, dtype=torch.float64).reshape(-1, 2),
        torch.tensor(second, dtype=torch.float64).reshape(-1, 2),
    )
    assert table.shape == (len(first), len(second))
    for row, (a, b) in zip(table.tolist(), first, strict=True):
        for value, (c, d) in zip(row, second, strict=True):
            overlap = max(0.0, min(b, d) - max(a, c))
            assert value == pytest.approx(overlap / ((b - a) + (d - c) - overlap))


def test_empty_segments_overlap_nothing() -> None:
    assert pairwise_tiou(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 1.0], [0.0, 2.0]])).tolist() == [[0.0, 0.0]]
