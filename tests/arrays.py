"""Rows of segments for tests: written by hand, or drawn with many overlaps and ties."""

import numpy as np
from hypothesis import strategies as st

from mmad.matching import Rows
from mmad.taxonomy import Taxonomy

THREE = Taxonomy.from_rows((("A1", "a", "x"), ("A2", "b", "x"), ("B1", "c", "y")))
"""Two actions of body group x and one of y."""


def truth(*instances: tuple) -> Rows:
    """Rows from (clip, label, start, end)."""
    table = np.array(instances, dtype=np.float64).reshape(-1, 4)
    index = table[:, :2].astype(np.int64)
    return Rows(index[:, 0], index[:, 1], table[:, 2:4])


def found(*predictions: tuple) -> Rows:
    """Rows from (clip, label, start, end, score)."""
    table = np.array(predictions, dtype=np.float64).reshape(-1, 5)
    index = table[:, :2].astype(np.int64)
    return Rows(index[:, 0], index[:, 1], table[:, 2:4], table[:, 4])


@st.composite
def cases(draw: st.DrawFn, *, clips: int = 3, classes: int = 3, most: int = 14) -> tuple[Rows, Rows]:
    """Predictions and at least one instance, on a grid of quarter seconds."""
    place = st.tuples(
        st.integers(0, clips - 1), st.integers(0, classes - 1), st.integers(0, 12), st.integers(1, 8), st.integers(0, 6)
    )
    predicted = draw(st.lists(place, max_size=most))
    marked = draw(st.lists(place, min_size=1, max_size=most))
    return (
        found(*((c, k, s / 4, (s + n) / 4, x / 8) for c, k, s, n, x in predicted)),
        truth(*((c, k, s / 4, (s + n) / 4) for c, k, s, n, _ in marked)),
    )
