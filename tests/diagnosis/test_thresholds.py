"""Thresholds against trying out every score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmad.diagnosis.thresholds import best_scores
from mmad.matching import Rows, match, rank
from mmad.taxonomy import Taxonomy

CLASSES = 3
TAXONOMY = Taxonomy.from_rows((("1", "nod", "head"), ("2", "shrug", "body"), ("3", "kick", "leg")))
SCORES = (0.1, 0.3, 0.5, 0.7, 0.9)


def rows(rng: np.random.Generator, count: int, *, scored: bool) -> Rows:
    start = rng.integers(0, 6, count).astype(float)
    segments = np.stack([start, start + rng.integers(1, 4, count)], axis=1)
    score = rng.choice(SCORES, count) if scored else None
    return Rows(rng.integers(0, 3, count), rng.integers(0, CLASSES, count), segments, score)


def f1(found: Rows, truth: Rows, *, least: float) -> float:
    """Of all classes of the rows together."""
    kept = found.take(found.score >= least)
    ranked = kept.take(rank(kept))
    right = int((match(ranked, truth, (0.5,))[:, 0] >= 0).sum())
    return 2 * right / (len(kept) + len(truth)) if len(kept) + len(truth) else 0.0


@given(st.integers(0, 10**6))
def test_no_other_score_is_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, truth = rows(rng, 25, scored=True), rows(rng, 8, scored=False)
    # The same instance twice counts once; see `without_duplicates`.
    _, first = np.unique(np.column_stack([truth.clip, truth.label, truth.segment]), axis=0, return_index=True)
    truth = truth.take(np.sort(first))
    best = best_scores(found, truth, taxonomy=TAXONOMY)
    best_of_all = max(f1(found, truth, least=score) for score in SCORES)
    if best_of_all == 0:
        assert best is None
        return
    assert best is not None
    for label in range(CLASSES):
        of_class = found.take(found.label == label), truth.take(truth.label == label)
        most = max(f1(*of_class, least=score) for score in SCORES)
        if most > 0:
            assert f1(*of_class, least=best[label]) == pytest.approx(most)
        else:
            assert f1(found, truth, least=best[label]) == pytest.approx(best_of_all)
