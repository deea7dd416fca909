"""From which score on a detection is worth showing, class by class."""

from dataclasses import replace

import numpy as np

from mmad.average_precision import MMAD, ranking
from mmad.diagnosis.analysis import action_level
from mmad.diagnosis.level import best_score
from mmad.diagnosis.settings import Settings
from mmad.matching import Rows
from mmad.taxonomy import Taxonomy


def best_scores(
    predictions: Rows, ground_truth: Rows, *, taxonomy: Taxonomy, threshold: float = 0.5
) -> list[float] | None:
    """The score at which F1 of each class is highest; see `mmad.diagnosis.records.ClassRow`.

    A class of which no prediction is right, or that has no ground truth, gets the score at which F1 over all classes is
    highest.

    Args:
        predictions: scored rows with action labels, in seconds.
        ground_truth: rows with action labels, in seconds.
        taxonomy: the K classes.
        threshold: tIoU from which a prediction is right.

    Returns:
        K scores; None if no prediction is right.
    """
    protocol = replace(MMAD, thresholds=(threshold,))
    level = action_level(
        ranking(predictions, ground_truth, classes=len(taxonomy.actions), protocol=protocol),
        taxonomy=taxonomy,
        durations=None,
        settings=Settings(threshold=threshold),
    )
    best_first = level.by_score
    overall = best_score(level.score[best_first], level.claimed_Q[best_first] >= 0, instances=len(level.truth))
    best_K = np.where(np.isfinite(level.best_score_K), level.best_score_K, overall)
    return best_K.tolist() if np.isfinite(overall) else None
